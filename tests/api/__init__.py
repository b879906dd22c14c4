"""Tests of the read side: queries, API, pages."""
