"""Webhooks: signed, sent to checked addresses, tried again until they are taken."""
