"""The commands of `causeway`, one module per job; `backend/cli.py` puts them together."""
