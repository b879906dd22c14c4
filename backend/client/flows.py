"""What a call does, without I/O: it asks for requests and pauses, and is given answers.

A *flow* is a generator: it yields a `Request` and is sent the `Answer` (or an error of our tree is
thrown into it), or it yields a `Pause`. Everything the client knows is written once as flows;
`transports` carries them out, blocking or on an event loop.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from backend.client.problems import error_of
from backend.errors import CausewayError, NotFound, RuleError, ServiceError

#: Seconds before the second attempt; doubled for each further one, up to the longest.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
_RETRY_AFTER: Final = "retry_after"


@dataclass(frozen=True)
class Request:
    """One HTTP request; `path` below the API's address, or a whole URL of somewhere else."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    #: Statuses that are answers, not problems.
    well: tuple[int, ...] = (200, 204)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content: bytes
    retry_after: str | None = None

    def json(self) -> Any:
        """The body, None when it is no JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True)
class Pause:
    """Nothing for so many seconds."""

    seconds: float


T = TypeVar("T")
Flow = Generator[Request | Pause, Answer | None, T]


def asked(request: Request) -> Flow[Any]:
    """The body of one answer; raises the error that its problem names."""
    answer = yield request
    assert answer is not None
    if answer.status in request.well:
        return answer.json() if answer.content else None
    error = error_of(answer.json(), answer.status)
    seconds = _seconds(answer.retry_after)
    if seconds is not None:
        error.values[_RETRY_AFTER] = seconds
    raise error


def repeated(make: Callable[[], Flow[T]], patience: float) -> Flow[tuple[T, int]]:
    """What `make` gives, tried again while the service fails, and how many attempts it took.

    No attempt begins later than `patience` seconds after the first one; then the last error is
    raised. Only for what may be done twice: reads, and messages whose nonce makes them one.
    """
    ends = time.monotonic() + patience
    attempt = 0
    while True:
        attempt += 1
        try:
            return (yield from make()), attempt
        except CausewayError as error:
            seconds = pause_after(error, attempt)
            if seconds is None or time.monotonic() + seconds > ends:
                raise
        yield Pause(seconds)


def pause_after(error: CausewayError, attempt: int) -> float | None:
    """Seconds to wait before trying again, None when trying again would not help.

    At least what `Retry-After` said; else longer each time, with a random part so that clients
    that failed together do not come back together.
    """
    if isinstance(error, RuleError | NotFound) or not isinstance(error, ServiceError):
        return None
    longest = min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 16), LONGEST_PAUSE)
    drawn = random.uniform(longest / 2, longest)
    return max(drawn, float(error.values.get(_RETRY_AFTER, 0)))


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` (RFC 9110): seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
