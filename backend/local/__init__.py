"""Postgres, NATS, Anvil and the project's own processes, run and watched on one machine."""
