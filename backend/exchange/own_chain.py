"""A watcher's own view of the chain: the facts its node holds, against those in the journal.

It reads the logs itself, by its own RPC endpoint, and turns them into facts by itself: neither the
index nor the leader's feed is asked. Every fact must be journalled, each in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from backend.chain.events import EventDecoder
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain import commands
from backend.domain.commands import Command, EndExit, VoidTrades
from backend.domain.events import ChainEvent
from backend.domain.orders import Account, account_of
from backend.errors import ChainBehind, ChainRejected
from backend.exchange.replaying import broken
from backend.matching.engine import Engine

Place = tuple[int, int]
Args = Mapping[str, Any]
#: An exit that nobody executed lapses so many windows after its request.
LAPSE_WINDOWS: Final = 3
#: What Participants says of Causeway's own contracts: admitted for ever.
_CONTRACT: Final = (255, 2**40 - 1)
_RANGE: Final = 2_000


def _of_deposit(at: Place, args: Args) -> Command:
    account = account_of(args["account"])
    return commands.CreditDeposit(*at, args["depositId"], account, args["asset"], args["amount"])


def _of_exit_request(at: Place, args: Args) -> Command:
    return commands.StartExit(*at, account_of(args["account"]), args["asset"], args["requestedAt"])


def _of_exit_end(at: Place, args: Args) -> Command:
    return EndExit(*at, account_of(args["account"]), args["asset"], args.get("amount", 0))


def _of_invalidation(at: Place, args: Args) -> Command:
    return commands.InvalidateNonce(*at, account_of(args["trader"]), args["nonce"], args["at"])


def _of_pre_signature(at: Place, args: Args) -> Command:
    digest = bytes.fromhex(args["digest"].removeprefix("0x"))
    return commands.NotePreSignature(*at, account_of(args["account"]), digest)


def _of_settlement(at: Place, args: Args) -> Command:
    return commands.NoteSettlement(*at, args["lastTrade"], args["lastWithdrawal"])


_PLAIN: Final[dict[tuple[str, str], Callable[[Place, Args], Command]]] = {
    ("Exchange", "Deposited"): _of_deposit,
    ("Exchange", "ExitRequested"): _of_exit_request,
    ("Exchange", "ExitCancelled"): _of_exit_end,
    ("Exchange", "ExitExecuted"): _of_exit_end,
    ("Exchange", "NonceInvalidated"): _of_invalidation,
    ("Exchange", "PreSigned"): _of_pre_signature,
    ("Exchange", "BatchSettled"): _of_settlement,
    ("Exchange", "TradesVoided"): _of_settlement,
    ("Exchange", "VenuePaused"): lambda at, args: commands.PauseVenue(*at, args["at"]),
    ("Exchange", "VenueUnpaused"): lambda at, args: commands.UnpauseVenue(*at, args["at"]),
    ("Exchange", "AssetListed"): lambda at, args: commands.ListAsset(
        *at, int(args["asset"], 16), int(args["listed"])
    ),
    ("CarbonCredits", "ClassCreated"): lambda at, args: commands.ListClass(*at, args["id"]),
    ("CarbonCredits", "ClassFlagsSet"): lambda at, args: commands.FlagClass(
        *at, args["id"], args["flags"]
    ),
}
_ADMISSIONS: Final = frozenset(
    ("Participants", name)
    for name in (
        "ParticipantAdmitted",
        "CausewayContractAdded",
        "ParticipantFrozen",
        "ParticipantUnfrozen",
    )
)


def fact_of(event: ChainEvent, engine: Engine) -> Command:
    """The journal command an event of the chain must become, given the state before it."""
    at, kind = (event.block_number, event.log_index), (event.contract, event.name)
    if kind not in _ADMISSIONS:
        return _PLAIN[kind](at, event.args)
    account = account_of(event.args["account"])
    held = engine.accounts.get(account)
    tier, expiry, frozen = (held.tier, held.expiry, held.frozen) if held else (0, 0, 0)
    if event.name == "ParticipantAdmitted":
        tier, expiry = event.args["tier"], event.args["expiry"]
    elif event.name == "CausewayContractAdded":
        tier, expiry = _CONTRACT
    else:
        frozen = int(event.name == "ParticipantFrozen")
    return commands.SetParticipant(*at, account, tier, expiry, frozen)


def _place(fact: Any) -> Place:
    return fact.block, fact.log_index


class OwnChain:
    """A FactCheck by one RPC endpoint, as deep as `confirmations` chain blocks below its head."""

    def __init__(self, rpc: Rpc, deployment: Deployment, confirmations: int) -> None:
        self._rpc, self._confirmations = rpc, confirmations
        self._addresses = deployment.addresses
        self._decoder = EventDecoder(deployment, lenient=True)
        #: Facts of chain blocks up to `read_to` that the journal does not have yet.
        self._waiting: deque[ChainEvent] = deque()
        self._started = False
        self.read_to = -1

    # ── FactCheck ────────────────────────────────────────────────────────────────────────────

    def check_fact(self, seq: int, command: Command, engine: Engine) -> None:
        """The command is the next fact of the own chain, or an exit that has lapsed."""
        place = _place(command)
        self._read(place[0], engine.chain_place)
        for again in (False, True):
            if again:
                # What was read early may have been replaced since: ask the node once more.
                self._read_again(place[0], engine.chain_place)
            event = self._waiting[0] if self._waiting else None
            own = fact_of(event, engine) if event else None
            if own == command:
                self._waiting.popleft()
                return
            if self._has_lapsed(place, command, event, engine):
                return
        raise broken(seq, f"says {command}; the chain's next fact is {own or 'none'}")

    def check_void(self, seq: int, command: VoidTrades, engine: Engine) -> None:
        """The chain block has that time, and no fact up to it is missing in the journal."""
        self._read(command.block, engine.chain_place)
        header = self._rpc.block(command.block)
        if header is None or header.timestamp != command.block_time:
            raise broken(seq, f"names chain block {command.block}, which is {header}: {command}")
        if self._waiting and self._waiting[0].block_number <= command.block:
            self._read_again(command.block, engine.chain_place)
            if self._waiting and self._waiting[0].block_number <= command.block:
                missing = fact_of(self._waiting[0], engine)
                raise broken(seq, f"voids trades before the fact {missing} is in the journal")

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def _has_lapsed(
        self, place: Place, command: Command, event: ChainEvent | None, engine: Engine
    ) -> bool:
        """Whether an exit ends because nobody executed it in time, which leaves no log."""
        if not isinstance(command, EndExit) or command.amount:
            return False
        if event is not None and (event.block_number, event.log_index) <= place:
            return False
        account = engine.accounts.get(Account(command.account))
        requested = account.exits.get(command.asset) if account else None
        header = self._rpc.block(command.block)
        if requested is None or header is None:
            return False
        return header.timestamp > requested + LAPSE_WINDOWS * engine.window_seconds

    def _read(self, block: int, after: Place) -> None:
        """Facts up to a chain block; ChainBehind while the own node does not call it final."""
        if not self._started:
            self.read_to, self._started = after[0] - 1, True
        if block <= self.read_to:
            return
        final = self._rpc.block_number() - self._confirmations
        if block > final:
            raise ChainBehind(
                f"chain block {block} is not final here, {final} is", block=block, final=final
            )
        size = _RANGE
        while self.read_to < block:
            first = self.read_to + 1
            last = min(final, first + size - 1)
            try:
                logs = self._rpc.get_logs(self._addresses, first, last)
            except ChainRejected:
                # Public endpoints refuse ranges with too many chain blocks or logs.
                if first == last:
                    raise
                size = max(1, (last - first + 1) // 2)
                continue
            self._waiting += (
                event
                for event in self._decoder.decode(logs)
                if (event.block_number, event.log_index) > after
                and ((kind := (event.contract, event.name)) in _PLAIN or kind in _ADMISSIONS)
            )
            self.read_to = last

    def _read_again(self, block: int, after: Place) -> None:
        self._waiting.clear()
        self.read_to = after[0] - 1
        self._read(block, after)
