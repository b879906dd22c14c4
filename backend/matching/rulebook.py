"""Version 1 of the rules: what is refused, in which order it is asked, and for which Reason.

An order with a valid signature and an unused nonce is asked, in this order:

 1. HALTED                the venue has stopped
 2. PAUSED                the Exchange is paused, or the pause ends later than now
 3. FROZEN                the account is frozen by a published order
 4. NOT_ADMITTED          tier 0, or admitted only to an earlier second
 5. EXITING               a forced exit of the account runs, of whatever asset
 6. UNKNOWN_ASSET         the settlement asset is not listed
 7. UNKNOWN_INSTRUMENT    no such class
 8. CLASS_HALTED          the class is held by a published order, or has a gap in its positions
 9. FEE_ABOVE_CAP         the maker's or the taker's fee is above the order's cap
10. SIGNED_AHEAD          signed later than now + skew
11. EXPIRED               now is after its expiry
12. INVALIDATED           its nonce was killed on chain
13. NOT_PRE_SIGNED        it claims a pre-signature that the chain does not hold
14. TOO_MANY_OPEN         the account has MAX_OPEN_ORDERS resting (whatever its conditions)
15. NOT_ENOUGH            available is less than it could cost: a buy quantity × price + the fee
                          at its cap, rounded down; a sell its kilograms
16. WOULD_CROSS           post-only, and any order stands at a price it crosses
17. CANNOT_FILL           fill-or-kill, and the orders it would meet do not fill it

A withdrawal: HALTED, FROZEN, EXITING, INVALIDATED, NOT_PRE_SIGNED, NOT_ENOUGH. A pause or a lost
admission do not stop it, nor does a halted class (L8). A cancel is refused only for NOTHING_OPEN.
Whatever is refused has used its nonce.

When a class is halted its resting orders end, for CLASS_HALTED: they were priced before the news,
and whoever is first after the release must not have them for the old price. What was matched
before the fact was journalled stands and settles.

Fill-or-kill counts what the order would match, best price and oldest first: orders of its own
trader count for nothing under CANCEL_MAKER and end the count under the other two rules (there the
order itself would end); orders whose cap is below the maker's fee count for nothing (they end).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backend.domain.orders import (
    BPS,
    KILOGRAMS_PER_TONNE,
    Conditions,
    Order,
    SelfTrade,
    Side,
    TimeInForce,
    Withdrawal,
    message_digest,
)
from backend.domain.venue_events import Reason
from backend.matching.accounts import AccountState
from backend.matching.book import Market

if TYPE_CHECKING:
    from backend.matching.engine import Engine

FIRST_VERSION: Final = 1
#: The versions of the rules this code can follow.
VERSIONS: Final = frozenset({FIRST_VERSION})
MAX_OPEN_ORDERS: Final = 5_000
#: Later than any time.
NEVER: Final = 1 << 63
#: Bit of the packed conditions that says retire-on-fill.
RETIRES: Final = 32
#: Conditions that `domain.orders.check_order` lets any order have: post-only is GTC, none retires.
PLAIN: Final = frozenset(
    Conditions(force, post_only, rule).pack()
    for force in TimeInForce
    for post_only in ((False, True) if force is TimeInForce.GTC else (False,))
    for rule in SelfTrade
)


def cost(order: Order, quantity: int) -> int:
    """What `quantity` tonnes of the order may take at most of the asset it gives."""
    if order.side == Side.SELL:
        return quantity * KILOGRAMS_PER_TONNE
    notional = quantity * order.price
    return notional + notional * order.max_fee_bps // BPS


def given(order: Order) -> int:
    """The asset an order gives: money when it buys, the class when it sells."""
    return order.instrument if order.side else order.asset


def refusal(engine: Engine, account: AccountState, order: Order, now: int) -> int:
    """The Reason (1 to 15 above) why an order is refused, 0 when it is not."""
    reason = (
        closed(engine, now)
        or barred(account, now)
        or unknown_market(engine, order)
        or out_of_terms(engine, order, now)
        or unsigned(engine, account, order)
    )
    if reason:
        return reason
    if len(account.orders) >= MAX_OPEN_ORDERS:
        return Reason.TOO_MANY_OPEN
    slot = account.slots.get(given(order))
    enough = slot is not None and slot.available >= cost(order, order.quantity)
    return 0 if enough else Reason.NOT_ENOUGH


def closed(engine: Engine, now: int) -> int:
    if engine.halted:
        return Reason.HALTED
    return Reason.PAUSED if now < engine.closed_until else 0


def barred(account: AccountState, now: int) -> int:
    """Why the account may not trade now: freeze, admission, exit."""
    if not account.frozen and account.tier and account.expiry < now:
        return Reason.NOT_ADMITTED
    return account.blocked


def unknown_market(engine: Engine, order: Order) -> int:
    if order.asset not in engine.assets:
        return Reason.UNKNOWN_ASSET
    if order.instrument not in engine.classes:
        return Reason.UNKNOWN_INSTRUMENT
    return Reason.CLASS_HALTED if order.instrument in engine.class_flags else 0


def out_of_terms(engine: Engine, order: Order, now: int) -> int:
    if order.max_fee_bps < max(engine.fees):
        return Reason.FEE_ABOVE_CAP
    if order.signed_at > now + engine.skew_seconds:
        return Reason.SIGNED_AHEAD
    return Reason.EXPIRED if order.expiry < now else 0


def unsigned(engine: Engine, account: AccountState, message: Order | Withdrawal) -> int:
    """Whether the chain has killed the nonce, or does not hold the pre-signature claimed."""
    if message.nonce in account.invalidated:
        return Reason.INVALIDATED
    if message.signature_kind == 0 or engine.domain is None:
        return 0
    known = message_digest(engine.domain, message) in account.pre_signed
    return 0 if known else Reason.NOT_PRE_SIGNED


def withdrawal_refusal(engine: Engine, account: AccountState, withdrawal: Withdrawal) -> int:
    """The Reason why a withdrawal is refused, 0 when it is not."""
    if engine.halted:
        return Reason.HALTED
    if account.frozen:
        return Reason.FROZEN
    if account.exits or account.short:
        return Reason.EXITING
    reason = unsigned(engine, account, withdrawal)
    if reason:
        return reason
    slot = account.slots.get(withdrawal.asset)
    enough = slot is not None and slot.available >= withdrawal.amount
    return 0 if enough else Reason.NOT_ENOUGH


def unmatchable(engine: Engine, account: AccountState, order: Order, market: Market) -> int:
    """The Reason (16, 17) why a post-only or fill-or-kill order is refused, 0 when it is not."""
    ladder = market.facing[order.side][1]
    limit = -order.price if order.side else order.price
    if order.conditions & 4:
        best = ladder.lowest()
        return Reason.WOULD_CROSS if best is not None and best <= limit else 0
    if order.conditions & 3 != TimeInForce.FOK:
        return 0
    skips_own = order.conditions >> 3 & 3 == SelfTrade.CANCEL_MAKER
    maker_bps = engine.fees[0]
    missing = order.quantity
    for key, level in ladder.ascending():
        if key > limit:
            break
        for maker in level.orders:
            if maker.account is account and maker.remaining and not skips_own:
                return Reason.CANNOT_FILL
            if maker.account is not account and maker.order.max_fee_bps >= maker_bps:
                missing -= maker.remaining
            if missing <= 0:
                return 0
    return Reason.CANNOT_FILL
