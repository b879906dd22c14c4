"""NATS: subjects, codecs, the client."""

from backend.bus.client import Bus
from backend.bus.leader_client import LeaderClient
from backend.bus.messages import Head, head_subject
from backend.bus.publisher import HeadPublisher

__all__ = ["Bus", "Head", "HeadPublisher", "LeaderClient", "head_subject"]
