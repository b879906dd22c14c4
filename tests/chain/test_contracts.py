"""Typed reads and calls of the real contracts agree with the domain, at the block they name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from eth_utils.crypto import keccak

from backend.chain import calls
from backend.chain.contracts import (
    Certificate,
    ClassState,
    Contracts,
    MintedBlock,
    OrderState,
    Participant,
    ReceiptStatus,
    RegisteredBlock,
    SerialRun,
)
from backend.chain.events import decode_logs
from backend.chain.keys import sign_digest
from backend.chain.sender import Sender
from backend.domain import custody, positions, records
from backend.domain.assignment import PositionMap
from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, Series
from backend.errors import ChainRejected, InvalidValue
from scripts.backing import backing, minted_tonnes, proof_of, report_call
from tests.chain import rotation
from tests.chain.conftest import Chain, fund, key_of
from tests.chain.memory_log import MemoryLog
from tests.signer.service import as_process, keys_at

pytestmark = pytest.mark.contract

VCS = Series("VCS", (2,))
CLASS = CreditClass(
    "VCS", "1529", UnitType.CREDIT, date(2019, 1, 1), date(2019, 12, 31), ("ccp", "corsia-phase1")
)
SIGNERS = ("c1", "c2", "a1")
FOR_EVER = 2**40 - 1


class Registry:
    """The parties of one deployment, each acting with its own key."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.contracts = chain, Contracts(chain.rpc, chain.deployment)
        self.holder, self.operator = key_of("holder"), key_of("operator")
        self.sender = Sender(chain.rpc, MemoryLog(), lambda: 0, confirmations=0)
        self.domain = custody.signing_domain(chain.deployment.chain_id, chain.deployment["Trust"])
        self.records_domain = records.signing_domain(
            chain.deployment.chain_id, chain.deployment["RegistryRecords"]
        )
        self._count = 0
        fund(chain.rpc, self.holder, self.operator, key_of("registrar"), key_of("bridge"))
        self.send("registrar", "Participants", calls.admit(self.holder.address, 2, "HK", FOR_EVER))

    def send(self, who: str, contract: str, data: bytes) -> int:
        """Number of the chain block in which the call was mined."""
        self._count += 1
        key = f"call {self._count}"
        self.sender.submit(key, key_of(who), self.chain.deployment[contract], data)
        mined = self.sender.wait(key, 5)
        assert mined.block_number is not None
        return mined.block_number

    def signatures(self, digest: bytes, names: tuple[str, ...] = SIGNERS) -> list[calls.Signature]:
        keys = [key_of(name) for name in names]
        return [(key.address, sign_digest(key.private_key, digest)) for key in keys]

    def receipt(self, *blocks: tuple[int, int]) -> Receipt:
        intervals = tuple(Interval(VCS, first, last) for first, last in blocks)
        account, evidence, terms = (keccak(text=name) for name in ("account", "seen", "terms"))
        return Receipt(self.holder.address, CLASS, account, intervals, evidence, terms, FOR_EVER)

    def mint(self, receipt: Receipt, names: tuple[str, ...] = SIGNERS) -> int:
        firsts = [interval.first for interval in receipt.intervals]
        hints = [self.contracts.hint_for(VCS.id, first) for first in firsts]
        tree = backing([receipt], minted_tonnes(self.contracts, [receipt]))
        signers = [key_of(name) for name in SIGNERS]
        self.send("operator", "Reserve", report_call(self.contracts, tree, signers))
        signed = self.signatures(receipt.digest(self.domain), names)
        data = Contracts.mint_with_receipt(receipt, hints, proof_of(tree, receipt), signed)
        return self.send("bridge", "Trust", data)


@pytest.fixture
def registry(chain: Chain) -> Iterator[Registry]:
    snapshot = chain.rpc.call("evm_snapshot")
    yield Registry(chain)
    chain.rpc.call("evm_revert", snapshot)


def test_a_mint_shows_in_every_read_and_not_before_its_block(registry: Registry) -> None:
    reads, class_id = registry.contracts, CLASS.token_id
    receipt = registry.receipt((1_000, 1_009), (500, 504))
    receipt_id = receipt.digest(registry.domain)
    assert reads.receipt_status(receipt_id) is ReceiptStatus.UNKNOWN
    number = registry.mint(receipt)
    assert reads.receipt_status(receipt_id) is ReceiptStatus.MINTED
    assert reads.total_supply(class_id) == reads.balance_of(registry.holder.address, class_id)
    assert reads.balances([(registry.holder.address, class_id), (VCS_NOBODY, class_id)]) == [
        15_000,
        0,
    ]
    assert reads.balance_of(registry.holder.address, class_id, number - 1) == 0
    assert reads.positions(class_id) == ClassState(positions.Positions(15, 0, 0, 0), 1, 0)
    assert reads.positions(class_id, number - 1).number == 0
    assert reads.class_ids() == [class_id]
    assert reads.class_hashes(class_id) == (CLASS.project_hash, CLASS.vintage_hash)
    assert reads.registered(VCS.id) == [
        RegisteredBlock(500, 504, class_id),
        RegisteredBlock(1_000, 1_009, class_id),
    ]
    assert reads.blocks_of(class_id) == [
        MintedBlock(VCS.id, 1_000, 1_009, positions.Position(0)),
        MintedBlock(VCS.id, 500, 504, positions.Position(10)),
    ]
    assert reads.serial_at(class_id, 3) == SerialRun(VCS.id, 1_003, 7)
    assert reads.thresholds() == (2, 1)
    with pytest.raises(ChainRejected, match="PositionUnknown"):
        reads.serial_at(class_id, 15)


VCS_NOBODY = key_of("nobody").address


def test_l2_a_refused_mint_says_which_serials_are_taken_and_uses_no_nonce(
    registry: Registry,
) -> None:
    registry.mint(registry.receipt((1_000, 1_009)))
    before = registry.chain.rpc.call("eth_getTransactionCount", key_of("bridge").address, "pending")
    with pytest.raises(ChainRejected, match="SerialsOverlap") as refused:
        registry.mint(registry.receipt((1_009, 1_020)))
    values = refused.value.values["args"]
    assert (values["takenFirst"], values["takenLast"]) == (1_000, 1_009)
    with pytest.raises(ChainRejected, match="TrustApprovalsMissing"):
        registry.mint(registry.receipt((2_000, 2_009)), ("c1", "c2"))
    after = registry.chain.rpc.call("eth_getTransactionCount", key_of("bridge").address, "pending")
    assert after == before


def test_hints_are_the_last_block_below_from_the_head_or_from_a_start(registry: Registry) -> None:
    registry.mint(registry.receipt((100, 109), (300, 309), (500, 509)))
    reads = registry.contracts
    wanted = {50: 0, 100: 0, 101: 100, 299: 100, 300: 100, 400: 300, 501: 500, 9_999: 500}
    for first, hint in wanted.items():
        assert reads.hint_for(VCS.id, first) == hint
        for start in (100, 300, 500, 777):
            assert reads.hint_for(VCS.id, first, start=start) == hint, (first, start)
    assert reads.hint_for(Series("VCS", (1,)).id, 5) == 0


def test_a_retirement_and_its_confirmation_with_exchanged_serials(registry: Registry) -> None:
    reads, class_id = registry.contracts, CLASS.token_id
    registry.mint(registry.receipt((1_000, 1_009), (500, 504)))
    details = RetirementDetails("A company", "Net zero", "2025", salt=keccak(text="salt"))
    holder = registry.holder.address
    registry.send("holder", "CarbonCredits", calls.retire(holder, class_id, 2_400, holder, details))
    registry.send("holder", "CarbonCredits", calls.close_open_tonne(class_id, 2))
    assert reads.retired_balance_of(holder, class_id) == 3_000
    state = reads.positions(class_id)
    assert state.positions.exited == 3
    assert (state.positions.dust, state.certificates) == (0, 2)
    certificate_id = (state.number << 32) + 1
    assert reads.certificate(certificate_id) == Certificate(
        holder, class_id, 2_400, 0, 0, 0, details.hash
    )
    assert "data:" in reads.certificate_uri(certificate_id)
    assert "data:" in reads.certificate_uri(certificate_id, details)
    with pytest.raises(ChainRejected, match="CertificateDetailsDiffer"):
        reads.certificate_uri(certificate_id, RetirementDetails("Another", "", ""))
    actual = (Interval(VCS, 500, 500), Interval(VCS, 1_001, 1_002))
    confirmation = RegistryRetirement(
        class_id, 0, actual, "REF-1", 20260102, keccak(text="registry's answer")
    )
    board = PositionMap()
    for first, last in ((1_000, 1_009), (500, 504)):
        board.append(Interval(VCS, first, last))
    assert reads.settled_firsts(class_id) == []
    number = registry.send(
        "bridge",
        "RegistryRecords",
        Contracts.record_registry_retirement(
            confirmation,
            board.exchanges_for(0, actual),
            reads.settled_firsts(class_id),
            registry.signatures(confirmation.digest(registry.records_domain)),
        ),
    )
    assert reads.serial_at(class_id, 0) == SerialRun(VCS.id, 500, 1)
    assert reads.settled_firsts(class_id) == [0]
    assert [calls.settled_hint([0, 7], n) for n in (0, 1, 7, 8)] == [0, 1, 1, 8]
    logs = registry.chain.rpc.get_logs(registry.chain.deployment.addresses, number, number)
    events = decode_logs(logs, registry.chain.deployment)
    recorded = next(event for event in events if event.name == "RegistryRetirementRecorded")
    assert recorded.args["registryReference"] == "REF-1"
    assert recorded.args["actual"] == [
        {"series": {"programme": "VCS", "codes": [2]}, "first": first, "last": last}
        for first, last in ((500, 500), (1_001, 1_002))
    ]
    assert recorded.args["signers"] == sorted(
        (key_of(name).address for name in SIGNERS), key=str.lower
    )
    assert len(events) == len(logs)


def test_admission_transfer_and_operators(registry: Registry) -> None:
    reads, class_id, holder = registry.contracts, CLASS.token_id, registry.holder.address
    registry.mint(registry.receipt((1_000, 1_009)))
    other = key_of("operator").address
    with pytest.raises(ChainRejected, match="ParticipantNotAdmitted"):
        registry.send("holder", "CarbonCredits", calls.transfer(holder, other, class_id, 1))
    registry.send("registrar", "Participants", calls.admit(other, 3, "SG", FOR_EVER))
    assert reads.participant(other) == Participant(3, "SG", FOR_EVER, 0, 0)
    registry.send("holder", "CarbonCredits", calls.transfer(holder, other, class_id, 250))
    assert reads.balance_of(other, class_id) == 250
    assert not reads.is_approved(holder, other)
    registry.send("holder", "CarbonCredits", calls.approve_operator(other, True))
    assert reads.is_approved(holder, other)
    public = RetirementDetails("A company", "Net zero", "2025")
    registry.send("operator", "CarbonCredits", calls.retire(holder, class_id, 5, other, public))
    assert reads.retired_balance_of(holder, class_id) == 5


def test_a_freeze_a_cancelled_receipt_and_a_fact(registry: Registry) -> None:
    reads, holder = registry.contracts, registry.holder.address
    receipt = registry.receipt((1_000, 1_009))
    receipt_id = receipt.digest(registry.domain)
    order = keccak(text="order")
    digest = reads.read("LegalOrders", "hashFreeze", holder, True, order, 1)
    signed = registry.signatures(bytes.fromhex(digest[2:]), ("f1",))
    registry.send("bridge", "LegalOrders", calls.set_frozen(holder, True, order, 1, signed))
    assert reads.participant(holder).frozen_since > 0
    with pytest.raises(ChainRejected, match="ParticipantIsFrozen"):
        registry.mint(receipt)
    fund(registry.chain.rpc, key_of("c1"), key_of("facts"))
    registry.send("c1", "Trust", calls.cancel_receipt(receipt_id))
    assert reads.receipt_status(receipt_id) is ReceiptStatus.CANCELLED
    assert reads.legal_order(receipt_id) == (OrderState.UNKNOWN, 0)
    with pytest.raises(ChainRejected, match="CreditsClassUnknown"):
        registry.send(
            "facts", "CarbonCredits", calls.record_fact(CLASS.token_id, "k", "v", 20260101, "v1")
        )
    tree = backing([receipt], {})
    proof = proof_of(tree, receipt)
    with pytest.raises(InvalidValue, match="are not 1"):
        calls.mint_with_receipt(receipt, [0, 0], proof, [])


# Last in this module: it moves the chain's time on by days.
def test_a_custodian_a_sequencer_and_a_payer_are_replaced_by_keys_of_another_process(
    registry: Registry,
) -> None:
    chain_id = registry.chain.deployment.chain_id
    pays = {"operations": ["transaction"], "chain_ids": [chain_id]}
    signs = {"operations": ["digest"]}
    grants = dict(zip(rotation.NEW, (pays, signs, signs), strict=True))
    with as_process(rotation.NEW, grants) as url, keys_at(url) as keys:
        rotation.rotate_everything(registry, keys)
