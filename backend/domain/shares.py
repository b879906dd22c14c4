"""Pro rata in kilograms: what each holder gets of a part of a class; the sum is exact (L11)."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.reserve import Liabilities, Liability
from backend.errors import NotEnough


def shares_of(class_id: int, owed: Sequence[Liability], kilograms: int) -> Liabilities:
    """Each holder's share of `kilograms` by what they are owed, rounded by largest remainder.

    Nobody gets more than they have. Equal remainders go to the lower address first. Raises
    NotEnough when all together hold less.
    """
    held = Liabilities.of(owed).entries
    total = sum(entry.kilograms for entry in held)
    if kilograms > total:
        raise NotEnough(
            f"{kilograms} kg asked, {total} kg are held", asked=kilograms, available=total
        )
    if not total:
        return Liabilities(())
    floors = [divmod(entry.kilograms * kilograms, total) for entry in held]
    rest = kilograms - sum(whole for whole, _ in floors)
    order = sorted(range(len(held)), key=lambda at: (-floors[at][1], held[at].key))
    extra = set(order[:rest])
    return Liabilities.of(
        Liability(class_id, entry.holder, whole + (1 if at in extra else 0))
        for at, (entry, (whole, _)) in enumerate(zip(held, floors, strict=True))
    )
