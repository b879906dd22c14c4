"""Events of register, records, reserve, deliveries and programme events to rows.

Series stand as their hash; the writer puts their numbers in its place (`SERIES_COLUMN`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backend.domain.events import ChainEvent
from backend.domain.positions import Positions, burn, pass_gap
from backend.domain.records import Settled
from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue
from backend.store.rows import json_text, visible

if TYPE_CHECKING:
    from backend.store.projection import Projection

#: Where rows of a table hold the hash of a series that its number shall replace.
SERIES_COLUMN: Mapping[str, int] = {
    "class_blocks": 2,
    "serials_registered": 0,
    "serials_released": 0,
    "rebinds": 3,
    "deliveries": 5,
}
#: IProgrammeEvents.Kind, as rows name it.
EVENT_KINDS = (
    "hold",
    "release",
    "reversal",
    "label_gained",
    "label_lost",
    "expiry",
    "authorisation",
    "corsia",
    "label_split",
    "exchange",
    "conversion",
)


def _serials(args: Mapping[str, Any], first: str = "first", tonnes: int = 0) -> tuple[Any, ...]:
    """(hash, hash, first, last) of a run; raises InvalidValue for what no row can hold."""
    low = args[first]
    last = low + tonnes - 1 if tonnes else args["last"]
    if last > MAX_SERIAL:
        raise InvalidValue("last", last, f"is above {MAX_SERIAL}")
    return (args["seriesId"], args["seriesId"], low, last)


# ── the register ─────────────────────────────────────────────────────────────────────────────


def _block_appended(to: Projection, event: ChainEvent) -> None:
    args = event.args
    # The writer finds the receipt that the serials came by.
    values = (args["classId"], args["firstPosition"], *_serials(args), None, args["source"])
    to.add("class_blocks", event, *values)


def _serials_registered(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add("serials_registered", event, *_serials(args), args["source"], args["classId"])


def _serials_released(to: Projection, event: ChainEvent) -> None:
    to.add("serials_released", event, *_serials(event.args))


# ── registry records ─────────────────────────────────────────────────────────────────────────


def _positions(args: Mapping[str, Any], first: str = "firstPosition") -> tuple[int, int, int]:
    return (args["classId"], args[first], args["tonnes"])


def _rebound(to: Projection, event: ChainEvent) -> None:
    args = event.args
    serials = _serials(args, tonnes=args["tonnes"])
    to.add("rebinds", event, *_positions(args, "position"), *serials)


def _settled(to: Projection, event: ChainEvent) -> None:
    kind = Settled(event.args["kind"])
    # Confirmations and what was made good are rows of their own.
    if kind in (Settled.DELIVERED, Settled.VOID):
        to.add("settled_positions", event, *_positions(event.args), kind.name.lower())


def _failure(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add(
        "registry_failures",
        event,
        args["failureId"],
        *_positions(args),
        visible(args["reason"]),
        args["registryDate"],
        args["evidenceHash"],
        list(args["signers"]),
        event.transaction_hash,
    )


def _made_good(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add(
        "made_good",
        event,
        args["madeGoodId"],
        *_positions(args),
        args["substituteClass"],
        json_text(args["substitutes"]),
        visible(args["registryReference"]),
        args["registryDate"],
        args["evidenceHash"],
        list(args["signers"]),
        event.transaction_hash,
    )


# ── reserve ──────────────────────────────────────────────────────────────────────────────────


def _reported(to: Projection, event: ChainEvent) -> None:
    args = event.args
    names = (
        "sequence",
        "reportId",
        "asOf",
        "chainBlock",
        "root",
        "tonnes",
        "liabilitiesRoot",
        "liabilitiesKilograms",
        "evidenceHash",
    )
    values = [args[name] for name in names]
    to.add("reserves_reported", event, *values, list(args["signers"]), event.transaction_hash)


# ── deliveries ───────────────────────────────────────────────────────────────────────────────


def _burnt(to: Projection, event: ChainEvent) -> None:
    args = event.args
    class_id, first, tonnes = args["id"], args["firstPosition"], args["tonnes"]
    before = to.positions.get(class_id, Positions())
    to.set_positions(event, class_id, burn(before, first, tonnes))
    to.add("class_exits", event, class_id, first, tonnes, "delivery")


def _refunded_credits(to: Projection, event: ChainEvent) -> None:
    class_id, first = event.args["id"], event.args["firstPosition"]
    before = to.positions.get(class_id, Positions())
    if before.minted != first:
        raise InvalidValue("firstPosition", first, f"is not {before.minted}, the next")
    to.set_positions(event, class_id, replace(before, minted=first + event.args["tonnes"]))


def _requested(to: Projection, event: ChainEvent) -> None:
    args = event.args
    if args["firstSerial"] + args["tonnes"] - 1 > MAX_SERIAL:
        raise InvalidValue("firstSerial", args["firstSerial"], f"runs above {MAX_SERIAL}")
    to.add(
        "deliveries",
        event,
        args["deliveryId"],
        *_positions(args),
        args["holder"],
        args["seriesId"],
        args["seriesId"],
        args["firstSerial"],
        visible(args["registryAccount"]),
        args["deadline"],
        args["feeAsset"],
        args["fee"],
        event.transaction_hash,
    )


def _phase(act: str) -> Callable[[Projection, ChainEvent], None]:
    def project(to: Projection, event: ChainEvent) -> None:
        args = event.args
        texts = [
            None if args.get(name) is None else visible(args[name])
            for name in ("registryReference", "reason")
        ]
        disputed = args.get("disputed")
        to.add(
            "delivery_changes",
            event,
            args["deliveryId"],
            "refunded_disputed" if disputed else act,
            args.get("custodian"),
            texts[0],
            args.get("expiresAt"),
            args.get("secondDeadline"),
            args.get("registryDate"),
            texts[1],
            args.get("evidenceHash"),
            args.get("firstPosition"),
            disputed,
            list(args.get("signers", ())),
            event.transaction_hash,
        )

    return project


# ── programme events ─────────────────────────────────────────────────────────────────────────


def _programme(
    to: Projection, event: ChainEvent, kind: str, detail: Mapping[str, Any], **more: Any
) -> None:
    args = event.args
    to.add(
        "programme_events",
        event,
        more.get("event_id", args.get("eventId")),
        more.get("class_id", args.get("classId")),
        kind,
        args.get("firstPosition"),
        args.get("tonnes"),
        visible(args.get("subject", "")),
        visible(args.get("reason", "")),
        args.get("asOf"),
        args.get("evidenceHash"),
        json_text(detail),
        list(args.get("signers", ())),
        event.transaction_hash,
    )


def _published(to: Projection, event: ChainEvent) -> None:
    _programme(to, event, EVENT_KINDS[event.args["kind"]], {})


def _invalidated(to: Projection, event: ChainEvent) -> None:
    args = event.args
    serials = {"seriesId": args["seriesId"], "firstSerial": args["firstSerial"]}
    _programme(to, event, "invalidation", serials)


def _delivery_invalidated(to: Projection, event: ChainEvent) -> None:
    _programme(to, event, "delivery_invalidation", {})


def _substituted(to: Projection, event: ChainEvent) -> None:
    _programme(to, event, "substitution", {"serials": event.args["serials"]})


def _conversion(to: Projection, event: ChainEvent) -> None:
    args = event.args
    kind = EVENT_KINDS[args["kind"]]
    to.add(
        "conversions",
        event,
        args["conversionId"],
        kind,
        args["fromClass"],
        args["toClass"],
        args["firstPosition"],
        args["tonnes"],
        args["newPosition"],
        args["root"],
        args["chainBlock"],
        event.transaction_hash,
    )
    names = ("toClass", "newPosition", "root", "chainBlock")
    said = {name: args[name] for name in names}
    _programme(to, event, kind, said, event_id=args["conversionId"], class_id=args["fromClass"])


def _converted(to: Projection, event: ChainEvent) -> None:
    args = event.args
    values = (args["conversionId"], args["holder"], args["kilograms"])
    to.add("conversion_claims", event, *values, event.transaction_hash)


def _gap(act: str) -> Callable[[Projection, ChainEvent], None]:
    def project(to: Projection, event: ChainEvent) -> None:
        to.add("gap_changes", event, *_positions(event.args), act, event.args["kind"], None)

    return project


def _gap_passed(to: Projection, event: ChainEvent) -> None:
    args = event.args
    class_id, first, tonnes = _positions(args)
    before = to.positions.get(class_id, Positions())
    if args["newPosition"] != before.minted:
        raise InvalidValue("newPosition", args["newPosition"], f"is not {before.minted}, the next")
    to.set_positions(event, class_id, pass_gap(before, first, tonnes))
    to.add("class_exits", event, class_id, first, tonnes, "gap")
    to.add("gap_changes", event, class_id, first, tonnes, "pass", None, args["newPosition"])


def _flags_set(to: Projection, event: ChainEvent) -> None:
    to.add("class_flags", event, event.args["id"], event.args["flags"])


HANDLERS: dict[tuple[str, str], Callable[[Projection, ChainEvent], None]] = {
    ("Trust", "BlockAppended"): _block_appended,
    ("Trust", "SerialsRegistered"): _serials_registered,
    ("Trust", "SerialsReleased"): _serials_released,
    ("RegistryRecords", "SerialsRebound"): _rebound,
    ("RegistryRecords", "PositionsSettled"): _settled,
    ("RegistryRecords", "RegistryFailureRecorded"): _failure,
    ("RegistryRecords", "MadeGoodRecorded"): _made_good,
    ("Reserve", "ReserveReported"): _reported,
    ("CarbonCredits", "CreditsBurntForDelivery"): _burnt,
    ("CarbonCredits", "CreditsRefunded"): _refunded_credits,
    ("CarbonCredits", "ClassFlagsSet"): _flags_set,
    ("Deliveries", "DeliveryRequested"): _requested,
    ("Deliveries", "DeliveryBegun"): _phase("begun"),
    ("Deliveries", "DeliveryDispatched"): _phase("dispatched"),
    ("Deliveries", "DeliveryRejected"): _phase("rejected"),
    ("Deliveries", "DeliveryFinalised"): _phase("finalised"),
    ("Deliveries", "DeliveryRefunded"): _phase("refunded"),
    ("Deliveries", "DeliveryBreakRecorded"): _phase("break"),
    ("Deliveries", "DisputeCleared"): _phase("dispute_cleared"),
    ("ProgrammeEvents", "ProgrammeEventPublished"): _published,
    ("ProgrammeEvents", "PositionsInvalidated"): _invalidated,
    ("Gaps", "DeliveryInvalidated"): _delivery_invalidated,
    ("ProgrammeEvents", "PositionsSubstituted"): _substituted,
    ("ProgrammeEvents", "ConversionOpened"): _conversion,
    ("ProgrammeEvents", "Converted"): _converted,
    ("Gaps", "GapOpened"): _gap("open"),
    ("Gaps", "GapClosed"): _gap("close"),
    ("Gaps", "GapPassed"): _gap_passed,
}
