"""Moves credits between the registries and the chain: receipts in, confirmations back."""
