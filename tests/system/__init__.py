"""Tests of the whole product as processes."""
