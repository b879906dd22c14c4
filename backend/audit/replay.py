"""L9: what the chain settled, voided and anchored, against the journal that was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from backend.audit.acknowledged import Promised, check_acknowledgements
from backend.audit.evidence import Evidence
from backend.audit.facts import check_facts, check_void_reasons
from backend.audit.journal import Journal, ended_text, read_journal
from backend.audit.report import Findings
from backend.audit.settlement import SettledTrade, SettledWithdrawal
from backend.audit.venue import Venue
from backend.domain.batches import Batch, SettlementTrade, deltas
from backend.domain.orders import Account, Order, Side, account_of, fee_of

_NO_JOURNAL: Final = "no journal given (--journal)"


def check_replay(
    findings: Findings,
    evidence: Evidence,
    venue: Venue,
    journal_path: Path | None,
    promised: Promised,
) -> None:
    """Judge the journal by itself and against the chain; say what needs one when there is none."""
    if journal_path is None:
        findings.gap("L6", f"{_NO_JOURNAL}: fills of cancelled orders and priority need a replay")
        findings.gap("L9", _NO_JOURNAL)
        return
    journal = read_journal(findings, journal_path, venue.domain, evidence.progress)
    if journal.stopped is not None:
        findings.gap(
            "L6", f"the replay stopped at entry {journal.stopped}: behind it priority and "
            "cancelled orders were judged by what the journal tells",
        )  # fmt: skip
    _check_opening(findings, evidence, journal, venue)
    after = check_facts(findings, evidence, journal, venue.window)
    check_void_reasons(findings, evidence, journal, venue.window)
    complete = _check_anchors(findings, journal, venue)
    if complete and not after and journal.stopped is None:
        _check_balances(findings, journal, venue)
    _Comparison(findings, journal, venue).run()
    check_acknowledgements(findings, journal, venue, promised)


def _check_opening(findings: Findings, evidence: Evidence, journal: Journal, venue: Venue) -> None:
    opened = journal.opened
    if opened is None:
        return
    here = (
        evidence.deployment.chain_id, account_of(venue.domain.contract), venue.window, venue.skew,
    )  # fmt: skip
    if tuple(opened) != here:
        findings.broken(
            "L9", f"entry 1 opens chain {opened.chain_id}, Exchange 0x{opened.exchange.hex()}, "
            f"window {opened.window_seconds}, skew {opened.skew_seconds}; the chain has {here[0]}, "
            f"0x{here[1].hex()}, {here[2]}, {here[3]}", None, seq=1,
        )  # fmt: skip


def _check_balances(findings: Findings, journal: Journal, venue: Venue) -> None:
    """What an account has by the journal is its balance on chain and what is unsettled."""
    engine, slots = journal.engine, venue.books.slots
    trades, withdrawals = engine.unsettled()
    waiting = deltas(Batch(0, trades, 0, withdrawals, 0, b"", 0, 0)).balances
    told = {
        (Account(account), asset): sum(held)
        for account in engine.accounts
        for asset, held in engine.balances(Account(account)).items()
    }
    compared = 0
    for account, asset in sorted({*told, *slots}):
        state = engine.accounts.get(account)
        if state is not None and state.short:
            continue  # an exit took what a withdrawal waits for: it settles with less
        compared += 1
        slot = slots.get((account, asset))
        held = (slot.balance if slot else 0) + waiting.get((account, asset), 0)
        if held != told.get((account, asset), 0):
            findings.broken(
                "L9", f"replayed, 0x{account.hex()} has {told.get((account, asset), 0)} of asset "
                f"{asset}; its balance on chain and what is unsettled are {held}",
                slot.touched if slot else None, asset=str(asset),
            )  # fmt: skip
    findings.count("L9", balances_compared=compared)


def _check_anchors(findings: Findings, journal: Journal, venue: Venue) -> bool:
    """Every head on chain is the hash of that entry; False when the journal ends before one."""
    beyond = 0
    for seq, head, event in venue.anchors:
        found = journal.hash_at(seq)
        if found is None:
            beyond = max(beyond, seq)
        elif "0x" + found.hex() != head:
            findings.broken(
                "L9", f"entry {seq} hashes to 0x{found.hex()}, anchored on chain is {head}", event,
                seq=seq,
            )  # fmt: skip
    if beyond:
        for law in ("L6", "L9"):
            findings.gap(
                law, f"the journal ends at entry {journal.length}, entry {beyond} is anchored on "
                "chain: what is settled after its end was not compared",
            )  # fmt: skip
    return not beyond


class _Comparison:
    """Trades, withdrawals and voids of the chain with those of the journal."""

    def __init__(self, findings: Findings, journal: Journal, venue: Venue) -> None:
        self.findings, self.journal, self.venue = findings, journal, venue
        self.voided_trades: dict[int, int] = {}
        self.voided_withdrawals: dict[int, int] = {}
        for seq, event in journal.voided:
            self.voided_trades |= dict.fromkeys(range(event.first, event.last + 1), seq)
            numbers = range(event.first_withdrawal, event.last_withdrawal + 1)
            self.voided_withdrawals |= dict.fromkeys(numbers, seq)

    def run(self) -> None:
        settlement = self.venue.settlement
        after = sum(self._trade(number, one) for number, one in settlement.trades.items())
        for number, paid in settlement.withdrawals.items():
            self._withdrawal(number, paid)
        self._voids()
        self.findings.count(
            "L9", trades_compared=len(settlement.trades) - after, trades_after_journal=after,
            withdrawals_compared=len(settlement.withdrawals),
        )  # fmt: skip
        self.findings.count("L6", trades_replayed=len(self.journal.trades))

    def _within(self, seq: int) -> bool:
        """Whether the journal reaches so far that it must hold what is anchored there."""
        return seq <= self.journal.length

    def _trade(self, number: int, settled: SettledTrade) -> bool:
        """Compare one trade; True when the journal ends before it."""
        trade, event = settled.trade, settled.event
        told = self.journal.trades.get(number)
        if told is None:
            if self._within(event.args["seq"]):
                self._broken(number, "was settled on chain, the journal has no such trade", settled)
            return not self._within(event.args["seq"])
        differing = _differences(trade, told.time_s, told.traded)
        if differing:
            shown = ", ".join(f"{name} {one} (journal: {other})" for name, one, other in differing)
            self._broken(number, f"was settled on chain with {shown}", settled, told.seq)
        if told.seq > event.args["seq"]:
            self._broken(
                number, f"stands in entry {told.seq}, its batch was signed for the journal up to "
                f"{event.args['seq']}", settled, told.seq,
            )  # fmt: skip
        if number in self.voided_trades:
            self._broken(
                number, f"was settled on chain, entry {self.voided_trades[number]} voids it",
                settled, self.voided_trades[number],
            )  # fmt: skip
        for order in (trade.maker, trade.taker):
            self._order(number, order, settled, bool(differing))
        return False

    def _order(self, number: int, order: Order, settled: SettledTrade, differs: bool) -> None:
        who = (order.trader, order.nonce)
        held = self.journal.orders.get(who)
        if held is None or held[1] != order:
            where = f"entry {held[0]} has another" if held else "no entry has it"
            self._broken(
                number, f"fills an order of nonce {order.nonce} of 0x{order.trader.hex()} that is "
                f"not in the journal: {where}", settled,
            )  # fmt: skip
        elif differs and who in self.journal.ended and not self._fills(who, number):
            self.findings.broken(
                "L6", f"trade {number} fills what was ended: {ended_text(self.journal, who)}",
                settled.event, trade=number, seq=self.journal.ended[who][0],
            )  # fmt: skip

    def _fills(self, who: tuple[Account, int], number: int) -> bool:
        """Whether the journal's trade of this number fills this order too."""
        traded = self.journal.trades[number].traded
        return who in (
            (traded.maker, traded.maker_nonce),
            (traded.taker, traded.taker_nonce),
        )

    def _broken(
        self, number: int, what: str, settled: SettledTrade, seq: int | None = None
    ) -> None:
        place: dict[str, Any] = {} if seq is None else {"seq": seq}
        self.findings.broken(
            "L9", f"trade {number} {what}", settled.event, (), trade=number, **place
        )

    def _withdrawal(self, number: int, paid: SettledWithdrawal) -> None:
        told, event = self.journal.withdrawals.get(number), paid.event
        what = ""
        if told is None:
            if self._within(event.args["seq"]):
                what = "was settled on chain, the journal has no such withdrawal"
        elif told.withdrawal != paid.settled.withdrawal:
            what = (
                f"was settled on chain as {paid.settled.withdrawal}, entry {told.seq} has another"
            )
        elif number in self.voided_withdrawals:
            what = f"was settled on chain, entry {self.voided_withdrawals[number]} voids it"
        elif told.accepted.after_trade > event.args["lastTrade"]:
            what = f"was settled before trade {told.accepted.after_trade}, which it came after"
        if what:
            self.findings.broken(
                "L9", f"withdrawal {number} {what}", event, (), withdrawal=number,
                **({} if told is None else {"seq": told.seq}),
            )  # fmt: skip

    def _voids(self) -> None:
        """What the chain passed over is what the journal voided, number by number."""
        for event in self.venue.settlement.voids:
            args = event.args
            if not self._within(args["seq"]):
                continue
            for name, voided in (("Trade", self.voided_trades),
                                 ("Withdrawal", self.voided_withdrawals)):  # fmt: skip
                numbers = range(args[f"first{name}"], args[f"last{name}"] + 1)
                wrong = [number for number in numbers if number not in voided]
                if wrong:
                    self.findings.broken(
                        "L9", f"{name.lower()} {wrong[0]} was voided on chain, the journal does "
                        f"not void it ({len(wrong)} such)", event, (),
                        **{name.lower(): wrong[0]},
                    )  # fmt: skip


def _differences(
    trade: SettlementTrade, time_s: int, traded: Any
) -> list[tuple[str, object, object]]:
    """Fields in which a settled trade is another than the journal's: name, chain's, journal's."""
    notional = trade.quantity * trade.price
    buyer = trade.taker if trade.taker.side == Side.BUY else trade.maker
    retired = int(buyer.conditions & 32 != 0 and buyer is trade.taker)
    pairs = [
        ("maker", _who(trade.maker.trader, trade.maker.nonce),
         _who(traded.maker, traded.maker_nonce)),
        ("taker", _who(trade.taker.trader, trade.taker.nonce),
         _who(traded.taker, traded.taker_nonce)),
        ("instrument", trade.maker.instrument, traded.instrument),
        ("asset", trade.maker.asset, traded.asset),
        ("price", trade.price, traded.price),
        ("quantity", trade.quantity, traded.quantity),
        ("time", trade.time_s, time_s),
        ("maker's fee", fee_of(notional, trade.maker_fee_bps), traded.maker_fee),
        ("taker's fee", fee_of(notional, trade.taker_fee_bps), traded.taker_fee),
        ("taker's side", trade.taker.side, traded.taker_side),
        ("retired", retired, traded.retired),
    ]  # fmt: skip
    return [(name, one, other) for name, one, other in pairs if one != other]


def _who(account: Account, nonce: int) -> str:
    return f"0x{account.hex()} nonce {nonce}"
