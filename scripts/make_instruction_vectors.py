"""Vectors of retirement instructions and their hash, for whoever computes it elsewhere."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from backend.domain.instructions import (
    TYPE,
    TYPE_HASH,
    BeneficiaryKind,
    RetirementInstruction,
    UseCase,
)

#: Programme and a reason as it spells it; texts with letters beyond ASCII belong to the test.
_SAMPLES = (
    ("VCS", "Environmental Benefit", ""),
    ("VCS", "Retirement for Person or Organization", "CORSIA"),
    ("GS", "Voluntary", ""),
    ("ACR", "Environmental Benefit", ""),
    ("CCER", "自愿注销", "国家碳市场"),
    ("CDM", "Voluntary cancellation", ""),
)


def vectors(count: int = 12) -> dict[str, Any]:
    """Instructions as JSON with their hash; a fixed seed, so a second run writes the same."""
    rng = random.Random(0x1257)
    made = []
    for number in range(count):
        programme, reason, scheme = _SAMPLES[number % len(_SAMPLES)]
        start = date(2020, 1, 1) + timedelta(days=rng.randrange(2_000))
        public = number % 3 != 2
        dated = number % 4 != 3
        instruction = RetirementInstruction(
            programme,
            f"Sample Beneficiary {number} – 樣本",
            rng.choice(list(BeneficiaryKind)),
            rng.choice(("HK", "SG", "CN", "GB")),
            UseCase.COMPLIANCE if scheme else UseCase.VOLUNTARY,
            reason,
            f"{rng.randrange(10**12):012d}" if number % 2 else "",
            scheme,
            "2024-2026" if scheme else "",
            start if dated else None,
            start + timedelta(days=rng.randrange(800)) if dated else None,
            public,
            "" if number % 5 else "x" * 256,
            bytes(32) if public else rng.randbytes(32),
        )
        made.append({"instruction": instruction.as_json(), "hash": "0x" + instruction.hash.hex()})
    return {"type": TYPE, "typeHash": "0x" + TYPE_HASH.hex(), "instructions": made}
