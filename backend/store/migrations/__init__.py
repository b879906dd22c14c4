"""Alembic's scripts, shipped inside the package so that an installed Causeway can migrate."""
