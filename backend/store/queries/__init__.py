"""The read side: plain functions over one connection that return frozen values."""
