"""Recounts the books from raw logs, tonne by tonne, sharing no line with the backend.

Of `backend` this script imports nothing, and it uses no cursor arithmetic: every tonne ever minted
is one entry of an array, every retirement crosses entries off from the front. What it finds can
therefore be held against what the backend says:

    python scripts/recount.py --rpc URL --deployment FILE [--database-url URL]

It prints one JSON object. Exit 0: nothing contradicts; 1: the contracts or the database say
something else (listed under `differences`); 2: it could not run.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from array import array
from collections import defaultdict
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

TONNE = 1000
NOBODY = "0x" + "0" * 40
RANGE = 2_000
BATCH = 200

CLASS = "(string,string,uint8,uint32,uint32,bytes32[])"
#: Per contract the events that move credits: name, indexed types, other types.
EVENTS = {
    "CarbonCredits": [
        ("ClassCreated", ["uint256", "uint32"], ["bytes32", "bytes32", CLASS]),
        ("CreditsMinted", ["uint256", "address"], ["uint48", "uint48"]),
        (
            "CreditsRetired",
            ["uint256", "address", "uint256"],
            ["address", "address", "uint256", "uint48", "uint48", "uint16", "bytes32"],
        ),
        ("TransferSingle", ["address", "address", "address"], ["uint256", "uint256"]),
        ("TransferBatch", ["address", "address", "address"], ["uint256[]", "uint256[]"]),
        ("CreditsBurntForDelivery", ["uint256", "address"], ["uint48", "uint48"]),
        ("CreditsRefunded", ["uint256", "address"], ["uint48", "uint48"]),
    ],
    "Trust": [
        ("SeriesCreated", ["bytes32", "uint32"], ["string", "uint256[]"]),
        ("BlockRegistered", ["uint256", "bytes32", "bytes32"], ["uint64", "uint64", "uint48"]),
        ("BlockAppended", ["uint256", "bytes32", "bytes32"], ["uint64", "uint64", "uint48"]),
        ("SerialsRegistered", ["bytes32", "bytes32", "uint256"], ["uint64", "uint64"]),
        ("SerialsReleased", ["bytes32"], ["uint64", "uint64"]),
    ],
    "RegistryRecords": [
        ("SerialsExchanged", ["uint256"], ["uint48", "uint48", "uint48"]),
        ("SerialsRebound", ["uint256"], ["uint48", "uint48", "bytes32", "uint64"]),
    ],
}
#: Of contracts that a deployment may lack.
MODULES = {
    "Gaps": [
        ("GapOpened", ["uint256"], ["uint48", "uint48", "uint8"]),
        ("GapClosed", ["uint256"], ["uint48", "uint48", "uint8"]),
        ("GapPassed", ["uint256"], ["uint48", "uint48", "uint48"]),
    ],
}


def topic(name: str, indexed: list[str], others: list[str]) -> str:
    """Topic 0. Indexed parameters come first in every event used here."""
    return "0x" + keccak(text=f"{name}({','.join(indexed + others)})").hex()


class Endpoint:
    """The least JSON-RPC client that does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, body: Any) -> Any:
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def ask(self, method: str, *params: Any) -> Any:
        answer = self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def view(self, to: str, block: int, calls: list[tuple[str, str, list[Any], str]]) -> list[Any]:
        """Results of reads: (function name, argument types, arguments, result type)."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            body = []
            for index, (name, kinds, args, _) in enumerate(part):
                types = kinds.split(",") if kinds else []
                data = keccak(text=f"{name}({kinds})")[:4] + encode(types, args)
                call = {"to": to, "data": "0x" + data.hex()}
                body.append(
                    {
                        "jsonrpc": "2.0",
                        "id": index,
                        "method": "eth_call",
                        "params": [call, hex(block)],
                    }
                )
            answers = {answer["id"]: answer for answer in self.send(body)}
            for index, (name, _, _, kind) in enumerate(part):
                if "error" in answers[index]:
                    raise RuntimeError(f"{name}: {answers[index]['error']}")
                results.append(decode([kind], bytes.fromhex(answers[index]["result"][2:]))[0])
        return results


class Class:
    """Tonnes of one class in the order of their mints: one serial per array entry."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.series = array("L")
        self.serials = array("Q")
        self.next = 0  # the first tonne nothing has been taken from
        self.open = -1
        self.left = 0  # kilograms left of the open tonne
        self.gaps: set[int] = set()  # tonnes that nothing may take
        self.delivered: set[int] = set()  # tonnes that were burnt for a delivery
        self.void: set[int] = set()  # tonnes that stand again at the back

    @property
    def supply(self) -> int:
        return (len(self.serials) - self.next) * TONNE + self.left

    def add(self, series: int, first: int, last: int) -> None:
        self.serials.extend(range(first, last + 1))
        self.series.extend([series] * (last - first + 1))

    def take(self, kilograms: int) -> list[tuple[int, int]]:
        """Cross kilograms off from the front: (tonne, kilograms) of each tonne touched."""
        taken: list[tuple[int, int]] = []
        while kilograms >= TONNE:
            taken.append((self.next, TONNE))
            self.next += 1
            kilograms -= TONNE
        if kilograms and self.left:
            part = min(kilograms, self.left)
            taken.append((self.open, part))
            self.left -= part
            kilograms -= part
        if kilograms:
            self.open, self.left = self.next, TONNE - kilograms
            taken.append((self.next, kilograms))
            self.next += 1
        if self.next > len(self.serials):
            raise RuntimeError(f"class {self.number} retired more than it minted")
        dead = sorted({tonne for tonne, _ in taken} & self.gaps)
        if dead:
            raise RuntimeError(f"class {self.number} retired tonne {dead[0]}, which is a gap")
        return taken

    def burn(self, first: int, tonnes: int) -> None:
        """Whole tonnes from the front leave for a registry account."""
        if first != self.next or self.gaps & set(range(first, first + tonnes)):
            raise RuntimeError(f"class {self.number} delivered tonne {first}, {self.next} is next")
        self.delivered |= set(range(first, first + tonnes))
        self.next += tonnes

    def pass_gap(self, first: int, tonnes: int, back: int) -> None:
        """Gap tonnes at the front become void and stand, still gaps, at the back."""
        gone = set(range(first, first + tonnes))
        if first != self.next or not gone <= self.gaps or back != len(self.serials):
            raise RuntimeError(f"class {self.number} passed tonne {first}, {self.next} is next")
        self.gaps = self.gaps - gone | set(range(back, back + tonnes))
        self.void |= gone
        self.next += tonnes

    def swap(self, one: int, other: int, tonnes: int) -> None:
        for step in range(tonnes):
            a, b = one + step, other + step
            self.serials[a], self.serials[b] = self.serials[b], self.serials[a]
            self.series[a], self.series[b] = self.series[b], self.series[a]


class Books:
    """Everything counted, from logs in order."""

    def __init__(self) -> None:
        self.classes: dict[int, Class] = {}
        self.series: list[str] = []
        self.series_ids: dict[bytes, int] = {}
        self.balances: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.retired: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.certificates: dict[int, dict[str, Any]] = {}
        self.taken: dict[int, list[tuple[int, int]]] = {}
        self.register: set[tuple[int, int]] = set()  # (series, serial), one by one

    def apply(self, name: str, values: list[Any]) -> None:
        getattr(self, "on_" + name)(*values)

    def on_ClassCreated(self, class_id: int, number: int, *_: Any) -> None:  # noqa: N802
        self.classes[class_id] = Class(number)

    def on_CreditsMinted(self, *_: Any) -> None:  # noqa: N802
        """The blocks say the same, with their serials."""

    def on_SeriesCreated(  # noqa: N802
        self, series_id: bytes, _: int, programme: str, codes: tuple[int, ...]
    ) -> None:
        shown = [str(code) for code in codes]
        if programme == "CDM":
            shown = [codes[0].to_bytes(2, "big").decode()]
        self.series_ids[series_id] = len(self.series)
        self.series.append(":".join([programme, *shown]))

    def on_BlockRegistered(  # noqa: N802
        self, class_id: int, series_id: bytes, _: bytes, first: int, last: int, position: int
    ) -> None:
        held = self.classes[class_id]
        if position != len(held.serials):
            raise RuntimeError(f"a block of class {held.number} stands at {position}")
        self.enter(series_id, first, last)
        held.add(self.series_ids[series_id], first, last)

    def enter(self, series_id: bytes, first: int, last: int) -> None:
        series = self.series_ids[series_id]
        for serial in range(first, last + 1):
            if (series, serial) in self.register:
                raise RuntimeError(f"{self.series[series]}/{serial} was registered twice")
            self.register.add((series, serial))

    def on_BlockAppended(  # noqa: N802
        self, class_id: int, series_id: bytes, _: bytes, first: int, last: int, position: int
    ) -> None:
        """Serials that are registered already stand once more: a refund, a gap, a conversion."""
        held = self.classes[class_id]
        if position != len(held.serials):
            raise RuntimeError(f"a block of class {held.number} stands at {position}")
        held.add(self.series_ids[series_id], first, last)

    def on_SerialsRegistered(  # noqa: N802
        self, series_id: bytes, _: bytes, __: int, first: int, last: int
    ) -> None:
        self.enter(series_id, first, last)

    def on_SerialsReleased(self, series_id: bytes, first: int, last: int) -> None:  # noqa: N802
        for serial in range(first, last + 1):
            self.register.remove((self.series_ids[series_id], serial))

    def on_SerialsRebound(  # noqa: N802
        self, class_id: int, position: int, tonnes: int, series_id: bytes, first: int
    ) -> None:
        held = self.classes[class_id]
        for step in range(tonnes):
            held.series[position + step] = self.series_ids[series_id]
            held.serials[position + step] = first + step

    def on_CreditsBurntForDelivery(  # noqa: N802
        self, class_id: int, _: str, first: int, tonnes: int
    ) -> None:
        self.classes[class_id].burn(first, tonnes)

    def on_CreditsRefunded(self, *_: Any) -> None:  # noqa: N802
        """The appended block says the same, with its serials."""

    def on_GapOpened(self, class_id: int, first: int, tonnes: int, _: int) -> None:  # noqa: N802
        self.classes[class_id].gaps |= set(range(first, first + tonnes))

    def on_GapClosed(self, class_id: int, first: int, tonnes: int, _: int) -> None:  # noqa: N802
        self.classes[class_id].gaps -= set(range(first, first + tonnes))

    def on_GapPassed(  # noqa: N802
        self, class_id: int, first: int, tonnes: int, back: int
    ) -> None:
        self.classes[class_id].pass_gap(first, tonnes, back)

    def on_SerialsExchanged(  # noqa: N802
        self, class_id: int, one: int, other: int, tonnes: int
    ) -> None:
        self.classes[class_id].swap(one, other, tonnes)

    def on_TransferSingle(  # noqa: N802
        self, _: str, source: str, target: str, class_id: int, kilograms: int
    ) -> None:
        if source != NOBODY:
            self.balances[source, class_id] -= kilograms
        if target != NOBODY:
            self.balances[target, class_id] += kilograms

    def on_TransferBatch(  # noqa: N802
        self, operator: str, source: str, target: str, ids: list[int], amounts: list[int]
    ) -> None:
        for class_id, kilograms in zip(ids, amounts, strict=True):
            self.on_TransferSingle(operator, source, target, class_id, kilograms)

    def on_CreditsRetired(  # noqa: N802
        self, class_id: int, holder: str, certificate: int, _: str, owner: str, kilograms: int,
        *rest: Any,
    ) -> None:  # fmt: skip
        held = self.classes[class_id]
        self.taken[certificate] = held.take(kilograms)
        expected = self.runs(held, self.taken[certificate])
        self.certificates[certificate] = {
            "class_id": class_id, "owner": owner, "kilograms": kilograms, "expected": expected,
        }  # fmt: skip
        self.retired[holder, class_id] += kilograms

    def runs(self, held: Class, taken: list[tuple[int, int]]) -> list[dict[str, str]]:
        """Tonnes as runs of serials: whole tonnes together, each part of a tonne alone."""
        runs: list[list[int]] = []
        for tonne, kilograms in taken:
            series, serial = held.series[tonne], held.serials[tonne]
            last = runs[-1] if runs else None
            if (
                last
                and kilograms == TONNE == last[3]
                and last[0] == series
                and last[2] + 1 == serial
            ):
                last[2] = serial
            else:
                runs.append([series, serial, serial, kilograms])
        return [
            {
                "serials": f"{self.series[series]}/{first}-{last}",
                "kilograms": str((last - first + 1) * kilograms),
            }
            for series, first, last, kilograms in runs
        ]

    def live(self, held: Class) -> list[str]:
        """Serials with kilograms outstanding, as they stand after every exchange; no gaps."""
        tonnes = [held.open] if held.left else []
        tonnes += [t for t in range(held.next, len(held.serials)) if t not in held.gaps]
        found: list[list[int]] = []
        for series, serial in sorted((held.series[t], held.serials[t]) for t in tonnes):
            if found and found[-1][0] == series and found[-1][2] + 1 == serial:
                found[-1][2] = serial
            else:
                found.append([series, serial, serial])
        return [f"{self.series[series]}/{first}-{last}" for series, first, last in found]


def read_logs(endpoint: Endpoint, contracts: dict[str, Any], block: int) -> Books:
    """Every log that moves credits, in order."""
    told = EVENTS | {name: events for name, events in MODULES.items() if name in contracts}
    kinds = {
        (contracts[contract]["address"].lower(), topic(name, indexed, others)): (
            name, indexed, others,
        )
        for contract, events in told.items()
        for name, indexed, others in events
    }  # fmt: skip
    addresses = [contracts[contract]["address"] for contract in told]
    books = Books()
    start = min(int(contracts[contract]["block"]) for contract in told)
    for low in range(start, block + 1, RANGE):
        high = min(low + RANGE - 1, block)
        logs = endpoint.ask(
            "eth_getLogs", {"address": addresses, "fromBlock": hex(low), "toBlock": hex(high)}
        )
        logs.sort(key=lambda log: (int(log["blockNumber"], 16), int(log["logIndex"], 16)))
        for log in logs:
            known = kinds.get((log["address"].lower(), log["topics"][0]))
            if known:
                name, indexed, others = known
                values = [
                    decode([kind], bytes.fromhex(word[2:]))[0]
                    for kind, word in zip(indexed, log["topics"][1:], strict=True)
                ]
                values += decode(others, bytes.fromhex(log["data"][2:]))
                books.apply(name, values)
    return books


def compare_with_chain(
    endpoint: Endpoint, contracts: dict[str, Any], block: int, books: Books
) -> list[str]:
    """What the contracts answer, against the count."""
    differences: list[str] = []
    credits = contracts["CarbonCredits"]["address"]

    def compare(what: str, found: Any, counted: Any) -> None:
        if found != counted:
            differences.append(f"{what}: the contracts say {found}, counted {counted}")

    ids = list(books.classes)
    counters = "(uint48,uint48,uint48,uint16,uint32,uint32)"
    supplies = endpoint.view(
        credits, block, [("totalSupply", "uint256", [i], "uint256") for i in ids]
    )
    positions = endpoint.view(
        credits, block, [("positions", "uint256", [i], counters) for i in ids]
    )
    for class_id, supply, stored in zip(ids, supplies, positions, strict=True):
        held = books.classes[class_id]
        compare(f"supply of class {held.number}", supply, held.supply)
        compare(f"tonnes minted of class {held.number}", stored[0], len(held.serials))
        compare(f"tonnes exited of class {held.number}", stored[1], held.next)
        compare(f"dust of class {held.number}", stored[3], held.left)
        if held.left:
            compare(f"open tonne of class {held.number}", stored[2], held.open)
    pairs = list(books.balances)
    for function, counted in (("balanceOf", books.balances), ("retiredBalanceOf", books.retired)):
        calls = [(function, "address,uint256", list(pair), "uint256") for pair in pairs]
        for pair, found in zip(pairs, endpoint.view(credits, block, calls), strict=True):
            compare(f"{function} {pair[0]} of {pair[1]}", found, counted.get(pair, 0))
    return differences


#: What the database must say, as rows of text: name, query.
QUERIES = {
    "positions": """
        SELECT DISTINCT ON (class_id) class_id::text, minted::text, exited::text, dust::text
        FROM position_changes ORDER BY class_id, block_number DESC, log_index DESC""",
    "balances": """
        SELECT lower(account), class_id::text, kilograms::text
        FROM balances WHERE kilograms <> 0""",
    "retired": """
        SELECT lower(account), class_id::text, retired::text FROM balances WHERE retired <> 0""",
    "certificates": """
        SELECT certificate_id::text, class_id::text, lower(owner), kilograms::text
        FROM certificates""",
    "delivered": """
        SELECT class_id::text, sum(tonnes)::text FROM class_exits
        WHERE act = 'delivery' GROUP BY class_id""",
    "void": """
        SELECT class_id::text, sum(tonnes)::text FROM class_exits
        WHERE act = 'gap' GROUP BY class_id""",
}


def compare_with_database(url: str, books: Books) -> list[str]:
    """What the index says, against the count."""
    import psycopg

    counted: dict[str, set[tuple[str, ...]]] = {
        "positions": {
            (str(i), str(len(held.serials)), str(held.next), str(held.left))
            for i, held in books.classes.items()
        },
        "balances": {(a, str(i), str(kg)) for (a, i), kg in books.balances.items() if kg},
        "retired": {(a, str(i), str(kg)) for (a, i), kg in books.retired.items() if kg},
        "certificates": {
            (str(c), str(row["class_id"]), row["owner"], str(row["kilograms"]))
            for c, row in books.certificates.items()
        },
        "delivered": {
            (str(i), str(len(held.delivered)))
            for i, held in books.classes.items()
            if held.delivered
        },
        "void": {(str(i), str(len(held.void))) for i, held in books.classes.items() if held.void},
    }
    differences = []
    with psycopg.connect(url) as connection:
        for name, query in QUERIES.items():
            found = {tuple(row) for row in connection.execute(query)}
            for row in sorted(found ^ counted[name]):
                where = "counted, not in the database" if row in counted[name] else "not counted"
                differences.append(f"{name}: {', '.join(row)} is {where}")
    return differences


def as_json(block: int, books: Books, differences: list[str]) -> dict[str, Any]:
    """The whole count; integers as strings."""

    def by_account(amounts: dict[tuple[str, int], int]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for (account, class_id), kilograms in sorted(amounts.items()):
            if kilograms:
                found.setdefault(account, {})[str(class_id)] = str(kilograms)
        return found

    return {
        "block": str(block),
        "classes": {
            str(class_id): {
                "number": str(held.number),
                "minted_tonnes": str(len(held.serials)),
                "exited_tonnes": str(held.next),
                "dust_kilograms": str(held.left),
                "open_tonne": str(held.open) if held.left else None,
                "supply_kilograms": str(held.supply),
                "delivered_tonnes": str(len(held.delivered)),
                "gap_tonnes": str(len(held.gaps)),
                "void_tonnes": str(len(held.void)),
                "live_serials": books.live(held),
            }
            for class_id, held in books.classes.items()
        },
        "certificates": {
            str(certificate): {
                "class_id": str(row["class_id"]),
                "owner": row["owner"],
                "kilograms": str(row["kilograms"]),
                "expected": row["expected"],
                "now": books.runs(books.classes[row["class_id"]], books.taken[certificate]),
            }
            for certificate, row in books.certificates.items()
        },
        "balances": by_account(books.balances),
        "retired": by_account(books.retired),
        "differences": differences,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--database-url")
    options = parser.parse_args()
    try:
        with open(options.deployment, encoding="utf-8") as file:
            contracts = json.load(file)["contracts"]
        endpoint = Endpoint(options.rpc)
        block = int(endpoint.ask("eth_blockNumber"), 16)
        books = read_logs(endpoint, contracts, block)
        differences = compare_with_chain(endpoint, contracts, block, books)
        if options.database_url:
            differences += compare_with_database(options.database_url, books)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"could not recount: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(block, books, differences), indent=1))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
