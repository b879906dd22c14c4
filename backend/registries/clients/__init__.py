"""Clients of registries: one protocol, spoken over HTTP or by people."""
