"""The chain's facts on their way into the journal: pulled from the index, final, in chain order.

Deposits are taken one after the other without gaps, so nothing is credited twice (L10). When the
index has taken chain blocks back, everything that is journalled is compared with it again: a
deposit that is gone or different halts the venue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from backend.domain.commands import (
    KIND_OF,
    Command,
    CreditDeposit,
    EndExit,
    FlagClass,
    Halt,
    InvalidateNonce,
    ListAsset,
    ListClass,
    NotePreSignature,
    NoteSettlement,
    PauseVenue,
    SetParticipant,
    StartExit,
    UnpauseVenue,
)
from backend.domain.journal import Head, decode_entry
from backend.domain.orders import Account, account_of
from backend.domain.venue_events import HaltReason
from backend.errors import IndexInconsistent, InvalidValue
from backend.exchange.leadership import Leader
from backend.matching.engine import Engine
from backend.store.database import Connection, Database
from backend.store.queries import venue_facts
from backend.store.queries.venue_facts import PARTICIPANT, FinalHead, StoredFact

log = structlog.get_logger("feed")

#: Facts journalled in one go.
AT_ONCE: Final = 200
#: A lapse is no log: it stands behind every log of its chain block.
LAPSE_INDEX: Final = 1 << 31
#: Windows from an exit's request until it lapses.
LAPSE_WINDOWS: Final = 3
BROKEN_PAUSE_SECONDS: Final = 1.0
_OF_CHAIN: Final = (
    CreditDeposit, StartExit, EndExit, InvalidateNonce, NotePreSignature, SetParticipant,
    ListAsset, ListClass, PauseVenue, UnpauseVenue, NoteSettlement, FlagClass,
)  # fmt: skip
#: What can void trades when it is journalled.
_VOIDING: Final = (StartExit, EndExit, InvalidateNonce, PauseVenue)
_KINDS: Final = tuple(KIND_OF[kind] for kind in _OF_CHAIN)
_Place = tuple[int, int]


def fact_of(
    contract: str, name: str, args: Mapping[str, Any], block: int, log_index: int
) -> Command | None:
    """The command that an event of the chain is in a journal; None when it is none.

    `args` by ABI name, integers as int or as text. PARTICIPANT with an address as its name is the
    state of a participant after an event.
    """
    at = (block, log_index)

    def number(field: str) -> int:
        return int(args[field])

    if contract == PARTICIPANT:
        state = (number("tier"), number("expiry"), number("frozen"))
        return SetParticipant(*at, account_of(name), *state)
    if contract == "CarbonCredits":
        return _class_fact(name, at, number)
    match name if contract == "Exchange" else "":
        case "Deposited":
            who = account_of(args["account"])
            return CreditDeposit(*at, number("depositId"), who, number("asset"), number("amount"))
        case "ExitRequested":
            who = account_of(args["account"])
            return StartExit(*at, who, number("asset"), number("requestedAt"))
        case "ExitCancelled":
            return EndExit(*at, account_of(args["account"]), number("asset"), 0)
        case "ExitExecuted":
            return EndExit(*at, account_of(args["account"]), number("asset"), number("amount"))
        case "NonceInvalidated":
            return InvalidateNonce(*at, account_of(args["trader"]), number("nonce"), number("at"))
        case "PreSigned":
            digest = bytes.fromhex(args["digest"].removeprefix("0x"))
            return NotePreSignature(*at, account_of(args["account"]), digest)
        case "AssetListed":
            return ListAsset(*at, int(args["asset"], 16), number("listed"))
        case "VenuePaused":
            return PauseVenue(*at, number("at"))
        case "VenueUnpaused":
            return UnpauseVenue(*at, number("at"))
        case "BatchSettled" | "TradesVoided":
            return NoteSettlement(*at, number("lastTrade"), number("lastWithdrawal"))
        case _:
            return None


def _class_fact(name: str, at: _Place, number: Callable[[str], int]) -> Command | None:
    if name == "ClassFlagsSet":
        return FlagClass(*at, number("id"), number("flags"))
    return ListClass(*at, number("id")) if name == "ClassCreated" else None


class _View(NamedTuple):
    """What the feed asks the engine."""

    place: _Place
    last_deposit: int
    window: int
    halted: bool
    #: Running exits: (account, asset, requested at).
    exits: tuple[tuple[Account, int, int], ...]
    skew: int
    #: Voids that the chain has not seen: (first, last) trade.
    voids: tuple[tuple[int, int], ...]


class _Found(NamedTuple):
    """What the index gives next: commands to journal, or why the venue must halt."""

    commands: Sequence[Command]
    halt: Halt | None = None


class ChainFeed:
    """A hook of the leader; its state is what it knows of the index, lost without harm."""

    def __init__(self, database: Database, venue: int, confirmations: int) -> None:
        self._database = database
        self._venue = venue
        self._confirmations = confirmations
        #: Epoch of the index for which the journal was compared with it.
        self._compared: int | None = None
        #: Journalled facts that stand elsewhere since a reorganisation: not journalled again.
        self._moved: Counter[tuple[object, ...]] = Counter()
        #: Where they were found: a place is read again while what is before it is journalled.
        self._found_again: set[_Place] = set()
        #: Up to here nothing was left to journal.
        self._done: FinalHead | None = None

    @property
    def journalled_to(self) -> FinalHead | None:
        """The newest final chain block whose facts are all in the journal, if it is known."""
        return self._done

    async def after_commit(self, leader: Leader) -> None:
        """Nothing follows from a commit."""

    async def every(self, leader: Leader) -> None:
        """Journal what has become final, until there is no more."""
        while True:
            final = await asyncio.to_thread(self._final)
            if final is None or final == self._done:
                return
            view = await leader.look(_view)
            found = await asyncio.to_thread(self._read, view, final)
            if found.halt is not None:
                log.error("the chain no longer holds what is journalled", halt=found.halt)
                if not view.halted:
                    await leader.submit(found.halt)
                await asyncio.sleep(BROKEN_PAUSE_SECONDS)
                return
            if not found.commands:
                self._done = final
                return
            try:
                await leader.submit_all(found.commands)
            except InvalidValue as error:
                raise IndexInconsistent(
                    f"the index has a fact that cannot follow in the journal: {error.message}"
                ) from error

    # ── reading the index ────────────────────────────────────────────────────────────────────

    def _final(self) -> FinalHead | None:
        with self._database.read() as connection:
            return venue_facts.final_head(connection, self._confirmations)

    def _read(self, view: _View, final: FinalHead) -> _Found:
        if final.number < view.place[0]:
            # Chain blocks were taken back and are not indexed again yet.
            return _Found(())
        with self._database.read() as connection:
            if venue_facts.final_head(connection, self._confirmations) != final:
                # Moved on between two looks: the next round sees it whole.
                return _Found(())
            if final.epoch != self._compared:
                halt = self._compare(connection, view, final)
                if halt is not None:
                    return _Found((), halt)
                self._compared = final.epoch
            return self._next(connection, view, final)

    def _next(self, connection: Connection, view: _View, final: FinalHead) -> _Found:
        lapses = self._lapses(connection, view, final)
        up_to = min((block for block, *_ in lapses), default=final.number)
        stored = venue_facts.facts_after(connection, view.place, up_to, AT_ONCE)
        commands: list[Command] = []
        for fact in stored:
            if any(isinstance(one, _VOIDING) for one in commands) and _is_batch(fact):
                # Whether it settled what they void is known when they are journalled.
                return _Found(commands)
            void = _settled_after_void(fact, view)
            if void and not commands:
                return _Found((), Halt(HaltReason.SETTLED_AFTER_VOID, void))
            if void:
                return _Found(commands)
            if (command := _command(fact)) and self._is_new(command, view):
                commands.append(command)
        if commands or stored:
            if not commands:
                # Everything of a full page was known: look behind it.
                last = stored[-1]
                return self._next(
                    connection, view._replace(place=(last.block, last.log_index)), final
                )
            return _Found(commands)
        first = LAPSE_INDEX
        if view.place[0] == up_to:
            first = max(first, view.place[1] + 1)
        due = sorted((account, asset) for block, account, asset in lapses if block == up_to)
        return _Found([EndExit(up_to, first + i, *one, 0) for i, one in enumerate(due)])

    def _lapses(
        self, connection: Connection, view: _View, final: FinalHead
    ) -> list[tuple[int, Account, int]]:
        """(chain block, account, asset) of exits that have lapsed.

        A little later than on chain: a venue whose clock is behind the chain's, within the skew,
        would match in seconds in which the contract still refuses the account.
        """
        found = []
        for account, asset, requested_at in view.exits:
            end = requested_at + LAPSE_WINDOWS * view.window + view.skew
            if final.timestamp <= end:
                continue
            block = venue_facts.first_block_after(connection, end, final.number)
            if block is not None:
                found.append((max(block, view.place[0]), account, asset))
        return found

    def _is_new(self, command: Command, view: _View) -> bool:
        if isinstance(command, CreditDeposit):
            return command.deposit_id > view.last_deposit
        content, place = _content(command), _place(command)
        if self._moved[content] > 0 and place not in self._found_again:
            self._moved[content] -= 1
            self._found_again.add(place)
        return place not in self._found_again

    # ── after a reorganisation ───────────────────────────────────────────────────────────────

    def _compare(self, connection: Connection, view: _View, final: FinalHead) -> Halt | None:
        """Compare the journal's facts with the index; why the venue must halt, if it must."""
        entries = venue_facts.journalled_facts(connection, self._venue, _KINDS)
        journalled = [decode_entry(raw).command for raw in entries]
        indexed: dict[_Place, Command] = {}
        place: _Place = (-1, -1)
        while page := venue_facts.facts_after(connection, place, final.number, 5_000):
            place = (page[-1].block, page[-1].log_index)
            indexed.update({(one.block, one.log_index): made for one in page
                            if (made := _command(one))})  # fmt: skip
        deposits = {
            one.deposit_id: one[3:] for one in indexed.values() if isinstance(one, CreditDeposit)
        }
        self._moved.clear()
        self._found_again.clear()
        for command in journalled:
            if isinstance(command, CreditDeposit):
                if deposits.get(command.deposit_id) != command[3:]:
                    return Halt(HaltReason.DEPOSIT_REVERTED, command.deposit_id)
            elif indexed.get(_place(command)) == command:
                # Another fact in its place stays: it was moved there, or is missing in the journal.
                del indexed[_place(command)]
            elif not _is_lapse(command):
                self._moved[_content(command)] += 1
        # What is left stands in the index alone: below the journal's place it came too late.
        late = Counter(
            _content(one)
            for at, one in indexed.items()
            if at <= view.place and not isinstance(one, CreditDeposit)
        )
        known = late & self._moved
        self._moved -= known
        missed = late - known
        if missed:
            log.error("facts stand before the journal's place", count=missed.total())
            return Halt(HaltReason.OPERATOR, view.place[0])
        return None


def _view(engine: Engine, head: Head) -> _View:
    exits = tuple(
        (account.address, asset, requested_at)
        for account in engine.accounts.values()
        if account.exits
        for asset, requested_at in account.exits.items()
    )
    return _View(
        engine.chain_place, engine.last_deposit, engine.window_seconds, engine.halted,
        tuple((Account(bytes(who)), asset, at) for who, asset, at in exits),
        engine.skew_seconds, tuple((one.first, one.last) for one in engine.void_queue),
    )  # fmt: skip


def _command(fact: StoredFact) -> Command | None:
    return fact_of(fact.contract, fact.name, fact.args, fact.block, fact.log_index)


def _is_batch(fact: StoredFact) -> bool:
    return (fact.contract, fact.name) == ("Exchange", "BatchSettled")


def _settled_after_void(fact: StoredFact, view: _View) -> int:
    """The first trade that a batch settled although the journal has voided it, 0 when none."""
    if not _is_batch(fact):
        return 0
    first, last = int(fact.args["firstTrade"]), int(fact.args["lastTrade"])
    both = (max(first, one) for one, end in view.voids if max(first, one) <= min(last, end))
    return min(both, default=0)


def _place(command: Any) -> _Place:
    return (command.block, command.log_index)


def _content(command: Any) -> tuple[object, ...]:
    """What a fact says, wherever it stands."""
    return (type(command), *command[2:])


def _is_lapse(command: Command) -> bool:
    return isinstance(command, EndExit) and command.log_index >= LAPSE_INDEX
