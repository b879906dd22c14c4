"""Postgres: tables, migrations, and every statement that writes or reads them."""
