"""The Python client of the API: reads, streams, and a trader that signs, sends and checks."""

from backend.client.answers import Placed
from backend.client.reading import AsyncClient, Client
from backend.client.streaming import AsyncStream, Stream
from backend.client.trading import AsyncTrader, Trader
from backend.client.webhooks import AsyncWebhooks, Webhooks
from backend.hooks.signing import verify_webhook

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "AsyncTrader",
    "AsyncWebhooks",
    "Client",
    "Placed",
    "Stream",
    "Trader",
    "Webhooks",
    "verify_webhook",
]
