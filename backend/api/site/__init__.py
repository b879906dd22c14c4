"""The pages: one module a page, over shared rendering in the reader's language."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from backend.api.site import (
    alerts,
    assets,
    certificate,
    deliver,
    explore,
    home,
    instrument,
    join,
    market,
    operator,
    portfolio,
    proof,
    quote,
    retire,
)

#: Every module that serves pages, and what they load.
SITE: Final[tuple[ModuleType, ...]] = (
    home,
    market,
    instrument,
    portfolio,
    retire,
    deliver,
    proof,
    quote,
    explore,
    join,
    operator,
    certificate,
    alerts,
    assets,
)
