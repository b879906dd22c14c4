"""`/v1/health` and `/metrics`: whether the answers can be relied on now."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.answers import services_of
from backend.api.metrics import Metrics
from backend.api.models import Health, ServiceHealth
from backend.api.services import Services
from backend.errors import CausewayError
from backend.store.queries.reading import ChainHead

#: An index this many chain blocks behind the node is reported as degraded.
MOST_LAG_BLOCKS = 20
#: So is one that is behind at all and has not moved for so long: something stops it.
STANDSTILL_SECONDS = 10.0

router = APIRouter()


class IndexWatch:
    """Since when the index has been behind the chain without a move, as this process saw it.

    Counted from the first look that found it behind: on a quiet chain the index has rightly not
    moved for hours when the next chain block comes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._place: tuple[int, str | None] | None = None
        self._since = clock()

    def standing_still(self, place: tuple[int, str | None], lag: int | None) -> float:
        """Seconds; `place` is number and hash of the newest chain block indexed."""
        if not lag or place != self._place:
            self._place = place
            self._since = self._clock()
        return self._clock() - self._since


_DEGRADED = {
    "application/json": {
        "example": Health(
            status="degraded",
            database=ServiceHealth(status="ok", detail="answers"),
            index=ServiceHealth(status="behind", detail="31 chain blocks behind"),
            chain=ServiceHealth(status="ok", detail="at chain block 75"),
            bus=ServiceHealth(status="ok", detail="connected"),
            indexed_number=44,
            chain_number=75,
            lag_blocks=31,
        ).model_dump(mode="json")
    }
}


def _watch(request: Request) -> IndexWatch:
    state = request.app.state
    if not hasattr(state, "index_watch"):
        state.index_watch = IndexWatch()
    watch: IndexWatch = state.index_watch
    return watch


@router.get(
    "/v1/health",
    tags=["service"],
    response_model=Health,
    responses={503: {"model": Health, "description": "Degraded", "content": _DEGRADED}},
)
async def get_health(request: Request) -> Response:
    """Database, chain index, chain and bus; 503 when one of them is not well."""
    health = await _health(services_of(request), _watch(request))
    return Response(
        health.model_dump_json(),
        200 if health.status == "ok" else 503,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus."""
    health = await _health(services_of(request), _watch(request))
    metrics: Metrics = request.app.state.metrics
    metrics.show(health)
    return Response(
        metrics.text(), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
    )


async def _health(services: Services, watch: IndexWatch) -> Health:
    head: ChainHead | None = None
    try:
        head, _ = await services.read(lambda db, head: None)
        database = ServiceHealth(status="ok", detail="answers")
    except CausewayError:
        database = ServiceHealth(status="down", detail="does not answer")
    number = await services.chain_number()
    chain = ServiceHealth(status="ok", detail=f"at chain block {number}")
    if services.chain is None:
        chain = ServiceHealth(status="off", detail="not configured")
    elif number is None:
        chain = ServiceHealth(status="down", detail="does not answer")
    bus = ServiceHealth(status="off", detail="not configured")
    if services.nats_url is not None:
        connected = services.bus_connected
        bus = ServiceHealth(
            status="ok" if connected else "down",
            detail="connected" if connected else "not connected",
        )
    lag = None if head is None or number is None else max(0, number - head.number)
    index = _index_health(head, lag, watch)
    well = all(part.status in ("ok", "off") for part in (database, index, chain, bus))
    return Health(
        status="ok" if well else "degraded",
        database=database,
        index=index,
        chain=chain,
        bus=bus,
        indexed_number=head.number if head else None,
        chain_number=number,
        lag_blocks=lag,
    )


def _index_health(head: ChainHead | None, lag: int | None, watch: IndexWatch) -> ServiceHealth:
    if head is None:
        return ServiceHealth(status="down", detail="the database does not answer")
    still = watch.standing_still((head.number, head.hash), lag)
    if lag and still >= STANDSTILL_SECONDS:
        detail = f"{lag} chain blocks behind, not moved for {still:.0f} seconds"
        return ServiceHealth(status="behind", detail=detail)
    if lag is not None and lag > MOST_LAG_BLOCKS:
        return ServiceHealth(status="behind", detail=f"{lag} chain blocks behind")
    return ServiceHealth(status="ok", detail=f"at chain block {head.number}")
