"""One keep-alive JSON-RPC client over HTTP, with batches: web3.py takes 3 ms a call in loops."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson

from backend.chain import abi
from backend.domain.events import ChainBlock
from backend.errors import ChainRejected, ChainUnavailable, InvalidValue

#: Methods that may be sent again when the answer was lost: they read, or name their effect.
_REPEATABLE: Final = ("eth_", "net_", "web3_", "debug_", "txpool_")
_BUSY_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
#: JSON-RPC "limit exceeded" of EIP-1474: the endpoint asks for patience.
_BUSY_CODE: Final = -32005
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)

BlockId = int | str
Request = tuple[str, Sequence[Any]]


class _Busy(Exception):
    """The endpoint did not answer, or asked to come back later."""


class Rpc:
    """A client of one RPC endpoint; safe to share between threads.

    `timeout` is what one request may take, `patience` how long an endpoint that does not answer
    is tried again; both in seconds. Raises ChainUnavailable after that, ChainRejected when the
    chain refuses, with the decoded custom error in `values`.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 30.0,
        *,
        patience: float = 5.0,
        batch_size: int = 500,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as failure:
            raise InvalidValue("rpc url", url, f"is no URL: {failure}") from failure
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
            raise InvalidValue("rpc url", url, "is not http://host[:port] or https://host")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json"}
        self.url = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        self._timeout, self._patience, self._batch_size = timeout, patience, batch_size
        self._sleep, self._monotonic = sleep, monotonic
        #: Connections that no thread uses now; they are closed with the client.
        self._idle: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)
        self._chain_id: int | None = None

    # ------------------------------------------------------------------ calls

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call, as JSON gives it (hex strings stay hex strings)."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._exchange(orjson.dumps(body), method.startswith(_REPEATABLE), method)
        if not isinstance(answer, dict):
            raise self._strange(method, answer)
        return self._result(answer, method)

    def batch(self, calls: Iterable[Request]) -> list[Any]:
        """Results in the order of `calls`; the first failing entry raises and names its index."""
        results = self.try_batch(calls)
        for index, result in enumerate(results):
            if isinstance(result, ChainRejected):
                raise ChainRejected(
                    f"entry {index} of the batch: {result.message}",
                    **{**result.values, "index": index},
                )
        return results

    def try_batch(self, calls: Iterable[Request]) -> list[Any]:
        """As `batch`, but a refused entry stands as a ChainRejected in its place."""
        listed = list(calls)
        results: list[Any] = []
        for start in range(0, len(listed), self._batch_size):
            results += self._one_batch(listed[start : start + self._batch_size])
        return results

    def _one_batch(self, calls: list[Request]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
            for index, (method, params) in enumerate(calls)
        ]
        repeatable = all(method.startswith(_REPEATABLE) for method, _ in calls)
        answer = self._exchange(orjson.dumps(body), repeatable, f"batch of {len(calls)}")
        if isinstance(answer, dict):  # the endpoint refuses batches, or this one
            self._result(answer, "batch")
        if not isinstance(answer, list):
            raise self._strange(f"a batch of {len(calls)}", answer)
        by_id = {
            entry["id"]: entry
            for entry in answer
            if isinstance(entry, dict) and isinstance(entry.get("id"), int)
        }
        results: list[Any] = []
        for index, (method, _) in enumerate(calls):
            if index not in by_id:
                raise ChainUnavailable(f"{self.url} left out answer {index}", method=method)
            try:
                results.append(self._result(by_id[index], method))
            except ChainRejected as refusal:
                results.append(refusal)
        return results

    def _result(self, answer: dict[str, Any], method: str) -> Any:
        """The result, when it has the form that the method's callers rely on."""
        error = answer.get("error")
        if error is not None:
            if not isinstance(error, dict):
                raise self._strange(method, error, "the error")
            raise refusal(error, method)
        result = answer.get("result")
        fits = _FORMS.get(method)
        if fits is not None and not fits(result):
            raise self._strange(method, result)
        return result

    def _strange(self, method: str, came: Any, what: str = "") -> ChainUnavailable:
        shown = f"{came!r:.120}"
        return ChainUnavailable(
            f"{self.url} answered {method} with {what + ' ' if what else ''}{shown}, "
            "which is not what JSON-RPC says",
            url=self.url,
            method=method,
            came=shown,
        )

    # ------------------------------------------------------------- short-hands

    def chain_id(self) -> int:
        """The chain's id; asked once, it never changes for one endpoint."""
        if self._chain_id is None:
            self._chain_id = int(self.call("eth_chainId"), 16)
        return self._chain_id

    def block_number(self) -> int:
        """Number of the newest chain block."""
        return int(self.call("eth_blockNumber"), 16)

    def block(self, block: BlockId) -> ChainBlock | None:
        """Header of a chain block by number, `latest` or `finalized`; None if there is none."""
        return parse_block(self.call("eth_getBlockByNumber", block_id(block), False))

    def blocks(self, numbers: Sequence[int]) -> list[ChainBlock | None]:
        """Headers of many chain blocks by one batch."""
        answers = self.batch(("eth_getBlockByNumber", (hex(n), False)) for n in numbers)
        return [parse_block(answer) for answer in answers]

    def get_logs(
        self,
        addresses: Sequence[str],
        first: int,
        last: int,
        topics: Sequence[str | Sequence[str] | None] = (),
    ) -> list[dict[str, Any]]:
        """Raw logs of these contracts in chain blocks [first, last], as JSON gives them."""
        query: dict[str, Any] = {
            "address": list(addresses),
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        if topics:
            query["topics"] = list(topics)
        logs: list[dict[str, Any]] = self.call("eth_getLogs", query)
        return logs

    def code(self, address: str, block: BlockId = "latest") -> bytes:
        """Runtime bytecode at an address; empty when there is no contract."""
        return bytes.fromhex(self.call("eth_getCode", address, block_id(block))[2:])

    def eth_call(
        self, to: str, data: bytes, block: BlockId = "latest", sender: str | None = None
    ) -> bytes:
        """The returned bytes of a read; a revert raises ChainRejected with its decoded reason."""
        call = {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})
        return bytes.fromhex(self.call("eth_call", call, block_id(block))[2:])

    # -------------------------------------------------------------- transport

    def _exchange(self, body: bytes, repeatable: bool, what: str) -> Any:
        """POST until answered or patience ends. Only repeatable bodies are sent twice."""
        deadline = self._monotonic() + self._patience
        attempt = 0
        while True:
            try:
                return self._post(body, repeatable)
            except _Busy as failure:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                never_sent = isinstance(failure.__cause__, ConnectionRefusedError)
                if not (repeatable or never_sent) or self._monotonic() + pause > deadline:
                    raise ChainUnavailable(
                        f"{self.url} does not answer {what}: {failure}",
                        url=self.url,
                        method=what,
                        attempts=attempt,
                    ) from failure
                self._sleep(pause)

    def _post(self, body: bytes, repeatable: bool) -> Any:
        # A kept connection may be dead already; what must not run twice goes over a new one.
        kept = self._take() if repeatable else None
        connection = kept or self._connect()
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            payload = response.read()
        except (OSError, http.client.HTTPException) as failure:
            connection.close()
            if kept and isinstance(failure, ConnectionError | http.client.RemoteDisconnected):
                return self._post(body, repeatable)
            raise _Busy(f"{type(failure).__name__}: {failure}") from failure
        except BaseException:
            connection.close()  # an interrupted exchange: its answer must not meet another call
            raise
        self._idle.append(connection)
        if response.status in _BUSY_STATUS:
            raise _Busy(f"HTTP {response.status}")
        try:
            answer = orjson.loads(payload)
        except orjson.JSONDecodeError:
            answer = None
        told = isinstance(answer, dict) and "error" in answer
        if answer is None or (response.status != 200 and not told):
            raise ChainUnavailable(
                f"{self.url} answered HTTP {response.status}, not JSON-RPC",
                url=self.url,
                status=response.status,
            )
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, dict) and error.get("code") == _BUSY_CODE:
            raise _Busy(str(error.get("message")))
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _take(self) -> http.client.HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def close(self) -> None:
        """Close the kept connections; the next call opens another."""
        _close_all(self._idle)


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def block_id(block: BlockId) -> str:
    """A chain block as JSON-RPC names it: a number in hex, or `latest`, `finalized`, `pending`."""
    return hex(block) if isinstance(block, int) else block


def parse_block(answer: dict[str, Any] | None) -> ChainBlock | None:
    """The header in an answer to eth_getBlockByNumber."""
    if answer is None:
        return None
    return ChainBlock(
        int(answer["number"], 16),
        answer["hash"],
        answer["parentHash"],
        int(answer["timestamp"], 16),
    )


# ------------------------------------------------------- what an answer may be


def _is_quantity(value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith("0x"):
        return False
    try:
        int(value, 16)
    except ValueError:
        return False
    return True


def _is_data(value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith("0x"):
        return False
    try:
        bytes.fromhex(value[2:])
    except ValueError:
        return False
    return True


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 66 and _is_data(value)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 42 and _is_data(value)


def _is_block(value: Any) -> bool:
    """A header or null. The pending block, which has no hash, is asked for by nobody."""
    return value is None or (
        isinstance(value, dict)
        and _is_quantity(value.get("number"))
        and _is_quantity(value.get("timestamp"))
        and isinstance(value.get("hash"), str)
        and isinstance(value.get("parentHash"), str)
    )


def _is_log(value: Any) -> bool:
    # The data is not decoded here: a damaged log is a finding of who reads it, not of the wire.
    return (
        isinstance(value, dict)
        and _is_address(value.get("address"))
        and isinstance(value.get("topics"), list)
        and all(_is_word(topic) for topic in value["topics"])
        and isinstance(value.get("data"), str)
        and isinstance(value.get("blockHash"), str)
        and isinstance(value.get("transactionHash"), str)
        and all(_is_quantity(value.get(name)) for name in _LOG_PLACE)
    )


def _is_transaction(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and _is_address(value.get("from"))
        and (value.get("to") is None or _is_address(value["to"]))
        and _is_data(value.get("input"))
    )


def _is_receipt(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and _is_quantity(value.get("blockNumber"))
        and _is_quantity(value.get("status"))
        and (value.get("contractAddress") is None or _is_address(value["contractAddress"]))
    )


def _is_trace(value: Any) -> bool:
    """A tree of frames as the callTracer gives them."""
    frames = [value]
    while frames:
        frame = frames.pop()
        if not isinstance(frame, dict) or not isinstance(frame.get("calls", []), list):
            return False
        to = frame.get("to")
        if not (_is_address(frame.get("from")) and (to is None or _is_address(to))):
            return False
        if not _is_data(frame.get("input")):
            return False
        frames += frame.get("calls", [])
    return True


_LOG_PLACE: Final = ("blockNumber", "transactionIndex", "logIndex")
#: What the result of a method must look like; methods that are not here are read with care.
_FORMS: Final[dict[str, Callable[[Any], bool]]] = {
    "eth_chainId": _is_quantity,
    "eth_blockNumber": _is_quantity,
    "eth_getTransactionCount": _is_quantity,
    "eth_getBlockByNumber": _is_block,
    "eth_getLogs": lambda value: isinstance(value, list) and all(map(_is_log, value)),
    "eth_getCode": _is_data,
    "eth_call": _is_data,
    "eth_getTransactionByHash": _is_transaction,
    "eth_getTransactionReceipt": _is_receipt,
    "debug_traceTransaction": _is_trace,
}


def refusal(error: dict[str, Any], method: str) -> ChainRejected:
    """A JSON-RPC error as ChainRejected: values `method`, `code`, and `error`, `args` if known."""
    message, code = str(error.get("message", "")), error.get("code")
    data = _revert_data(error.get("data"))
    decoded = abi.decode_error(data) if data else None
    values: dict[str, Any] = {"method": method, "code": code, "node_message": message}
    if data is not None:
        values["data"] = "0x" + data.hex()
    if decoded is None:
        return ChainRejected(f"{method} was refused: {message}", **values)
    name, args = decoded
    return ChainRejected(abi.describe_error(name, args), error=name, args=args, **values)


def _revert_data(data: Any) -> bytes | None:
    """Revert bytes as nodes give them: a hex string, or nested in an object."""
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return None
    return None
