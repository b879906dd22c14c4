"""L5 of the Exchange, from calldata: who signed each fill, withdrawal, batch, void, anchor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.audit.calls import Call, Calls
from backend.audit.report import Findings
from backend.chain.keys import recover
from backend.chain.signatures import Verifier, recover_account
from backend.domain.batches import (
    Batch,
    Void,
    anchor_digest,
    batch_digest,
    signature_slots,
    void_digest,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.events import ChainEvent
from backend.domain.orders import Account, Order, SignatureKind, Withdrawal, account_of
from backend.errors import InvalidValue

_EXCHANGE: Final = "Exchange"
#: EIP-2098: r and s, the parity of v in the highest bit of s.
_COMPACT: Final = 64
_KEYS: Final = ("sequencer", "watcher")
#: What only the account itself may do: event, function, the argument that names it.
OWN_ACTS: Final = {
    "ExitRequested": ("requestExit", "account"),
    "ExitCancelled": ("cancelExit", "account"),
    "NonceInvalidated": ("invalidate", "trader"),
    "PreSigned": ("preSign", "account"),
}


def expand(signature: bytes) -> bytes:
    """The 65 bytes r ‖ s ‖ v of a compact signature."""
    parity = signature[32] >> 7
    return signature[:32] + bytes((signature[32] & 0x7F,)) + signature[33:] + bytes((27 + parity,))


@dataclass(slots=True)
class Approvals:
    """Walks the acts of the Exchange in log order; knows whose keys were in force at each."""

    findings: Findings
    calls: Calls
    domain: SigningDomain
    verifier: Verifier
    keys: tuple[str, str] | None = None
    #: Everybody who ever was the sequencer.
    sequencers: list[str] = field(default_factory=list)
    pre_signed: set[tuple[Account, bytes]] = field(default_factory=set)
    acts: int = 0
    signatures: int = 0
    own_acts: int = 0
    indirect: int = 0
    _sequencers_seen: set[str] = field(default_factory=set)

    def broken(self, what: str, event: ChainEvent, **amounts: int | str) -> None:
        self.findings.broken("L5", what, event, (), **amounts)

    def set_keys(self, event: ChainEvent) -> None:
        """KeysSet: from here on these two sign."""
        self.keys = (event.args["sequencer"], event.args["watcher"])
        if self.keys[0] == self.keys[1]:
            self.broken(f"sequencer and watcher are one key, {self.keys[0]}", event)
        if self.keys[0] not in self._sequencers_seen:
            self._sequencers_seen.add(self.keys[0])
            self.sequencers.append(self.keys[0])

    def own_act(self, event: ChainEvent) -> None:
        """An exit, invalidation or pre-signature is called by the account it is of."""
        function, name = OWN_ACTS[event.name]
        account = event.args[name]
        self.own_acts += 1
        if event.name == "PreSigned":
            digest = bytes.fromhex(event.args["digest"].removeprefix("0x"))
            self.pre_signed.add((account_of(account), digest))
        found = self.calls.of(_EXCHANGE, event.transaction_hash)
        if found is None:
            self.indirect += 1
        elif not any(call.function == function and call.caller == account for call in found):
            self.broken(f"{event.name} of {account} was not called by {account}", event)

    # ------------------------------------------------------------- two keys' acts

    def batch(self, event: ChainEvent, batch: Batch | None) -> None:
        """BatchSettled: both keys over its bytes, and every order's and withdrawal's trader."""
        raw = bytes.fromhex(event.args["batch"].removeprefix("0x"))
        what = f"the batch of trades {event.args['firstTrade']} to {event.args['lastTrade']}"
        call = self._call(event, "settle", what, lambda one: one.args["batch"] == "0x" + raw.hex())
        if call is None:
            return
        parts = _parts(call.args["signatures"])
        self._two_keys(event, what, batch_digest(self.domain, raw), parts)
        if batch is not None:
            self._traders(event, what, batch, parts[2:])

    def void(self, event: ChainEvent) -> None:
        """TradesVoided: both keys over the ranges, the reason and the head."""
        args = event.args
        names = (
            "firstTrade", "lastTrade", "firstWithdrawal", "lastWithdrawal", "reason", "seq",
        )  # fmt: skip
        numbers = [args[name] for name in names]
        void = Void._make([*numbers, _bytes(args["head"])])
        what = f"the void of trades {void.first_trade} to {void.last_trade}"
        call = self._call(
            event, "voidTrades", what,
            lambda one: all(one.args[name] == args[name] for name in (*names, "head")),
        )  # fmt: skip
        if call is not None:
            signed = void_digest(self.domain, void)
            self._two_keys(event, what, signed, _parts(call.args["signatures"]))

    def anchor(self, event: ChainEvent) -> None:
        """Anchored: both keys over seq and head."""
        seq, head = event.args["seq"], event.args["head"]
        what = f"the anchor of entry {seq}"
        call = self._call(
            event, "anchor", what,
            lambda one: (one.args["seq"], one.args["head"]) == (seq, head),
        )  # fmt: skip
        if call is not None:
            signed = anchor_digest(self.domain, seq, _bytes(head))
            self._two_keys(event, what, signed, _parts(call.args["signatures"]))

    def _call(
        self, event: ChainEvent, function: str, what: str, fits: Callable[[Call], bool]
    ) -> Call | None:
        """The call that caused an event; a break when its transaction has none."""
        self.acts += 1
        found = self.calls.of(_EXCHANGE, event.transaction_hash)
        if found is None:
            self.indirect += 1
            return None
        for call in found:
            if call.function == function and fits(call):
                return call
        self.broken(f"{what} was published by a transaction that never asked for it", event)
        return None

    def _two_keys(
        self, event: ChainEvent, what: str, digest: bytes, parts: Sequence[bytes]
    ) -> None:
        if self.keys is None:
            self.broken(f"{what}: there were no keys yet", event)
            return
        for place, (name, key) in enumerate(zip(_KEYS, self.keys, strict=True)):
            self.signatures += 1
            signer = _signer(digest, parts, place)
            if signer != key:
                self.broken(
                    f"{what}: signed by {signer or 'nobody'} where the {name} {key} must sign",
                    event, expected=key, signer=signer or "",
                )  # fmt: skip

    # ----------------------------------------------------------------- traders

    def _traders(self, event: ChainEvent, what: str, batch: Batch, parts: Sequence[bytes]) -> None:
        """Each order and withdrawal by its own trader: signature, or digest pre-signed before."""
        messages = _messages(batch)
        slots = signature_slots(batch)
        if len(parts) != len(slots):
            self.broken(
                f"{what}: {len(parts)} traders' signatures for {len(slots)} messages", event
            )
        for slot, part in zip(slots, parts, strict=False):
            message = messages[slot.trader, slot.nonce, slot.kind]
            self.signatures += 1
            try:
                signer = recover_account(self.verifier.digest(message), expand(part))
            except InvalidValue:
                signer = Account(b"")
            if signer != slot.trader:
                self.broken(
                    f"{what}: {slot.kind} {slot.nonce} of 0x{slot.trader.hex()} is signed by "
                    f"{'0x' + signer.hex() if signer else 'nobody'}", event, nonce=slot.nonce,
                )  # fmt: skip
        for (trader, nonce, kind), message in messages.items():
            if message.signature_kind != SignatureKind.PRE_SIGNED:
                continue
            self.signatures += 1
            if (trader, self.verifier.digest(message)) not in self.pre_signed:
                self.broken(
                    f"{what}: {kind} {nonce} of 0x{trader.hex()} claims a pre-signature that was "
                    "never given", event, nonce=nonce,
                )  # fmt: skip


def _messages(batch: Batch) -> dict[tuple[Account, int, str], Order | Withdrawal]:
    found: dict[tuple[Account, int, str], Order | Withdrawal] = {
        (order.trader, order.nonce, "order"): order
        for trade in batch.trades
        for order in (trade.maker, trade.taker)
    }
    for one in batch.withdrawals:
        found[one.withdrawal.trader, one.withdrawal.nonce, "withdrawal"] = one.withdrawal
    return found


def _parts(signatures: str) -> list[bytes]:
    """Compact signatures one by one; a last one that is cut off stays as it is."""
    raw = _bytes(signatures)
    return [raw[at : at + _COMPACT] for at in range(0, len(raw), _COMPACT)]


def _signer(digest: bytes, parts: Sequence[bytes], place: int) -> str | None:
    if place >= len(parts) or len(parts[place]) != _COMPACT:
        return None
    try:
        return recover(digest, expand(parts[place]))
    except InvalidValue:
        return None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
