"""The data of every call that Causeway sends, from the domain's own values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from backend.chain.abi import encode_call
from backend.domain.assignment import Exchange
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.records import MadeGood, RegistryFailure
from backend.domain.reserve import ReserveProof, ReserveReport
from backend.domain.retirements import RetirementDetails
from backend.errors import InvalidValue

#: (signer's address, 65-byte signature)
Signature = tuple[str, bytes]


def ordered_signatures(signatures: Iterable[Signature]) -> list[bytes]:
    """Signatures as the contracts want them: by ascending signer, none twice."""
    ordered = sorted(signatures, key=lambda pair: int(pair[0], 16))
    for (one, _), (other, _) in pairwise(ordered):
        if one.lower() == other.lower():
            raise InvalidValue("signatures", one, "signed twice")
    return [signature for _, signature in ordered]


def mint_with_receipt(
    receipt: Receipt,
    hints: Sequence[int],
    proof: ReserveProof,
    signatures: Iterable[Signature],
) -> bytes:
    """Trust.mintWithReceipt; one hint per interval, see Contracts.hint_for.

    `proof` of the newest reserve report: the receipt's class and, in order, its intervals.
    """
    if len(hints) != len(receipt.intervals):
        raise InvalidValue("hints", len(hints), f"are not {len(receipt.intervals)}")
    if len(proof.blocks) != len(receipt.intervals):
        raise InvalidValue("proof", len(proof.blocks), f"proves not {len(receipt.intervals)}")
    signed = ordered_signatures(signatures)
    args = (receipt.message(), list(hints), proof.encoded(), signed)
    return encode_call("Trust", "mintWithReceipt", args)


def report_reserve(report: ReserveReport, signatures: Iterable[Signature]) -> bytes:
    """Reserve.report; the sequence is that of Contracts.reserve plus 1."""
    return encode_call("Reserve", "report", (report.message(), ordered_signatures(signatures)))


def cancel_receipt(receipt_id: bytes) -> bytes:
    """Trust.cancelReceipt, by one of the signers."""
    return encode_call("Trust", "cancelReceipt", (receipt_id,))


def settled_hint(settled: Iterable[int], position: int) -> int:
    """`positionHint` of RegistryRecords: 1 + the first position of the last settled range that
    begins below `position`, 0 when there is none. `settled`: first positions of settled ranges."""
    return max((first + 1 for first in settled if first < position), default=0)


def record_registry_retirement(
    retirement: RegistryRetirement,
    exchanges: Iterable[Exchange],
    settled: Collection[int],
    signatures: Iterable[Signature],
) -> bytes:
    """RegistryRecords.recordRegistryRetirement; `settled` from Contracts.settled_firsts or the
    index."""
    swaps = [
        {
            "position": one.position,
            "counterpart": one.counterpart,
            "tonnes": one.tonnes,
            "hint": settled_hint(settled, one.counterpart),
        }
        for one in exchanges
    ]
    hint = settled_hint(settled, retirement.first_position)
    args = (retirement.message(), swaps, hint, ordered_signatures(signatures))
    return encode_call("RegistryRecords", "recordRegistryRetirement", args)


def record_registry_failure(
    failure: RegistryFailure, settled: Iterable[int], signatures: Iterable[Signature]
) -> bytes:
    """RegistryRecords.recordRegistryFailure; `settled` as in `record_registry_retirement`."""
    hint = settled_hint(settled, failure.first_position)
    args = (failure.message(), hint, ordered_signatures(signatures))
    return encode_call("RegistryRecords", "recordRegistryFailure", args)


def record_made_good(
    made_good: MadeGood,
    hints: Sequence[int],
    settled: Iterable[int],
    signatures: Iterable[Signature],
) -> bytes:
    """RegistryRecords.recordMadeGood; hints as in `mint_with_receipt`, one per substitute."""
    if len(hints) != len(made_good.substitutes):
        raise InvalidValue("hints", len(hints), f"are not {len(made_good.substitutes)}")
    hint = settled_hint(settled, made_good.first_position)
    args = (made_good.message(), list(hints), hint, ordered_signatures(signatures))
    return encode_call("RegistryRecords", "recordMadeGood", args)


def admit(account: str, tier: int, jurisdiction: str, expiry: int) -> bytes:
    """Participants.admit; jurisdiction ISO 3166-1 alpha-2, expiry in Unix seconds, inclusive."""
    code = jurisdiction.encode("ascii", "replace")
    if len(code) != 2 or not code.isalpha() or not code.isupper():
        raise InvalidValue("jurisdiction", jurisdiction, "is not an ISO 3166-1 alpha-2 code")
    return encode_call("Participants", "admit", (account, tier, code, expiry))


def transfer(sender: str, recipient: str, class_id: int, kilograms: int) -> bytes:
    """CarbonCredits.safeTransferFrom."""
    args = (sender, recipient, class_id, kilograms, b"")
    return encode_call("CarbonCredits", "safeTransferFrom", args)


def approve_operator(operator: str, approved: bool) -> bytes:
    """CarbonCredits.setApprovalForAll."""
    return encode_call("CarbonCredits", "setApprovalForAll", (operator, approved))


def retire(
    holder: str,
    class_id: int,
    kilograms: int,
    certificate_owner: str,
    details: RetirementDetails,
) -> bytes:
    """CarbonCredits.retirePublicly when the details are public, else retire with their hash."""
    head = (holder, class_id, kilograms, certificate_owner)
    if not details.is_public:
        return encode_call("CarbonCredits", "retire", (*head, details.hash))
    texts = (details.beneficiary, details.purpose, details.period, details.instruction_hash)
    return encode_call("CarbonCredits", "retirePublicly", (*head, *texts))


def close_open_tonne(class_id: int, open_tonne: int) -> bytes:
    """CarbonCredits.closeOpenTonne."""
    return encode_call("CarbonCredits", "closeOpenTonne", (class_id, open_tonne))


def record_fact(class_id: int, key: str, value: str, as_of: int, vocabulary: str) -> bytes:
    """CarbonCredits.recordFact; `as_of` is YYYYMMDD."""
    return encode_call("CarbonCredits", "recordFact", (class_id, key, value, as_of, vocabulary))


def set_frozen(
    account: str, frozen: bool, order_hash: bytes, nonce: int, signatures: Iterable[Signature]
) -> bytes:
    """LegalOrders.setFrozen; the digest to sign comes from LegalOrders.hashFreeze."""
    args = (account, frozen, order_hash, nonce, ordered_signatures(signatures))
    return encode_call("LegalOrders", "setFrozen", args)


def issue_asset(asset: str, recipient: str, amount: int) -> bytes:
    """mint of a test settlement asset (HKD, CNH, USD), in its base units."""
    return encode_call(asset, "mint", (recipient, amount))
