"""Order entry over HTTP: acknowledged orders a second, their waiting times, where the time goes.

Postgres (with fsync), NATS, a sequencer and one API process of its own, the load client on the same
cores. Orders are signed and requests are written before the clock starts. "At half load" sends at
half the speed just measured, by a timetable: a late answer delays no later order's clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson
import uvloop

from backend.api.app import serve as serve_api
from backend.api.order_forms import ORDERS, show_answer
from backend.bus.venue_messages import (
    AnswerCode,
    decode_reply,
    decode_request,
    encode_journalled,
    encode_record,
    encode_reply,
    encode_request,
)
from backend.chain.signatures import Verifier
from backend.domain.commands import PlaceOrder
from backend.domain.journal import GENESIS_HASH, encode_raw, hash_entry
from backend.domain.orders import typed
from backend.domain.venue_events import encode_events
from backend.local.nats import Nats
from backend.local.postgres import Postgres, temporary_home
from backend.matching import Engine
from backend.settings import Settings
from scripts.bench_sequencer import CHAIN_ID, DOMAIN, Flow, opening, percentile, prepare, serve

SINGLE = 20_000
IN_REQUESTS = 60_000
HALF_LOAD_SECONDS = 3
REQUEST = 50
CONNECTIONS_SINGLE = 64
CONNECTIONS_REQUESTS = 8
PROFILED = 5_000


def shown(command: PlaceOrder) -> dict[str, Any]:
    """An order as it is posted."""
    _, _, fields = typed(command.order)
    order = {
        field: "0x" + value.hex() if isinstance(value, bytes) else str(value)
        for field, value in fields.items()
    }
    return {"order": order, "signature": "0x" + command.signature.hex()}


def request_of(commands: list[PlaceOrder]) -> bytes:
    """The bytes of one HTTP request."""
    one = len(commands) == 1
    body = orjson.dumps(
        shown(commands[0]) if one else {"orders": [shown(each) for each in commands]}
    )
    head = (
        "POST /v1/orders HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nDeadline-Ms: 10000\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request out, its answer in, then `idle` is called."""

    def __init__(self, orders: int, times: list[float], idle: Callable[[Connection], None]) -> None:
        self._orders, self._times, self._idle = orders, times, idle
        self._received = bytearray()
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, they only behave like one.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, began: float) -> None:
        assert self._transport is not None
        self._began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        at = head.index(b"content-length:") + 15
        size = int(head[at : head.index(b"\r\n", at) if b"\r\n" in head[at:] else end])
        if len(self._received) < end + 4 + size:
            return
        body = bytes(self._received[end + 4 :])
        if not head.startswith(b"http/1.1 200") or body.count(b'"entry_hash"') != self._orders:
            raise SystemExit(f"an order was not acknowledged: {head[:20]!r} {body[:300]!r}")
        self._received.clear()
        self._times.append(time.perf_counter() - self._began)
        self._idle(self)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def drive(
    port: int, requests: list[bytes], orders: int, connections: int, per_second: float | None
) -> tuple[float, list[float]]:
    """Seconds for all of them and each one's time; with `per_second` by a timetable."""
    times: list[float] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    due: deque[tuple[bytes, float]] = deque()
    free: list[Connection] = []
    left: Iterator[bytes] = iter(requests)

    def idle(connection: Connection) -> None:
        if len(times) == len(requests):
            done.set()
        elif per_second is not None:
            if due:
                connection.send(*due.popleft())
            else:
                free.append(connection)
        elif (request := next(left, None)) is not None:
            connection.send(request, time.perf_counter())

    made = [
        (await loop.create_connection(lambda: Connection(orders, times, idle), "127.0.0.1", port))[
            1
        ]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    if per_second is None:
        for connection in made:
            idle(connection)
    else:
        free.extend(made)
        for number, request in enumerate(requests):
            when = began + number / per_second
            while (wait := when - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if free:
                free.pop().send(request, when)
            else:
                due.append((request, when))
    await asyncio.wait_for(done.wait(), 120)
    seconds = time.perf_counter() - began
    for connection in made:
        connection.close()
    return seconds, times


def report(name: str, count: int, seconds: float, times: list[float]) -> dict[str, Any]:
    return {
        f"{name}_per_second": int(count / seconds),
        f"{name}_p50_ms": percentile(times, 0.5),
        f"{name}_p99_ms": percentile(times, 0.99),
        f"{name}_p999_ms": percentile(times, 0.999),
    }


def processor_seconds(parents: dict[str, int]) -> dict[str, float]:
    """What each named process has used so far, Postgres with its children (Linux)."""
    used = dict.fromkeys(parents, 0.0)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        for name, pid in parents.items():
            if pid == int(stat.parent.name) or (pid == int(fields[1]) and name == "postgres"):
                used[name] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def measured(port: int, parents: dict[str, int]) -> dict[str, Any]:
    """One by one, at half of that speed, in requests of 50, at half of that.

    With the processor time of each process per order: what an order costs, however busy the
    machine is with other things.
    """
    flow, found = Flow(3), {}
    plans = (
        ("http_one_by_one", SINGLE, 1, CONNECTIONS_SINGLE),
        ("http_in_requests_of_50", IN_REQUESTS, REQUEST, CONNECTIONS_REQUESTS),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name, count, size, connections in plans:
            requests = [
                request_of([flow.order() for _ in range(size)]) for _ in range(count // size)
            ]
            before = processor_seconds(parents)
            seconds, times = runner.run(drive(port, requests, size, connections, None))
            found |= report(name, count, seconds, times)
            for process, used in processor_seconds(parents).items():
                found[f"{name}_us_{process}"] = round((used - before[process]) / count * 1e6, 1)
            half = len(requests) / seconds / 2
            some = int(half * HALF_LOAD_SECONDS)
            requests = [request_of([flow.order() for _ in range(size)]) for _ in range(some)]
            _, times = runner.run(drive(port, requests, size, 4 * connections, half))
            found[f"{name}_half_load_p50_ms"] = percentile(times, 0.5)
            found[f"{name}_half_load_p99_ms"] = percentile(times, 0.99)
            found[f"{name}_half_load_p999_ms"] = percentile(times, 0.999)
    return found


def profile() -> dict[str, Any]:
    """Microseconds of one order in each step that is ours, alone in one process."""
    flow, verifier, engine = Flow(4), Verifier(DOMAIN), Engine()
    now = int(time.time() * 1000)
    for command in opening():
        engine.apply(now, command)
    commands = [flow.order() for _ in range(PROFILED)]
    bodies = [orjson.dumps(shown(one)) for one in commands]
    found: dict[str, Any] = {}

    def step(name: str, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        began = time.perf_counter()
        made = [work(item) for item in items]
        found[f"order_us_{name}"] = round((time.perf_counter() - began) / len(items) * 1e6, 1)
        return made

    read = step("read_json", lambda body: ORDERS.read(body)[0][0], bodies)
    records = step("encode", lambda one: encode_request(now, [encode_record(one)]), read)
    decoded = step("decode", lambda body: decode_request(body).commands[0], records)
    step("check_signature", lambda one: verifier.check(one[0]), decoded)
    events = step("match", lambda one: engine.apply(now, one[0]), decoded)

    def journal(at: int) -> bytes:
        entry = encode_raw(at + 1, 1, 1, now, GENESIS_HASH, 1) + decoded[at][1][1:]
        hash_entry(entry)
        path, signature = bytes(33 * 5), bytes(65)
        answer = encode_journalled(
            AnswerCode.ACCEPTED, entry, encode_events(events[at]), path, signature
        )
        return encode_reply([answer])

    replies = step("journal_and_reply", journal, list(range(PROFILED)))
    answers = step("read_reply", lambda body: decode_reply(body)[0], replies)
    pairs = list(zip(read, answers, strict=True))
    step("show_answer", lambda pair: orjson.dumps(show_answer(*pair)), pairs)
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until_served(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the API takes an order (one that its leader has to refuse)."""
    forged = request_of([Flow(5).order()._replace(signature=bytes(65))])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the API ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(forged)
                if b" 401 " in connection.recv(100):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("the API and its leader did not start in 30 s")


def run() -> dict[str, Any]:
    """All of it, on servers of its own."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    nats = Nats(home, log=home / "nats.log")
    servers = {"postgres": postgres.start().pid, "nats": nats.start().pid}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        prepare(postgres.url()).close()
        port = free_port()
        for role in ("sequencer", "api"):
            command = [sys.executable, __file__, role, postgres.url(), nats.url, str(port)]
            with open(home / f"{role}.log", "wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ))
        wait_until_served(port, processes[1])
        parents = {"sequencer": processes[0].pid, "api": processes[1].pid}
        parents |= servers | {"load_client": os.getpid()}
        return measured(port, parents) | profile()
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        nats.stop()
        postgres.stop()


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["sequencer"]:
        serve(arguments[1], arguments[2])
    elif arguments[:1] == ["api"]:
        serve_api(
            Settings(
                database_url=arguments[1],
                nats_url=arguments[2],
                chain_url=None,
                chain_id=CHAIN_ID,
                api_port=int(arguments[3]),
            )
        )
    else:
        print(json.dumps(run(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
