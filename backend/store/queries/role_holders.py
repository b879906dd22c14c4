"""Who has which role, as the contracts published it: signers, thresholds, the manager's roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from backend.store.tables import chain_events

_NAMES = ("SignerSet", "ThresholdsSet", "LegalSignerSet", "LegalThresholdsSet")
_MANAGED = ("RoleGranted", "RoleRevoked")
#: The two kinds of signers as each contract's thresholds name them.
_KINDS = {"Trust": ("custodians", "attestors"), "LegalOrders": ("freezers", "enforcers")}


@dataclass(frozen=True, slots=True)
class Holder:
    """One address in one role of one contract, since a chain block. `role` is its number there;
    `delay`: seconds that what it does has to be announced before, None for signers.
    """

    contract: str
    role: int
    account: str
    since_block: int
    delay: int | None


@dataclass(frozen=True, slots=True)
class Holders:
    """Everybody with a role, and of each contract with signers how many of both kinds must sign."""

    held: tuple[Holder, ...]
    thresholds: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def role_holders(connection: Connection) -> Holders:
    """Roles as the events up to the newest indexed chain block leave them."""
    table = chain_events
    rows = connection.execute(
        select(table.c.contract, table.c.name, table.c.args, table.c.block_number)
        .where(
            table.c.contract.in_(("Trust", "LegalOrders", "AccessManager")),
            table.c.name.in_((*_NAMES, *_MANAGED)),
        )
        .order_by(table.c.block_number, table.c.log_index)
    )
    return _replay(rows)


def _replay(rows: Iterable[Any]) -> Holders:
    held: dict[tuple[str, int, str], Holder] = {}
    thresholds: dict[str, tuple[int, int]] = {}
    for row in rows:
        args = row.args
        if row.name.endswith("ThresholdsSet"):
            first, second = _KINDS[row.contract]
            thresholds[row.contract] = int(args[first]), int(args[second])
        elif row.name.endswith("SignerSet"):
            for role in (1, 2):
                held.pop((row.contract, role, args["signer"]), None)
            if int(args["role"]):
                _add(held, row, int(args["role"]), args["signer"], None)
        elif row.name == "RoleGranted":
            _add(held, row, int(args["roleId"]), args["account"], int(args["delay"]))
        else:
            held.pop((row.contract, int(args["roleId"]), args["account"]), None)
    ordered = sorted(held.values(), key=lambda one: (one.contract, one.role, one.account))
    return Holders(tuple(ordered), thresholds)


def _add(
    held: dict[tuple[str, int, str], Holder], row: Any, role: int, account: str, delay: int | None
) -> None:
    key = (row.contract, role, account)
    since = held[key].since_block if key in held else row.block_number
    held[key] = Holder(row.contract, role, account, since, delay)
