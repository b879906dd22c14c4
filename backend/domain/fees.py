"""What programmes charge: fee schedules with their days, and quotes that can be checked by hand.

Money is in mills, thousandths of a currency unit: the finest rate of any schedule, so a fee of
whole tonnes is exact. Only a cap, an average and the cents of a total round, and say how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from backend.domain.units import MAX_TONNES
from backend.errors import InvalidValue, NotFound

MILLS = 1_000
MILLS_PER_CENT = 10


class Basis(StrEnum):
    """How a fee follows from tonnes."""

    FLAT = "flat"
    #: Each tonne at one rate, at most `cap_mills` in all.
    PER_TONNE = "per-tonne"
    #: Each tonne at the rate of the tier it falls into.
    MARGINAL = "marginal"
    #: All tonnes at the rate of the slab that the year's volume reaches.
    SLAB = "slab"
    #: The mean of the same fee at other programmes, rounded down to a mill.
    AVERAGE_OF = "average-of"
    #: It may be charged; no source says how much.
    UNKNOWN = "unknown"


class Occasion(StrEnum):
    """What somebody wants to know the cost of."""

    #: Everything from opening an account to the first issuance.
    PROJECT = "project"
    ISSUANCE = "issuance"
    RETIREMENT = "retirement"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Tier:
    """A rate up to and including `up_to` tonnes; None: without end."""

    up_to: int | None
    mills: int


@dataclass(frozen=True, slots=True)
class Fee:
    """One line of a schedule. `variant`: only for those (ACR charges by protocol), "" for all;
    `when`: in words, when it is due; `credited_against`: the fee it is deducted from later.
    """

    name: str
    occasions: tuple[Occasion, ...]
    basis: Basis
    when: str
    mills: int = 0
    cap_mills: int | None = None
    tiers: tuple[Tier, ...] = ()
    of: tuple[str, ...] = ()
    variant: str = ""
    credited_against: str = ""

    def __post_init__(self) -> None:
        if self.mills < 0 or (self.cap_mills is not None and self.cap_mills < 0):
            raise InvalidValue(f"{self.name}.mills", self.mills, "is negative")
        if (self.basis in (Basis.MARGINAL, Basis.SLAB)) != bool(self.tiers):
            raise InvalidValue(f"{self.name}.tiers", len(self.tiers), f"do not fit {self.basis}")
        if (self.basis is Basis.AVERAGE_OF) != bool(self.of):
            raise InvalidValue(f"{self.name}.of", self.of, f"does not fit {self.basis}")
        ends = [tier.up_to for tier in self.tiers]
        if ends and (ends[-1] is not None or None in ends[:-1]):
            raise InvalidValue(f"{self.name}.tiers", ends, "must end with one that has no end")
        numbers = [end for end in ends if end is not None]
        if numbers != sorted(set(numbers)):
            raise InvalidValue(f"{self.name}.tiers", ends, "are not ascending")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A programme's fees from a day to a day, both inclusive; `valid_from` None: not said."""

    programme: str
    name: str
    currency: str
    valid_from: date | None
    valid_until: date | None
    source: str
    fees: tuple[Fee, ...]

    def holds(self, on: date) -> bool:
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_until is None or on <= self.valid_until
        )

    def variants(self) -> tuple[str, ...]:
        return tuple(sorted({fee.variant for fee in self.fees if fee.variant}))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a quote; `mills` None when no source says how much."""

    name: str
    mills: int | None
    how: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What an occasion costs by one schedule. `total_mills` is of the known lines alone."""

    schedule: Schedule
    occasion: Occasion
    tonnes: int
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def total_mills(self) -> int:
        return sum(line.mills or 0 for line in self.lines)

    @property
    def total_cents(self) -> int:
        """Rounded up to the cent: what somebody has to have ready."""
        return -(-self.total_mills // MILLS_PER_CENT)

    @property
    def is_complete(self) -> bool:
        return all(line.mills is not None for line in self.lines)


@dataclass(frozen=True, slots=True)
class Volume:
    """Tonnes of the occasion, those issued before in the same year, and the year's estimate that
    a registration is charged for.
    """

    tonnes: int
    issued_before: int = 0
    estimated: int | None = None

    def __post_init__(self) -> None:
        for name in ("tonnes", "issued_before"):
            if not 0 <= getattr(self, name) <= MAX_TONNES:
                raise InvalidValue(name, getattr(self, name), f"is not 0 … {MAX_TONNES}")


def schedule_on(schedules: Sequence[Schedule], programme: str, on: date) -> Schedule:
    """The schedule of a programme on a day. Raises NotFound."""
    for one in schedules:
        if one.programme == programme and one.holds(on):
            return one
    days = [
        f"{one.valid_from or 'unknown'} to {one.valid_until or 'now'}"
        for one in schedules
        if one.programme == programme
    ]
    known = ", ".join(sorted({one.programme for one in schedules}))
    raise NotFound(
        f"no fee schedule of {programme} for {on}: "
        + (f"there are {'; '.join(days)}" if days else f"there are those of {known}"),
        programme=programme,
        on=on.isoformat(),
    )


def check_schedules(schedules: Sequence[Schedule]) -> None:
    """Raises InvalidValue when two schedules of one programme hold on the same day."""
    for index, one in enumerate(schedules):
        for other in schedules[index + 1 :]:
            if one.programme != other.programme:
                continue
            apart = (
                one.valid_until is not None
                and other.valid_from is not None
                and one.valid_until < other.valid_from
            ) or (
                other.valid_until is not None
                and one.valid_from is not None
                and other.valid_until < one.valid_from
            )
            if not apart:
                raise InvalidValue("valid_from", one.programme, "has two schedules on one day")


def quote(
    schedules: Sequence[Schedule],
    programme: str,
    occasion: Occasion,
    volume: Volume,
    on: date,
    *,
    variant: str = "",
    activated: bool = False,
    extra: Mapping[str, int] | None = None,
) -> Quote:
    """What an occasion costs on a day. `extra`: further costs in mills by name, such as the
    validation a project pays somebody else. `activated`: the activation was paid before.

    Raises NotFound without a schedule, InvalidValue for a variant the schedule does not have.
    """
    schedule = schedule_on(schedules, programme, on)
    variants = schedule.variants()
    if variant and variant not in variants:
        raise InvalidValue("variant", variant, f"is not one of {', '.join(variants) or 'none'}")
    lines = []
    notes = []
    for fee in schedule.fees:
        if occasion not in fee.occasions or (fee.variant and fee.variant != variant):
            continue
        if activated and fee.name == "activation":
            continue
        line = _line(schedules, fee, volume, on, variant)
        lines.append(line)
        if fee.credited_against and line.mills:
            amount = money(line.mills)
            notes.append(f"{amount} of {fee.name} is credited against later {fee.credited_against}")
        if line.mills is None:
            notes.append(f"{fee.name}: no source says how much; it is not in the total")
    if (
        variants
        and not variant
        and any(fee.variant and occasion in fee.occasions for fee in schedule.fees)
    ):
        raise InvalidValue("variant", variant, f"is needed: one of {', '.join(variants)}")
    lines += [Line(name, mills, "as given") for name, mills in (extra or {}).items()]
    if schedule.valid_until is None:
        since = schedule.valid_from or "a day that is not said"
        notes.append(f"schedule in force since {since}: check that none has replaced it")
    return Quote(schedule, occasion, volume.tonnes, tuple(lines), tuple(notes))


def _line(schedules: Sequence[Schedule], fee: Fee, volume: Volume, on: date, variant: str) -> Line:
    tonnes = volume.tonnes
    if fee.name == "registration" and volume.estimated is not None:
        tonnes = volume.estimated
    if fee.basis is Basis.UNKNOWN:
        return Line(fee.name, None, fee.when)
    if fee.basis is Basis.FLAT:
        return Line(fee.name, fee.mills, fee.when)
    if fee.basis is Basis.PER_TONNE:
        mills = tonnes * fee.mills
        how = f"{tonnes:,} t × {money(fee.mills)}"
        if fee.cap_mills is not None and mills > fee.cap_mills:
            return Line(fee.name, fee.cap_mills, f"{how}, at most {money(fee.cap_mills)}")
        return Line(fee.name, mills, f"{how}; {fee.when}")
    if fee.basis is Basis.SLAB:
        tier = _tier(fee.tiers, volume.issued_before + tonnes)
        return Line(fee.name, tonnes * tier.mills, f"{tonnes:,} t × {money(tier.mills)}")
    if fee.basis is Basis.MARGINAL:
        return _marginal(fee, volume.issued_before, tonnes)
    return _average(schedules, fee, volume, on, variant)


def _tier(tiers: Sequence[Tier], volume: int) -> Tier:
    return next(one for one in tiers if one.up_to is None or volume <= one.up_to)


def _marginal(fee: Fee, before: int, tonnes: int) -> Line:
    """Tonnes (before, before + tonnes], each at the rate of its tier."""
    mills, start, parts = 0, 0, []
    for tier in fee.tiers:
        end = before + tonnes if tier.up_to is None else min(tier.up_to, before + tonnes)
        part = end - max(start, before)
        if part > 0:
            mills += part * tier.mills
            parts.append(f"{part:,} t × {money(tier.mills)}")
        if tier.up_to is not None:
            start = tier.up_to
    return Line(fee.name, mills, " + ".join(parts) or "0 t")


def _average(
    schedules: Sequence[Schedule], fee: Fee, volume: Volume, on: date, variant: str
) -> Line:
    amounts = []
    for programme in fee.of:
        other = schedule_on(schedules, programme, on)
        same = [one for one in other.fees if one.name == fee.name]
        # A schedule by variants counts with its cheapest: that is how the source reckons.
        mills = [_line(schedules, one, volume, on, variant).mills for one in same]
        known = [one for one in mills if one is not None]
        if not known:
            return Line(fee.name, None, f"{programme} has no {fee.name}")
        amounts.append(min(known))
    total = sum(amounts) // len(amounts)
    listed = ", ".join(
        f"{programme} {money(mills)}" for programme, mills in zip(fee.of, amounts, strict=True)
    )
    return Line(fee.name, total, f"mean of {listed}, rounded down to a thousandth")


def money(mills: int) -> str:
    """`9_180_000` mills as `"9,180.00"`, `105` as `"0.105"`: exact."""
    whole, part = divmod(mills, MILLS)
    shown = f"{part:03d}"
    return f"{whole:,}.{shown[:2] if shown[2] == '0' else shown}"
