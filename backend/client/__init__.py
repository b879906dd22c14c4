"""The Python client of the API: reads, and a trader that signs, sends and checks the answers."""

from backend.client.answers import Placed
from backend.client.reading import Client
from backend.client.trading import Trader

__all__ = ["Client", "Placed", "Trader"]
