"""The Python client of the API: reads, streams, and a trader that signs, sends and checks."""

from backend.client.answers import Placed
from backend.client.reading import AsyncClient, Client
from backend.client.streaming import AsyncStream, Stream
from backend.client.trading import AsyncTrader, Trader

__all__ = ["AsyncClient", "AsyncStream", "AsyncTrader", "Client", "Placed", "Stream", "Trader"]
