"""Order entry in the OpenAPI schema, written by hand: its routes are no FastAPI routes."""

from __future__ import annotations

from typing import Any, Final

from backend.api.errors import problem_content
from backend.api.order_forms import MOST_AT_ONCE, Form
from backend.api.orders import DEADLINE_HEADER, DEADLINE_MS, LONGEST_MS, ROUTES, SHORTEST_MS

_INTEGER: Final = {"type": "string", "pattern": "^-?[0-9]+$"}
_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]*$"}
_SUMMARIES: Final = {
    "/v1/orders": "Place one order, or up to 50 at once",
    "/v1/cancels": "Cancel an order by its nonce, or up to 50 at once",
    "/v1/cancel-all": "Cancel every open order, of one instrument or of all",
    "/v1/withdrawals": "Move what is free from trading to claimable, one or up to 50 at once",
}
_PROBLEMS: Final = {
    401: "The signature is not the trader's",
    403: "The trader is not admitted and has nothing on the venue",
    405: "Another method",
    409: "The nonce belongs to another message: `conflict`",
    410: "The nonce is more than 1,024 below the lowest unused one",
    413: "The request is too large",
    422: "A value breaks a rule, or the nonce is too far ahead; `errors` says where",
    429: "Too many commands of the trader are under way; see `Retry-After`",
    503: "Not accepted: no leader, too much to do, or the deadline passed; see `Retry-After`",
    504: "Outcome unknown: send the same again to get the first answer",
}


def add_order_entry(schema: dict[str, Any]) -> None:
    """Put the operations and their shapes into an OpenAPI schema."""
    shapes = schema["components"]["schemas"]
    shapes["CommandResults"] = _RESULTS
    for path, form in ROUTES.items():
        shapes[f"Signed{form.primary}"] = form.schema()
        schema["paths"].setdefault(path, {})["post"] = _operation(path, form)


def _operation(path: str, form: Form) -> dict[str, Any]:
    one: dict[str, Any] = {"$ref": f"#/components/schemas/Signed{form.primary}"}
    body = one
    if form.plural is not None:
        # Anything is a valid item: what is malformed has its own result and stops no other.
        items = {"anyOf": [one, {}]}
        many = {
            "type": "object",
            "additionalProperties": False,
            "required": [form.plural],
            "properties": {
                form.plural: {
                    "type": "array",
                    "items": items,
                    "minItems": 1,
                    "maxItems": MOST_AT_ONCE,
                }
            },
        }
        body = {"oneOf": [one, many]}
    deadline = {
        "name": DEADLINE_HEADER,
        "in": "header",
        "required": False,
        "description": f"Milliseconds after which it must not be accepted; default {DEADLINE_MS}.",
        "schema": {"type": "integer", "minimum": SHORTEST_MS, "maximum": LONGEST_MS},
    }
    results = {"$ref": "#/components/schemas/CommandResults"}
    return {
        "tags": ["orders"],
        "operationId": f"post_{form.name}",
        "summary": _SUMMARIES[path],
        "description": "Of one message that was not journalled the status and the problem say why;"
        " in a list every message has its own result, at its own place.",
        "parameters": [deadline],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "What became of each message, in their order",
                "content": {"application/json": {"schema": results}},
            },
            **{
                str(status): {"description": text, "content": problem_content(status)}
                for status, text in _PROBLEMS.items()
            },
        },
    }


_JOURNALLED: Final = {
    "status": {
        "enum": ["accepted", "refused"],
        "description": "`refused`: in the journal, its nonce is used, `reason` says why.",
    },
    "repeated": {"type": "boolean", "description": "The same message came before: that answer."},
    "trader": {"type": "string", "format": "evm-address"},
    "nonce": _INTEGER,
    "seq": {**_INTEGER, "description": "Number of the journal entry."},
    "time_ms": {**_INTEGER, "description": "Time of the match, Unix milliseconds."},
    "filled": {**_INTEGER, "description": "Tonnes matched at once."},
    "resting": {**_INTEGER, "description": "Tonnes that stand in the book."},
    "ended": {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "Why nothing more of it can match.",
    },
    "reason": {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "Why it was refused.",
    },
    "events": {
        "type": "array",
        "items": {"type": "object"},
        "description": "What the trader may know of the entry, as the stream `orders` tells it.",
    },
    "entry": {**_HEX, "description": "The entry's exact bytes."},
    "entry_hash": {**_HEX, "description": "SHA-256 of `entry`."},
    "acknowledgement": {
        "type": "object",
        "required": ["path", "signature"],
        "description": "The sequencer's promise of (seq, entry_hash): keep it.",
        "properties": {
            "path": {
                **_HEX,
                "description": "From the leaf to the signed root, 33 bytes a level: 1 when the"
                " neighbour stands on the left, else 0, and its hash.",
            },
            "signature": {**_HEX, "description": "Of Acknowledgement(bytes32 root), 65 bytes."},
        },
    },
}
_RESULTS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": list(_JOURNALLED),
                        "properties": _JOURNALLED,
                    },
                    {
                        "type": "object",
                        "required": ["status", "problem"],
                        "properties": {
                            "status": {"const": "rejected"},
                            "problem": {"$ref": "#/components/schemas/Problem"},
                        },
                    },
                ]
            },
        }
    },
}
