"""Adapters for registries' exports: one file each behind one protocol."""
