"""Commands as people run them, without a chain."""
