"""A state of the engine as canonical bytes, and back: equal states give equal bytes.

The structure is nested lists of integers and bytes, written like bencode: `i<decimal>e`,
`<length>:<bytes>`, `l…e`. Sets and dictionaries are sorted, what is at its default is left out, so
the bytes do not depend on the way a state was reached. A snapshot can be thrown away: the journal
gives it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from backend.domain.batches import SettlementTrade
from backend.domain.orders import Account, Order, Withdrawal
from backend.domain.venue_events import TradesVoided
from backend.errors import InvalidValue
from backend.matching.accounts import AccountState, PendingWithdrawal, Slot
from backend.matching.book import Pool
from backend.matching.resting import rest
from backend.matching.rulebook import VERSIONS, cost, given

if TYPE_CHECKING:
    from backend.matching.engine import Engine

SCHEMA: Final = 1
_SCALARS: Final = (
    "rules", "time_ms", "epochs", "leader", "chain_id", "exchange", "window_seconds",
    "skew_seconds", "last_deposit", "next_trade", "next_withdrawal", "settled_trade",
    "settled_withdrawal", "paused_until", "next_rank",
)  # fmt: skip
_OF_ACCOUNT: Final = ("base", "bits", "tier", "expiry", "frozen")


def dump(engine: Engine) -> bytes:
    """The whole state in canonical bytes."""
    state: list[Any] = [
        SCHEMA,
        [getattr(engine, name) for name in _SCALARS],
        [*engine.chain_place, *engine.fees, int(engine.halted)],
        sorted(engine.assets),
        sorted(engine.classes),
        [list(key) for key in sorted(engine.markets_by_key)],
        sorted([asset, pool.amount] for asset, pool in engine.fee_pools.items()),
        sorted([asset, pool.amount] for asset, pool in engine.earmark_pools.items()),
        [kept for _, one in sorted(engine.accounts.items()) if (kept := _account(one))],
        [
            [one.remaining, list(one.order)]
            for one in sorted(
                (one for state in engine.accounts.values() for one in state.orders.values()),
                key=lambda one: one.rank,
            )
        ],
        [[*one[:2], list(one[2]), list(one[3]), *one[4:]] for one in engine.unsettled_queue],
        [[one.number, one.after_trade, one.held, *one.withdrawal] for one in engine.leaving],
        [list(one) for one in engine.void_queue],
    ]
    if engine.class_flags:
        state.append([list(one) for one in sorted(engine.class_flags.items())])
    parts: list[bytes] = []
    _write(state, parts)
    return b"".join(parts)


def load(raw: bytes) -> Engine:
    """The inverse of `dump`; raises InvalidValue for another schema, rules or no snapshot."""
    from backend.matching.engine import Engine

    try:
        state, end = _read(raw, 0)
        schema, rules = state[0], state[1][0]
    except (ValueError, IndexError, TypeError):
        raise InvalidValue("snapshot", raw[:16].hex(), "is no snapshot") from None
    if end != len(raw) or schema != SCHEMA or rules not in VERSIONS:
        raise InvalidValue("snapshot", schema, f"is not of schema {SCHEMA} or of unknown rules")
    (_, scalars, flags, assets, classes, markets, fees, earmarks, accounts, orders, trades,
     leaving, voids, *flagged) = state  # fmt: skip
    engine = Engine()
    for name, value in zip(_SCALARS, scalars, strict=True):
        setattr(engine, name, value)
    engine.chain_place, engine.fees = (flags[0], flags[1]), (flags[2], flags[3])
    engine.highest_fee_bps, engine.halted = max(engine.fees), bool(flags[4])
    engine.reopen()
    engine.assets, engine.classes = set(assets), set(classes)
    engine.fee_pools = {asset: Pool(amount) for asset, amount in fees}
    engine.earmark_pools = {asset: Pool(amount) for asset, amount in earmarks}
    engine.class_flags = dict(flagged[0]) if flagged else {}
    for instrument, asset in markets:
        engine.market(instrument, asset)
    engine.list_markets()
    for one in accounts:
        _load_account(engine, one)
    next_rank = engine.next_rank
    for rank, (remaining, fields) in enumerate(orders, next_rank - len(orders)):
        _load_order(engine, rank, remaining, Order(*fields))
    engine.next_rank = next_rank
    engine.unsettled_queue.extend(
        SettlementTrade(one[0], one[1], Order(*one[2]), Order(*one[3]), *one[4:]) for one in trades
    )
    for number, after_trade, held, *fields in leaving:
        engine.leaving.append(PendingWithdrawal(number, after_trade, Withdrawal(*fields), held))
    engine.void_queue.extend(TradesVoided(*one) for one in voids)
    if engine.time_ms or engine.chain_id:
        engine.opened()
    return engine


def _account(account: AccountState) -> list[Any]:
    """What is known of an account, [] when nothing is."""
    kept: list[Any] = [
        [getattr(account, name) for name in _OF_ACCOUNT],
        [list(one) for one in sorted(account.exits.items())],
        sorted(account.short),
        sorted(account.invalidated),
        sorted(account.pre_signed),
        [
            [asset, slot.available, slot.reserved]
            for asset, slot in sorted(account.slots.items())
            if slot.available or slot.reserved
        ],
    ]
    return [account.address, *kept] if any(kept[0]) or any(kept[1:]) else []


def _load_account(engine: Engine, fields: list[Any]) -> None:
    address, scalars, exits, short, invalidated, pre_signed, slots = fields
    account = engine.account(Account(address))
    for name, value in zip(_OF_ACCOUNT, scalars, strict=True):
        setattr(account, name, value)
    account.exits = dict(exits)
    account.short, account.invalidated = set(short), set(invalidated)
    account.pre_signed = set(pre_signed)
    account.slots = {asset: Slot(*amounts) for asset, *amounts in slots}
    account.recompute()


def _load_order(engine: Engine, rank: int, remaining: int, order: Order) -> None:
    """Rest an order whose reservation its account's balances already hold."""
    account = engine.account(order.trader)
    slot, reserved = account.slot(given(order)), cost(order, remaining)
    slot.available += reserved
    slot.reserved -= reserved
    engine.next_rank = rank
    ladder = engine.market(order.instrument, order.asset).sides[order.side]
    key = order.price if order.side else -order.price
    rest(engine, account, slot, order, ladder, key, remaining, reserved)


def _write(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, bytes):
        parts.append(b"%d:" % len(value))
        parts.append(value)
    else:
        parts.append(b"l")
        for one in value:
            _write(one, parts)
        parts.append(b"e")


def _read(raw: bytes, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    if raw[at] == 0x69:
        end = raw.index(b"e", at)
        return int(raw[at + 1 : end]), end + 1
    if raw[at] == 0x6C:
        items = []
        at += 1
        while raw[at] != 0x65:
            one, at = _read(raw, at)
            items.append(one)
        return items, at + 1
    colon = raw.index(b":", at)
    start = colon + 1
    end = start + int(raw[at:colon])
    return raw[start:end], end
