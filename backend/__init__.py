"""Causeway: a carbon registry and exchange on an EVM chain."""
