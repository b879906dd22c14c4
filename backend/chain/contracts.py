"""Typed reads of Causeway's contracts, each at a chain block that the caller names."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from backend.chain import abi, calls
from backend.chain.manifest import Deployment
from backend.chain.rpc import BlockId, Rpc, block_id
from backend.domain.positions import Positions
from backend.domain.records import Settled
from backend.domain.retirements import RetirementDetails
from backend.domain.units import Kilograms, Position, TokenId
from backend.errors import InvalidValue


class ReceiptStatus(IntEnum):
    """What Trust knows of a receipt."""

    UNKNOWN = 0
    MINTED = 1
    CANCELLED = 2


class OrderState(IntEnum):
    """What LegalOrders knows of a forced transfer or a recovery."""

    UNKNOWN = 0
    SCHEDULED = 1
    EXECUTED = 2
    CANCELLED = 3


class ClassState(NamedTuple):
    """Counters of a class; `number` 0 when the class does not exist yet."""

    positions: Positions
    number: int
    certificates: int


class ClassHashes(NamedTuple):
    """P and C in full; all zero when the class does not exist."""

    project: bytes
    vintage: bytes


class Participant(NamedTuple):
    """Who may hold: tier 0 unknown … 3 institution, 255 a contract of Causeway; times Unix
    seconds, `expiry` inclusive, `frozen_since` 0 when not frozen."""

    tier: int
    jurisdiction: str
    expiry: int
    frozen_since: int
    frozen_seconds: int


class Certificate(NamedTuple):
    """A retirement certificate; the three counters are the class's before the retirement."""

    owner: str
    class_id: TokenId
    kilograms: Kilograms
    exited: int
    open_tonne: int
    dust: int
    details_hash: bytes


class RegisteredBlock(NamedTuple):
    """A block of serials in trust or retired, as Trust's register holds it."""

    first: int
    last: int
    class_id: TokenId


class MintedBlock(NamedTuple):
    """A block of a class as it was minted or appended."""

    series_id: bytes
    first: int
    last: int
    first_position: Position


class SerialRun(NamedTuple):
    """The serial behind a position; `run` tonnes from there on are consecutive."""

    series_id: bytes
    serial: int
    run: int


class SettledRange(NamedTuple):
    """Positions [first, last] of a class that are settled, and how."""

    kind: Settled
    first: Position
    last: Position


class ReserveState(NamedTuple):
    """What the newest reserve report says; `as_of` in Unix seconds, sequence 0 = no report."""

    sequence: int
    as_of: int
    root: bytes
    tonnes: int


class Contracts:
    """Reads of one deployment. `block` is a number, `latest` or `finalized`.

    Raises ChainRejected with the decoded custom error when a view reverts.
    """

    #: The calls' data (all of them in `chain.calls`).
    mint_with_receipt = staticmethod(calls.mint_with_receipt)
    record_registry_retirement = staticmethod(calls.record_registry_retirement)
    record_registry_failure = staticmethod(calls.record_registry_failure)
    record_made_good = staticmethod(calls.record_made_good)
    report_reserve = staticmethod(calls.report_reserve)

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self.rpc, self.deployment = rpc, deployment

    # ----------------------------------------------------------------- generic

    def read(self, contract: str, function: str, *args: Any, block: BlockId = "latest") -> Any:
        """What a view function returns, in the decoded form of `chain.abi`."""
        data = abi.encode_call(contract, function, args)
        result = self.rpc.eth_call(self.deployment[contract], data, block)
        return abi.decode_result(contract, function, result, len(args))

    def read_many(
        self, calls: Sequence[tuple[str, str, Sequence[Any]]], block: BlockId = "latest"
    ) -> list[Any]:
        """Many reads (contract, function, arguments) by JSON-RPC batches, in their order."""
        at = block_id(block)
        answers = self.rpc.batch(
            (
                "eth_call",
                (
                    {
                        "to": self.deployment[contract],
                        "data": "0x" + abi.encode_call(contract, function, args).hex(),
                    },
                    at,
                ),
            )
            for contract, function, args in calls
        )
        return [
            abi.decode_result(contract, function, bytes.fromhex(answer[2:]), len(args))
            for (contract, function, args), answer in zip(calls, answers, strict=True)
        ]

    # ----------------------------------------------------------------- credits

    def total_supply(self, class_id: int, block: BlockId = "latest") -> Kilograms:
        """L1: kilograms outstanding of a class."""
        return Kilograms(self.read("CarbonCredits", "totalSupply", class_id, block=block))

    def balance_of(self, account: str, class_id: int, block: BlockId = "latest") -> Kilograms:
        """Kilograms of a class that an account holds."""
        return Kilograms(self.read("CarbonCredits", "balanceOf", account, class_id, block=block))

    def balances(
        self, pairs: Sequence[tuple[str, int]], block: BlockId = "latest"
    ) -> list[Kilograms]:
        """Kilograms per (account, class), in the order asked."""
        calls = [("CarbonCredits", "balanceOf", pair) for pair in pairs]
        return [Kilograms(value) for value in self.read_many(calls, block)]

    def retired_balance_of(
        self, account: str, class_id: int, block: BlockId = "latest"
    ) -> Kilograms:
        """Kilograms of a class retired out of an account."""
        return Kilograms(
            self.read("CarbonCredits", "retiredBalanceOf", account, class_id, block=block)
        )

    def positions(self, class_id: int, block: BlockId = "latest") -> ClassState:
        """Counters of a class, its number and how many certificates it has."""
        raw = self.read("CarbonCredits", "positions", class_id, block=block)
        counters = Positions(raw["minted"], raw["exited"], raw["openTonne"], raw["dust"])
        return ClassState(counters, raw["number"], raw["certificates"])

    def class_hashes(self, class_id: int, block: BlockId = "latest") -> ClassHashes:
        """P and C of a class in full."""
        raw = self.read("CarbonCredits", "classHashes", class_id, block=block)
        return ClassHashes(_bytes(raw["projectHash"]), _bytes(raw["vintageHash"]))

    def class_ids(self, block: BlockId = "latest") -> list[TokenId]:
        """Token ids of all classes, in the order of their first mints."""
        count = self.read("CarbonCredits", "classCount", block=block)
        calls = [("CarbonCredits", "classAt", (number,)) for number in range(1, count + 1)]
        return [TokenId(value) for value in self.read_many(calls, block)]

    def is_approved(self, holder: str, operator: str, block: BlockId = "latest") -> bool:
        """Whether an operator may move and retire for a holder."""
        return bool(self.read("CarbonCredits", "isApprovedForAll", holder, operator, block=block))

    def participant(self, account: str, block: BlockId = "latest") -> Participant:
        """Admission of an account."""
        raw = self.read("Participants", "participant", account, block=block)
        code = _bytes(raw["jurisdiction"]).rstrip(b"\0").decode("ascii", "replace")
        return Participant(
            raw["tier"], code, raw["expiry"], raw["frozenSince"], raw["frozenSeconds"]
        )

    def certificate(self, certificate_id: int, block: BlockId = "latest") -> Certificate:
        """What a certificate says on chain."""
        raw = self.read("RetirementCertificates", "certificate", certificate_id, block=block)
        return Certificate(
            raw["owner"],
            TokenId(raw["classId"]),
            Kilograms(raw["kilograms"]),
            raw["exited"],
            raw["openTonne"],
            raw["dust"],
            _bytes(raw["detailsHash"]),
        )

    def certificate_uri(
        self,
        certificate_id: int,
        details: RetirementDetails | None = None,
        block: BlockId = "latest",
    ) -> str:
        """tokenURI of a certificate; with `details` the contract checks and includes the texts."""
        name = "RetirementCertificates"
        if details is None:
            return str(self.read(name, "tokenURI", certificate_id, block=block))
        texts = {
            "beneficiary": details.beneficiary,
            "purpose": details.purpose,
            "period": details.period,
            "instructionHash": details.instruction_hash,
        }
        return str(
            self.read(name, "tokenURIWithDetails", certificate_id, details.salt, texts, block=block)
        )

    # ------------------------------------------------------------------- trust

    def receipt_status(self, receipt_id: bytes | str, block: BlockId = "latest") -> ReceiptStatus:
        """Whether a receipt was minted or cancelled."""
        return ReceiptStatus(self.read("Trust", "receiptStatus", receipt_id, block=block))

    def thresholds(self, block: BlockId = "latest") -> tuple[int, int]:
        """How many custodians and attestors must sign."""
        raw = self.read("Trust", "thresholds", block=block)
        return raw["custodians"], raw["attestors"]

    def registered(self, series_id: bytes, block: BlockId = "latest") -> list[RegisteredBlock]:
        """Every block of a series in the register, ascending: a walk, one call a block."""
        blocks = []
        _, first, _ = self._node(series_id, 0, block)
        while first:
            last, following, class_id = self._node(series_id, first, block)
            blocks.append(RegisteredBlock(first, last, TokenId(class_id)))
            first = following
        return blocks

    def hint_for(
        self, series_id: bytes, first: int, block: BlockId = "latest", start: int = 0
    ) -> int:
        """The hint of `mintWithReceipt` for a block that begins at `first`: the `first` of the
        last registered block below it, 0 for the head.

        Walks the register from `start`, itself a good hint (the last one used, or the index's).
        """
        last, following, _ = self._node(series_id, start, block)
        if start >= first or (start and not last):
            return self.hint_for(series_id, first, block)
        hint = start
        while following and following < first:
            hint = following
            _, following, _ = self._node(series_id, hint, block)
        return hint

    def _node(self, series_id: bytes, first: int, block: BlockId) -> tuple[int, int, int]:
        raw = self.read("Trust", "registered", series_id, first, block=block)
        return raw["last"], raw["next"], raw["classId"]

    def settled_firsts(self, class_id: int) -> list[int]:
        """First positions of the settled ranges of a class, ascending; what calls of
        RegistryRecords make their hints from. Read from its events."""
        names = ("RegistryRetirementRecorded", "MadeGoodRecorded", "PositionsSettled")
        found = []
        for name in names:
            # The class is the topic behind the record's id, where an event has one.
            record = [None] * (name != "PositionsSettled")
            topics = [abi.topic("RegistryRecords", name), *record, f"0x{class_id:064x}"]
            found += self.rpc.get_logs(
                [self.deployment["RegistryRecords"]],
                self.deployment.deployed_at_block,
                self.rpc.block_number(),
                topics,
            )
        return sorted(int(log["data"][2:66], 16) for log in found)

    def blocks_of(self, class_id: int, block: BlockId = "latest") -> list[MintedBlock]:
        """Blocks of a class as they were minted or appended, in the order of their positions."""
        count = self.read("Trust", "blockCount", class_id, block=block)
        calls = [("Trust", "blockAt", (class_id, index)) for index in range(count)]
        return [
            MintedBlock(
                _bytes(raw["series"]), raw["first"], raw["last"], Position(raw["firstPosition"])
            )
            for raw in self.read_many(calls, block)
        ]

    def serial_at(self, class_id: int, position: int, block: BlockId = "latest") -> SerialRun:
        """The serial behind a position after every exchange."""
        raw = self.read("RegistryRecords", "serialAt", class_id, position, block=block)
        return SerialRun(_bytes(raw["seriesId"]), raw["serial"], raw["run"])

    def settled_within(
        self, class_id: int, first: int, last: int, hint: int = 0, block: BlockId = "latest"
    ) -> SettledRange | None:
        """The lowest settled range that shares a position with [first, last], if any."""
        args = (class_id, first, last, hint)
        raw = self.read("RegistryRecords", "settledWithin", *args, block=block)
        kind = Settled(raw["kind"])
        if kind is Settled.NONE:
            return None
        return SettledRange(kind, raw["settledFirst"], raw["settledLast"])

    # ----------------------------------------------------------------- reserve

    def reserve(self, block: BlockId = "latest") -> ReserveState:
        """The newest reserve report's essentials; all 0 before the first."""
        raw = self.read("Reserve", "current", block=block)
        return ReserveState(raw["sequence"], raw["asOf"], _bytes(raw["root"]), raw["tonnes"])

    def reserve_max_age(self, block: BlockId = "latest") -> int:
        """Seconds after which a report refuses mints."""
        return int(self.read("Reserve", "maxAge", block=block))

    # ------------------------------------------------------------ legal orders

    def legal_order(
        self, order_id: bytes | str, block: BlockId = "latest"
    ) -> tuple[OrderState, int]:
        """State of a legal order and the chain time from which it can be executed."""
        raw = self.read("LegalOrders", "orderState", order_id, block=block)
        return OrderState(raw["state"]), raw["executableAt"]


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise InvalidValue("bytes", text, "is no 0x string")
    return bytes.fromhex(text[2:])
