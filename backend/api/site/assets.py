"""What pages load: one style sheet and our own scripts, under names that change with the content.

The scripts are bundled from `backend/web/source` by esbuild (`scripts/build_web.py`, which the
set-up runs). A page that signs nothing is whole without them.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.errors import NotFound

#: What may be asked for, and what it is.
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_AN_HOUR: Final = "public, max-age=3600"

router = APIRouter(include_in_schema=False)


@cache
def _contents() -> dict[str, tuple[bytes, str]]:
    """Bytes and digest of every file that pages may load, by its name."""
    static = files("backend") / "web" / "static"
    found: dict[str, tuple[bytes, str]] = {}
    folders = [static]
    built = static / "built"
    if built.is_dir():
        folders.append(built)
    for folder in folders:
        for entry in folder.iterdir():
            if entry.is_file() and "." + entry.name.rpartition(".")[2] in _KINDS:
                raw = entry.read_bytes()
                found[entry.name] = (raw, hashlib.sha256(raw).hexdigest()[:16])
    return found


def address(name: str) -> str:
    """Where a page finds a file: its digest is part, so that a browser may keep it for ever."""
    found = _contents().get(name)
    return f"/static/{name}?v={found[1]}" if found else f"/static/{name}"


def exists(name: str) -> bool:
    """Whether a script has been built."""
    return name in _contents()


@lru_cache(maxsize=64)
def _gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def packed(request: Request, answer: Response) -> Response:
    """The answer in gzip where the browser takes it. Only for what everybody is told alike: beside
    a secret, a reader's own words in the same page would give it away by the length (BREACH).
    """
    answer.headers.append("Vary", "Accept-Encoding")
    accepted = request.headers.get("accept-encoding", "")
    if "gzip" not in {one.partition(";")[0].strip() for one in accepted.split(",")}:
        return answer
    answer.body = _gzipped(bytes(answer.body))
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Content-Length"] = str(len(answer.body))
    return answer


@router.get("/static/{name}")
async def static_file(request: Request, name: str, v: str = "") -> Response:
    found = _contents().get(name)
    if found is None:
        raise NotFound(f"no page of ours loads {name[:80]!r}", name=name[:80])
    content, digest = found
    kind = _KINDS["." + name.rpartition(".")[2]]
    keep = _FOR_EVER if v == digest else _AN_HOUR
    return packed(request, Response(content, media_type=kind, headers={"Cache-Control": keep}))


@router.get("/favicon.ico")
async def icon() -> Response:
    content, _ = _contents()["mark.svg"]
    return Response(content, media_type=_KINDS[".svg"], headers={"Cache-Control": _AN_HOUR})
