"""The Python client of the API: reads, streams, and a trader that signs, sends and checks."""

from backend.client.answers import Placed
from backend.client.reading import Client
from backend.client.streaming import AsyncStream, Stream
from backend.client.trading import Trader

__all__ = ["AsyncStream", "Client", "Placed", "Stream", "Trader"]
