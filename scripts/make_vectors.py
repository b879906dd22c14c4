"""Writes tests/vectors from the Python domain; Python and Solidity tests check the same files.

Each vector has readable fields and, where a contract takes a struct, `abi`: the same as
abi.encode. Everything follows from fixed seeds, so a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
from eth_abi.abi import encode

from backend.domain import custody, eip712, positions, records, reserve
from backend.domain.assignment import PositionMap
from backend.domain.classes import CreditClass, UnitType, from_yyyymmdd
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.retirements import CLOSING, RetirementDetails
from backend.domain.serials import SERIES_RULES, Interval, Series
from backend.errors import InvalidValue

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from scripts import (  # noqa: E402
    make_bridge_vectors,
    make_instruction_vectors,
    make_order_vectors,
    make_record_vectors,
)

VECTORS = REPOSITORY / "tests" / "vectors"
PLACE = (31337, "0x00000000000000000000000000000000C0FFEE01")
DOMAIN = custody.signing_domain(*PLACE)
RECORDS_DOMAIN = records.signing_domain(*PLACE)
RESERVE_DOMAIN = reserve.signing_domain(*PLACE)
LABELS = ("ccp", "corsia-phase-1", "article-6-authorized", "removal", "sdvista", "ccb-gold")
CLASS_ABI = "(string,string,uint8,uint32,uint32,bytes32[])"
INTERVAL_ABI = "((string,uint256[]),uint64,uint64)"
RECEIPT_ABI = f"(address,{CLASS_ABI},bytes32,{INTERVAL_ABI}[],bytes32,bytes32,uint64)"
RETIREMENT_ABI = f"(uint256,uint64,uint64,{INTERVAL_ABI}[],string,uint32,bytes32)"
EXCHANGE_ABI = "(uint48,uint48,uint48,uint64)"
CONFIRMATION_ABI = f"(uint64,uint64,{INTERVAL_ABI}[],{EXCHANGE_ABI}[],uint64)"
PIECE_ABI = "(uint48,uint64,uint48)"


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def as_tuple(message: Any) -> Any:
    """A message of named fields as the nested tuple that eth_abi takes."""
    if isinstance(message, dict):
        return tuple(as_tuple(value) for value in message.values())
    if isinstance(message, list):
        return [as_tuple(value) for value in message]
    return message


def readable(message: Any) -> Any:
    """A message with bytes as hex and integers as strings: exact for every JSON reader."""
    if isinstance(message, dict):
        return {key: readable(value) for key, value in message.items()}
    if isinstance(message, list):
        return [readable(value) for value in message]
    if isinstance(message, bytes):
        return hexed(message)
    return str(message) if isinstance(message, int) else message


def some_classes(rng: random.Random) -> list[CreditClass]:
    """Classes of every programme, with no label up to all, odd names and whole years or not."""
    made = [
        CreditClass("VCS", "1529", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31), ("ccp",)),
        CreditClass("GS", "11603", UnitType.CREDIT, date(2025, 1, 1), date(2025, 12, 31)),
        CreditClass("CCER", "项目-1", UnitType.ALLOWANCE, date(1, 1, 1), date(9999, 12, 31)),
    ]
    for programme in SERIES_RULES:
        start = date(2010, 1, 1) + timedelta(days=rng.randrange(5000))
        cohort = tuple(sorted(rng.sample(LABELS, rng.randrange(len(LABELS) + 1))))
        end = start + timedelta(days=rng.randrange(800))
        unit = UnitType(rng.randrange(2))
        made.append(CreditClass(programme, f"P-{rng.randrange(10**6)}", unit, start, end, cohort))
    return made


def some_series(rng: random.Random) -> list[Series]:
    """Series of every programme, at the ends of each code's range and inside."""
    made = [Series("VCS", (1,)), Series("VCS", (2,))]
    made += [Series.parse(f"CDM:{party}") for party in ("AA", "RW", "CN", "ZZ")]
    for programme in ("GS", "ACR", "CAR", "ART"):
        made.append(Series(programme, (0, 0, 0)))
        made.append(Series(programme, (2**32 - 1, 2**16 - 1, 2**32 - 1)))
        made.append(Series(programme, (rng.randrange(2**32), 2021, rng.randrange(2**32))))
    return made


def some_intervals(rng: random.Random, series: list[Series], count: int) -> tuple[Interval, ...]:
    made = []
    for _ in range(count):
        first = rng.randrange(1, 2**48)
        last = first + rng.randrange(10**6)
        made.append(Interval(rng.choice(series), first, last))
    return tuple(made)


def class_vectors(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "class": readable(custody.class_message(credit_class)),
            "labels": list(credit_class.cohort),
            "abi": hexed(encode([CLASS_ABI], [as_tuple(custody.class_message(credit_class))])),
            "projectHash": hexed(credit_class.project_hash),
            "vintageHash": hexed(credit_class.vintage_hash),
            "id": hexed(credit_class.token_id.to_bytes(32, "big")),
        }
        for credit_class in some_classes(rng)
    ]


def day_vectors() -> dict[str, Any]:
    """Numbers at every edge of the calendar, and which of them are days (1) or not (0)."""
    numbers = [0, 1, 101, 1231, 9999, 10000, 10101, 99991231, 100000101, 2**32 - 1]
    for year in (1900, 2000, 2023, 2024, 2100):
        for month in (0, *range(1, 13), 13, 99):
            numbers += [year * 10000 + month * 100 + day for day in (0, 1, 28, 29, 30, 31, 32)]
    return {
        "dayCount": str(len(numbers)),
        "days": [str(number) for number in numbers],
        "areDays": [_accepts(from_yyyymmdd, number) for number in numbers],
    }


def name_vectors() -> dict[str, Any]:
    """Names of projects as UTF-8, and which of them a class may have (1) or not (0)."""
    day = date(2020, 1, 1)
    names = ["", " ", "x", "x" * 64, "x" * 65, "项" * 21, "项" * 22, "~", "é·🌍", "'\"<\\>"]
    names += [f"15{chr(code)}29" for code in (*range(32), 0x7F, 0x80)] + ["\0", "a\0"]
    return {
        "nameCount": str(len(names)),
        "names": [hexed(name.encode()) for name in names],
        "areNames": [
            _accepts(lambda name: CreditClass("VCS", name, UnitType.CREDIT, day, day), name)
            for name in names
        ],
    }


def _accepts(make: Callable[[Any], object], value: Any) -> str:
    try:
        make(value)
    except InvalidValue:
        return "0"
    return "1"


def series_vectors(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "text": str(series),
            "programme": series.programme,
            "codes": [str(code) for code in series.codes],
            "abi": hexed(encode(["(string,uint256[])"], [(series.programme, series.codes)])),
            "id": hexed(series.id),
        }
        for series in some_series(rng)
    ]


#: Tuples that neither side may take: each would open a second space for the same serials.
REFUSED_SERIES: list[tuple[str, list[int]]] = [
    ("VCS", [0]),
    ("VCS", [3]),
    ("VCS", [258]),
    ("VCS", []),
    ("VCS", [1, 1]),
    ("vcs", [1]),
    ("VCS ", [1]),
    ("", []),
    ("GS", [1, 2]),
    ("GS", [2**32, 1, 1]),
    ("GS", [1, 2**16, 1]),
    ("GS", [1, 1, 2**32]),
    ("GS", [1, 1, 1, 0]),
    ("CDM", [0x7277]),
    ("CDM", [0x0052]),
    ("CDM", [0x15257]),
    ("CDM", [0x405A]),
    ("CDM", [0x5A5B]),
    ("CCER", [1]),
]


def typed(
    primary: str,
    abi: str,
    messages: list[dict[str, Any]],
    domain: eip712.SigningDomain = DOMAIN,
    types: eip712.Types = custody.TYPES,
) -> dict[str, Any]:
    """Vectors of one EIP-712 struct: message, struct hash, digest, and the type string."""
    return {
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": str(domain.chain_id),
            "verifyingContract": domain.contract,
        },
        "type": eip712.encode_type(types, primary),
        "count": str(len(messages)),
        "vectors": [
            {
                "message": readable(message),
                "abi": hexed(encode([abi], [as_tuple(message)])),
                "structHash": hexed(eip712.hash_struct(types, primary, message)),
                "digest": hexed(eip712.digest(domain, types, primary, message)),
            }
            for message in messages
        ],
    }


def receipt_messages(rng: random.Random) -> list[dict[str, Any]]:
    series = some_series(rng)
    return [
        Receipt(
            "0x" + rng.randbytes(20).hex(),
            credit_class,
            rng.randbytes(32),
            some_intervals(rng, series, count),
            rng.randbytes(32),
            rng.randbytes(32),
            rng.randrange(2**64),
        ).message()
        for credit_class, count in zip(some_classes(rng), (1, 2, 64, 1, 3, 5, 8, 1, 1), strict=True)
    ]


def retirement_messages(rng: random.Random) -> list[dict[str, Any]]:
    series = some_series(rng)
    return [
        RegistryRetirement(
            rng.randrange(2**256),
            rng.randrange(2**48),
            some_intervals(rng, series, count),
            reference,
            20260000 + rng.randrange(1, 13) * 100 + rng.randrange(1, 29),
            rng.randbytes(32),
        ).message()
        for count, reference in (
            (1, "R"),
            (2, "VCU-2026/000123"),
            (64, "核销 · 🌍"),
            (3, "x" * 256),
        )
    ]


def details_vectors(rng: random.Random) -> list[dict[str, Any]]:
    texts = [
        CLOSING,
        RetirementDetails("Harbour Ferry Company Limited", "Scope 1, fleet", "2025"),
        RetirementDetails('"quoted" \\ <b>', "环境 · 🌍", "2024/2025", rng.randbytes(32)),
        RetirementDetails("x" * 256, "", "", rng.randbytes(32), rng.randbytes(32)),
    ]
    return [
        {
            "beneficiary": given.beneficiary,
            "purpose": given.purpose,
            "period": given.period,
            "instructionHash": hexed(given.instruction_hash),
            "salt": hexed(given.salt),
            "abi": hexed(
                encode(
                    ["(string,string,string,bytes32)"],
                    [(given.beneficiary, given.purpose, given.period, given.instruction_hash)],
                )
            ),
            "hash": hexed(given.hash),
        }
        for given in texts
    ]


def position_sequences(rng: random.Random, count: int = 24, length: int = 30) -> dict[str, Any]:
    """Random mints (0), retirements (1) and closings (2), and the counters after each."""
    encoded = []
    for _ in range(count):
        state = positions.Positions()
        rows: list[tuple[int, int, int, int, int, int]] = []
        while len(rows) < length:
            kind = rng.choice((0, 1, 1, 1, 2)) if state.supply_kilograms else 0
            if kind == 0:
                amount = rng.choice((1, 2, rng.randrange(1, 50), rng.randrange(1, 10**9)))
                state, _ = positions.mint(state, amount)
            elif kind == 1:
                most = state.supply_kilograms
                wish = rng.choice((1, 999, 1000, 1001, rng.randrange(1, 5000), most, state.dust))
                amount = max(1, min(wish, most))
                state, _ = positions.consume(state, amount)
            else:
                if not state.dust:
                    continue
                amount = state.open_tonne
                state, _ = positions.close_open_tonne(state, amount)
            rows.append((kind, amount, state.minted, state.exited, state.open_tonne, state.dust))
        encoded.append(hexed(encode(["uint256[6][]"], [rows])))
    columns = ["kind", "amount", "minted", "exited", "openTonne", "dust"]
    return {"columns": columns, "count": str(count), "sequences": encoded}


def predecessor(confirmed: list[tuple[int, int]], position: int) -> int:
    """The hint of a place among confirmed ranges: the `first` + 1 of the one below, 0 if none."""
    below = [first for first, _ in confirmed if first < position]
    return max(below) + 1 if below else 0


def an_exchange_story(rng: random.Random) -> dict[str, Any]:
    """Blocks of a class, then confirmations of which some name other serials than expected."""
    series = [Series("VCS", (1,)), Series("VCS", (2,))]
    held = PositionMap()
    blocks: list[Interval] = []
    cursors = {one: rng.randrange(1, 10**6) for one in series}
    for _ in range(rng.randrange(2, 7)):
        one = rng.choice(series)
        first = cursors[one] + rng.choice((0, 0, rng.randrange(50)))
        blocks.append(Interval(one, first, first + rng.randrange(1, 60)))
        cursors[one] = blocks[-1].last + 1
        held.append(blocks[-1])
    confirmations = []
    for _ in range(rng.randrange(3, 9)):
        free = [p for p in range(held.minted) if not held.is_settled(p, p + 1)]
        if not free:
            break
        first = rng.choice(free)
        end = first + 1
        while end - first < 12 and end < held.minted and not held.is_settled(end, end + 1):
            end += 1
        actual = _actual(rng, held, first, rng.randrange(1, end - first + 1))
        exchanges = held.exchanges_for(first, actual)
        hint = predecessor(held.confirmed, first)
        swaps = [
            (e.position, e.counterpart, e.tonnes, predecessor(held.confirmed, e.counterpart))
            for e in exchanges
        ]
        for exchange in exchanges:
            held.exchange(exchange)
        held.confirm(first, actual)
        tonnes = sum(interval.tonnes for interval in actual)
        listed = [as_tuple(custody.interval_message(interval)) for interval in actual]
        confirmations.append((first, tonnes, listed, swaps, hint))
    pieces = list(held.pieces(0, held.minted))
    listed_blocks = [as_tuple(custody.interval_message(block)) for block in blocks]
    return {
        "blocks": [str(block) for block in blocks],
        "exchanges": str(sum(len(confirmation[3]) for confirmation in confirmations)),
        "pieces": [f"{piece.position}: {piece.serials}" for piece in pieces],
        "abi": hexed(
            encode(
                [f"{INTERVAL_ABI}[]", f"{CONFIRMATION_ABI}[]", f"{PIECE_ABI}[]", "uint256[]"],
                [
                    listed_blocks,
                    confirmations,
                    [(p.position, p.serials.first, p.tonnes) for p in pieces],
                    [p.serials.series.codes[0] for p in pieces],
                ],
            )
        ),
    }


def _actual(rng: random.Random, held: PositionMap, first: int, tonnes: int) -> list[Interval]:
    """What the registry retired: the expected serials, or free ones from anywhere in the class."""
    if rng.random() < 0.35:
        return [piece.serials for piece in held.pieces(first, first + tonnes)]
    picked: list[Interval] = []
    free = [p for p in range(held.minted) if not held.is_settled(p, p + 1)]
    taken: set[int] = set()
    while sum(interval.tonnes for interval in picked) < tonnes:
        start = rng.choice([p for p in free if p not in taken])
        end = start
        room = tonnes - sum(interval.tonnes for interval in picked)
        while end in free and end not in taken and end - start < min(room, rng.randrange(1, 9)):
            end += 1
        end = max(end, start + 1)
        taken.update(range(start, end))
        picked += [piece.serials for piece in held.pieces(start, end)]
    return picked


def vectors() -> dict[str, Any]:
    """File name → content."""
    seeds = {name: random.Random(f"causeway {name}") for name in "csrtdpefmv"}
    classes, series = class_vectors(seeds["c"]), series_vectors(seeds["s"])
    details = details_vectors(seeds["d"])
    retirements = typed(
        "RegistryRetirement",
        RETIREMENT_ABI,
        retirement_messages(seeds["t"]),
        RECORDS_DOMAIN,
        records.TYPES,
    )
    proofs = make_record_vectors.proof_vectors(seeds["v"])
    reports = typed(
        "ReserveReport",
        make_record_vectors.REPORT_ABI,
        make_record_vectors.report_messages(seeds["v"]),
        RESERVE_DOMAIN,
        reserve.TYPES,
    )
    stories = [an_exchange_story(seeds["e"]) for _ in range(14)]
    return {
        "classes": {"count": str(len(classes)), "vectors": classes}
        | day_vectors()
        | name_vectors(),
        "series": {
            "count": str(len(series)),
            "vectors": series,
            "refusedCount": str(len(REFUSED_SERIES)),
            "refused": [
                {
                    "programme": programme,
                    "codes": [str(code) for code in codes],
                    "abi": hexed(encode(["(string,uint256[])"], [(programme, codes)])),
                }
                for programme, codes in REFUSED_SERIES
            ],
        },
        "receipts": typed("Receipt", RECEIPT_ABI, receipt_messages(seeds["r"])),
        "retirements": retirements | {"detailsCount": str(len(details)), "details": details},
        "positions": position_sequences(seeds["p"]),
        "exchanges": {"count": str(len(stories)), "stories": stories},
        "failures": typed(
            "RegistryFailure",
            make_record_vectors.FAILURE_ABI,
            make_record_vectors.failure_messages(seeds["f"]),
            RECORDS_DOMAIN,
            records.TYPES,
        ),
        "made-good": typed(
            "MadeGood",
            make_record_vectors.MADE_GOOD_ABI,
            make_record_vectors.made_good_messages(seeds["m"]),
            RECORDS_DOMAIN,
            records.TYPES,
        ),
        "reserve": reports | {"proofCount": str(len(proofs)), "proofs": proofs},
        "orders": make_order_vectors.vectors(),
        "batches": make_order_vectors.batch_vectors(),
        "instructions": make_instruction_vectors.vectors(),
        **make_bridge_vectors.vectors(typed),
    }


def written(content: Any) -> bytes:
    """The bytes of one file."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> int:
    """Write the files; with --check only say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    differing = []
    for name, content in vectors().items():
        path = VECTORS / f"{name}.json"
        if check and (not path.exists() or path.read_bytes() != written(content)):
            differing.append(path.name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(content))
    if differing:
        print("not what the domain says: " + ", ".join(differing), file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
