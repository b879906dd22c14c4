"""Figures for Prometheus: requests by route and status, and how far the index is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend.api.models import Health

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One registry per app: two apps in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "causeway_api_requests",
            "Requests answered, by route template.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "causeway_api_request_seconds",
            "Time to the answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.commands = Counter(
            "causeway_api_commands",
            "Signed messages, by what became of them.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self.held_back = Counter(
            "causeway_api_held_back",
            "Requests refused because too many commands were under way, of a trader or the venue.",
            ["bound"],
            registry=self._registry,
        )
        self.subscribers = Gauge(
            "causeway_api_stream_subscribers", "Open streams.", registry=self._registry
        )
        self.dropped = Counter(
            "causeway_api_streams_dropped",
            "Streams that were closed, by why.",
            ["reason"],
            registry=self._registry,
        )
        self._up = Gauge(
            "causeway_up",
            "Whether a service answers (1) or not (0); services that are off are left out.",
            ["service"],
            registry=self._registry,
        )
        self._indexed = self._gauge("causeway_indexed_block", "Newest chain block of the index.")
        self._chain = self._gauge("causeway_chain_block", "Newest chain block of the node.")
        self._lag = self._gauge("causeway_index_lag_blocks", "Chain blocks not indexed yet.")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)

    def show(self, health: Health) -> None:
        """Set the gauges."""
        for name in ("database", "index", "chain", "bus"):
            part = getattr(health, name)
            if part.status != "off":
                self._up.labels(name).set(1 if part.status == "ok" else 0)
        for gauge, value in (
            (self._indexed, health.indexed_number),
            (self._chain, health.chain_number),
            (self._lag, health.lag_blocks),
        ):
            gauge.set(float("nan") if value is None else value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
