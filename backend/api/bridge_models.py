"""What answers about deliveries, the reserve and breaks look like."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from backend.api.models import Integer, Model, OnChain, SeriesName

DeliveryState = Literal[
    "requested",
    "begun",
    "dispatched",
    "rejected",
    "finalised",
    "refunded",
    "refunded_disputed",
]


class DeliveryPhaseModel(OnChain):
    """One phase after the request; what it does not say is null."""

    act: str = Field(
        description="begun, dispatched, rejected, finalised, refunded, refunded_disputed, or"
        " break and dispute_cleared, which change no state."
    )
    custodian: str | None
    reference: str | None = Field(description="The registry's own.")
    expires_at: Integer | None = Field(description="Unix seconds.")
    second_deadline: Integer | None = Field(description="Unix seconds.")
    registry_date: Integer | None = Field(description="YYYYMMDD")
    reason: str | None
    evidence_hash: str | None
    refund_position: Integer | None = Field(description="Where the refund's tonnes begin.")
    signers: list[str]
    transaction_hash: str


class DeliveryModel(OnChain):
    """Tokens on their way back to a registry account. Times are Unix seconds."""

    delivery_id: Integer
    class_id: Integer
    holder: str
    state: DeliveryState
    first_position: Integer
    tonnes: Integer
    series: SeriesName
    first: Integer = Field(description="First serial, which the request names for good.")
    last: Integer
    registry_account: str
    reference: str | None = Field(description="The registry's own, once it has one.")
    deadline: Integer = Field(description="Not begun by then: the holder refunds alone.")
    expires_at: Integer | None = Field(description="When the registry's transfer ends at last.")
    second_deadline: Integer | None = Field(description="From then on the holder refunds anyway.")
    fee_asset: str
    fee: Integer
    phases: list[DeliveryPhaseModel]
    bridge_state: str | None = Field(description="How far the operator's bridge is.")
    bridge_reason: str | None
    transaction_hash: str


class ClassFiguresModel(Model):
    """One class in a report, in tonnes."""

    class_id: Integer
    covered: Integer = Field(description="Mints may reach so many.")
    minted: Integer = Field(description="At the chain block of the report.")
    exited: Integer
    live: Integer = Field(description="Live behind positions that have not exited.")
    not_minted: Integer = Field(description="Live, and behind no position yet.")
    shortfall: Integer = Field(description="Positions on serials that are live nowhere.")


class GapModel(Model):
    """Positions [first, first + tonnes) that nothing may consume."""

    first: Integer
    tonnes: Integer
    kind: Literal["invalidated", "disputed", "converting"]


class HaltedClassModel(Model):
    """A class with a gap, or that is held or short: with a flag it neither mints nor trades."""

    class_id: Integer
    flags: int = Field(description="1: held by a programme's order; 2: short of credits.")
    gaps: list[GapModel]
    gap_tonnes: Integer
    locked_kilograms: Integer = Field(description="Surrendered for converted credits, for ever.")
    uncovered: Integer = Field(description="The shortfall: tonnes that no credit stands behind.")


class ReserveModel(OnChain):
    """The newest reserve report on chain."""

    sequence: Integer
    report_id: str = Field(description="EIP-712 digest: what custodian and attestor signed.")
    as_of: Integer = Field(description="Unix seconds.")
    age: Integer = Field(description="Seconds, by the chain's newest block.")
    chain_block: Integer = Field(description="Whose positions and balances it counts.")
    root: str
    tonnes: Integer
    liabilities_root: str
    liabilities_kilograms: Integer
    evidence_hash: str
    signers: list[str]
    classes: list[ClassFiguresModel]
    halted: list[HaltedClassModel] = Field(description="Now, whatever the report says.")
    transaction_hash: str


class SiblingModel(Model):
    hash: str
    sum: Integer


class LiabilityProofModel(Model):
    """That a balance is in the liabilities of a report, venue accounts included."""

    sequence: Integer
    report_id: str
    chain_block: Integer
    class_id: Integer
    holder: str
    kilograms: Integer
    leaf: str = Field(description="keccak256(0x03 ‖ classId ‖ holder ‖ uint64 kilograms)")
    right_bits: Integer = Field(description="Bit i: our node is the right child at level i.")
    siblings: list[SiblingModel] = Field(description="From the leaf's level upwards.")
    root: str
    root_kilograms: Integer


class BreakModel(Model):
    """A difference between registry, custody and chain."""

    number: Integer
    kind: str
    flow_kind: str | None
    flow: str | None
    class_id: Integer | None
    detail: str
    evidence: dict[str, Any]
    state: Literal["open", "resolved"]
    resolution: str | None
    found_at: datetime
    resolved_at: datetime | None


class ConversionModel(OnChain):
    """Part of a class that became another class, pro rata for who held at a chain block."""

    conversion_id: str
    kind: str = Field(description="`label_split`, `exchange` or `conversion`.")
    from_class: Integer
    to_class: Integer
    first_position: Integer = Field(description="Of the old class: a gap since.")
    tonnes: Integer
    new_position: Integer = Field(description="First position in the new class.")
    root: str = Field(description="Merkle-sum root over the shares, as the contract has it.")
    chain_block: Integer = Field(description="Who held after it has a share.")
    claimed_kilograms: Integer
    transaction_hash: str


class ConversionClaimModel(Model):
    """A holder's share and its proof: arguments of `claimConversion`. A claim has no deadline."""

    conversion_id: str
    holder: str
    kilograms: Integer = Field(description="The whole share.")
    claimed: Integer = Field(description="Kilograms.")
    left: Integer = Field(description="Kilograms that may still be claimed.")
    payable: Integer = Field(
        description="Kilograms that a claim would pay now: no more than the wallet holds of the"
        " old class."
    )
    leaf: str
    right_bits: Integer = Field(description="Bit i: our node is the right child at level i.")
    siblings: list[SiblingModel] = Field(description="From the leaf's level upwards.")
    root: str
