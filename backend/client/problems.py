"""Problems of the API (RFC 9457) as the errors of our own tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backend.errors import (
    CausewayError,
    InvalidValue,
    NotAuthorised,
    RuleError,
    ServiceError,
    VenueUnavailable,
)

PREFIX: Final = "urn:causeway:problem:"
#: Codes of problems that are no class of ours: the class that stands for them.
_OTHERS: Final[Mapping[str, type[CausewayError]]] = {
    "bad-signature": NotAuthorised,
    "invalid-request": RuleError,
    "late": VenueUnavailable,
    "venue-busy": VenueUnavailable,
    "too-many-requests": VenueUnavailable,
}


def error_of(problem: Any, status: int = 500) -> CausewayError:
    """The error of our tree that a problem stands for."""
    if not isinstance(problem, dict):
        return ServiceError(f"the API answered {status} without a problem", status=status)
    code = str(problem.get("type", "")).removeprefix(PREFIX)
    values = {str(name): value for name, value in (problem.get("values") or {}).items()}
    broken = problem.get("errors") or []
    if code in (InvalidValue.code, "invalid-request") and broken:
        first = broken[0]
        told = {"code": code, "status": status}
        return InvalidValue(first["field"], first["value"], first["rule"], **told)
    fallback: type[CausewayError] = ServiceError if status >= 500 else RuleError
    kind = _OTHERS.get(code) or _by_code(CausewayError).get(code) or fallback
    if kind is InvalidValue:
        # Without the value that it would name.
        kind = RuleError
    made = kind(str(problem.get("detail", code)))
    made.values = values | {"code": code, "status": status}
    return made


def _by_code(root: type[CausewayError]) -> dict[str, type[CausewayError]]:
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= _by_code(kind)
    return found
