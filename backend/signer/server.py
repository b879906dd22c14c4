"""The signing protocol over a Unix socket: docs/signer.md. One thread a connection.

A client shows its token; the kernel says which user runs it. The socket lies in a directory that
only the signer's user may write, so a client knows whom it talks to.
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import struct
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from backend.chain.keys import Key
from backend.errors import CausewayError, InvalidValue, LocalError, NotAuthorised, NotFound
from backend.signer.policy import Gate
from backend.signer.transactions import read_unsigned

log = structlog.get_logger("signer")

#: A transaction has at most 128 KiB of data; written in hex it is twice that.
MOST_BODY: Final = 400_000
#: Seconds that a connection may say nothing.
IDLE_SECONDS: Final = 300
_KEYS: Final = "/v1/keys"
_SIGN: Final = re.compile(r"/v1/keys/([a-z0-9][a-z0-9._-]{0,63})/(sign-digest|sign-transaction)")
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
_PURPOSE: Final = re.compile(r"[a-z0-9._-]{0,64}")
_STATUS: Final = ((NotFound, 404), (NotAuthorised, 403), (InvalidValue, 422))


class SigningServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves until `shutdown`. `keys` by name; `gate` decides."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, keys: Mapping[str, Key], gate: Gate, mode: int = 0o660) -> None:
        self.keys, self.gate = keys, gate
        self._path = path
        if path.is_socket():
            _refuse_a_second(path)
            path.unlink()
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        except OSError as error:
            raise LocalError(f"the signer cannot listen at {path}: {error}") from error
        finally:
            os.umask(before)
        os.chmod(path, mode)

    def server_close(self) -> None:
        super().server_close()
        self._path.unlink(missing_ok=True)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = super().get_request()
        connection.settimeout(IDLE_SECONDS)
        return connection, ("", 0)


def _refuse_a_second(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise LocalError(f"a signer listens at {path} already", path=str(path))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SigningServer

    def do_GET(self) -> None:
        self._answer(self._list)

    def do_POST(self) -> None:
        self._answer(self._sign)

    def log_message(self, *words: object) -> None:
        """Said by `_sign`, with what was decided."""

    def _answer(self, work: Any) -> None:
        try:
            status, body = 200, work(self._body())
        except CausewayError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            body = {"code": error.code, "detail": error.message}
        text = orjson.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MOST_BODY:
            self.close_connection = True
            raise InvalidValue("Content-Length", length, f"is no length up to {MOST_BODY}")
        return self.rfile.read(int(length))

    def _client(self) -> str:
        said = self.headers.get("Authorization", "")
        return self.server.gate.policy.client(said.removeprefix("Bearer "), _uid(self.connection))

    def _list(self, body: bytes) -> dict[str, Any]:
        client = self._client()
        if self.path != _KEYS:
            raise NotFound(f"there is nothing at {self.path}")
        names = [name for name in self.server.gate.names(client) if name in self.server.keys]
        return {"keys": [{"name": n, "address": self.server.keys[n].address} for n in names]}

    def _sign(self, body: bytes) -> dict[str, Any]:
        client = self._client()
        matched = _SIGN.fullmatch(self.path)
        if matched is None:
            raise NotFound(f"there is nothing at {self.path}")
        name, operation = matched.groups()
        told: dict[str, Any] = {"client": client, "key": name, "operation": operation}
        try:
            asked = _fields(body)
            told["purpose"] = asked["purpose"]
            signature = self._signed(client, name, operation, asked, told)
        except CausewayError as error:
            log.warning("refused", reason=error.message, **told)
            raise
        log.info("signed", **told)
        return {"signature": "0x" + signature.hex()}

    def _signed(
        self, client: str, name: str, operation: str, asked: dict[str, str], told: dict[str, Any]
    ) -> bytes:
        gate, purpose = self.server.gate, asked["purpose"]
        if operation == "sign-digest":
            digest = _bytes(asked, "digest")
            told["digest"] = "0x" + digest.hex()
            if len(digest) != 32:
                raise InvalidValue("digest", told["digest"][:80], "is not 32 bytes")
            gate.check_digest(client, name, purpose)
            return self._key(name).sign(digest)
        raw = _bytes(asked, "transaction")
        unsigned = read_unsigned(raw)
        told |= {"to": unsigned.to, "nonce": unsigned.nonce, "chain_id": unsigned.chain_id}
        gate.check_transaction(client, name, purpose, unsigned)
        return self._key(name).sign_transaction(raw)

    def _key(self, name: str) -> Key:
        key = self.server.keys.get(name)
        if key is None:
            raise NotFound(f"no key is called {name}", name=name)
        return key


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InvalidValue("body", body[:80].decode("utf-8", "replace"), "is no object of texts")
    purpose = found.setdefault("purpose", "")
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidValue("purpose", purpose[:80], "is not a-z, 0-9, dot, dash, at most 64 long")
    return found


def _bytes(asked: dict[str, str], field: str) -> bytes:
    text = asked.get(field, "")
    if not _HEX.fullmatch(text):
        raise InvalidValue(field, text[:80], "is not 0x and hex")
    return bytes.fromhex(text[2:])


def _uid(connection: socket.socket) -> int | None:
    """The user of the process at the other end, as the kernel says."""
    size = struct.calcsize("3i")
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", found)[1])
