"""Flows of the bridge against a real chain, a real database and a registry to talk to."""
