"""Recounts the Exchange from raw logs, trade by trade, sharing no line with the backend.

Of `backend` this script imports nothing. It reads the settlement batches with a decoder of its own,
pays every trade one by one where the contract nets them, and holds what it counted against the
contract's views:

    python scripts/recount_exchange.py --rpc URL --deployment FILE [--balances FILE]

`--balances` is JSON from anywhere: `{account: {asset: amount}}`, or a list of objects with
`account`, `asset` and `balance` (or `available` and `reserved`), `claimable` if known. It prints
one JSON object. Exit 0: nothing contradicts; 1: the contract or the file says something else
(listed under `differences`); 2: it could not run.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections import defaultdict
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

RANGE = 2_000
PART = 200
TONNE = 1_000
RETIRE_ON_FILL = 32
WITHDRAWN = 2**53 - 1

#: Events that move something: name, indexed types, other types.
EVENTS = [
    ("Deposited", ["uint256", "address"], ["uint256", "uint256"]),
    ("BatchSettled", [], ["uint64", "uint64", "uint64", "uint64", "bytes32", "bytes"]),
    ("WithdrawalShort", [], ["uint64", "uint256"]),
    (
        "TradesVoided",
        [],
        ["uint64", "uint64", "uint64", "uint64", "uint8", "uint64", "bytes32"],
    ),
    ("Claimed", ["address"], ["uint256", "uint256"]),
    ("ExitRequested", ["address"], ["uint256", "uint40"]),
    ("ExitCancelled", ["address"], ["uint256"]),
    ("ExitExecuted", ["address"], ["uint256", "uint256"]),
    ("RetirementCompleted", ["bytes32", "address"], ["uint256", "uint256", "uint256"]),
    ("FeesCollected", [], ["uint256", "uint256", "uint256"]),
    ("FeePayeesSet", [], ["address", "address", "uint16"]),
]
ORDER_TYPE = (
    "Order(address trader,uint64 nonce,uint256 instrument,address asset,uint8 side,"
    "uint64 quantity,uint128 price,uint16 maxFeeBps,uint40 signedAt,uint40 expiry,"
    "uint8 conditions,bytes32 detailsHash,uint8 signatureKind)"
)
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


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

    def view(self, block: int, calls: list[tuple[str, str, list[Any], str]]) -> list[Any]:
        """Results of reads: (address, signature, arguments, result types)."""
        results: list[Any] = []
        for start in range(0, len(calls), PART):
            part = calls[start : start + PART]
            body = []
            for index, (to, signature, args, _) in enumerate(part):
                kinds = signature[signature.index("(") + 1 : -1]
                data = keccak(text=signature)[:4] + encode(kinds.split(",") if kinds else [], args)
                params = [{"to": to, "data": "0x" + data.hex()}, hex(block)]
                body.append({"jsonrpc": "2.0", "id": index, "method": "eth_call", "params": params})
            answers = {answer["id"]: answer for answer in self.send(body)}
            for index, (_, signature, _, kinds) in enumerate(part):
                if "error" in answers[index]:
                    raise RuntimeError(f"{signature}: {answers[index]['error']}")
                raw = bytes.fromhex(answers[index]["result"][2:])
                results.append(decode(kinds.split(","), raw))
        return results


class Bytes:
    """A cursor over a batch."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.raw):
            raise RuntimeError(f"a batch of {len(self.raw)} bytes ends within a field")
        self.at += size
        return self.raw[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def read_batch(raw: bytes) -> dict[str, Any]:
    """A packed batch as plain dicts: head, orders, trades, withdrawals."""
    read = Bytes(raw)
    if read.number(1) != 1:
        raise RuntimeError("a batch of an unknown version")
    first_trade, trade_count = read.number(6), read.number(2)
    first_withdrawal, withdrawal_count = read.number(6), read.number(2)
    seq, head = read.number(6), read.take(32)
    maker_fee, taker_fee, base = read.number(1), read.number(1), read.number(5)
    money, classes, account_count, leg_count, order_count = (read.number(2) for _ in range(5))
    assets = [read.number(20) for _ in range(money)] + [read.number(32) for _ in range(classes)]
    legs: list[tuple[str, int]] = []
    orders: list[dict[str, Any]] = []
    for _ in range(account_count):
        account = "0x" + read.take(20).hex()
        own, own_orders = read.number(2), read.number(2)
        mine = [(account, assets[read.number(2)]) for _ in range(own)]
        legs += mine
        orders += [read_order(read, account, mine, base) for _ in range(own_orders)]
    if (len(legs), len(orders)) != (leg_count, order_count):
        raise RuntimeError("a batch whose tables are not as long as it says")
    trades = []
    for number in range(trade_count):
        maker, taker = orders[read.number(2)], orders[read.number(2)]
        trades.append({
            "number": first_trade + number, "maker": maker, "taker": taker,
            "quantity": read.number(7), "time": base + read.number(3),
            "fees": (maker_fee, taker_fee),
        })  # fmt: skip
    withdrawals = []
    for number in range(withdrawal_count):
        account, asset = legs[read.number(2)]
        withdrawals.append({
            "number": first_withdrawal + number, "account": account, "asset": asset,
            "nonce": read.number(6), "amount": read.number(13), "kind": read.number(1),
        })  # fmt: skip
    if read.at != len(raw):
        raise RuntimeError(f"a batch with {len(raw) - read.at} bytes behind its end")
    return {
        "seq": seq, "head": head.hex(), "orders": orders, "trades": trades,
        "withdrawals": withdrawals,
    }  # fmt: skip


def read_order(read: Bytes, account: str, legs: list[tuple[str, int]], base: int) -> dict[str, Any]:
    instrument, asset = legs[read.number(2)][1], legs[read.number(2)][1]
    nonce, quantity, price, max_fee = (read.number(size) for size in (6, 7, 13, 1))
    flags = read.number(1)
    conditions = flags >> 1 & 63
    # 24 bits below the base time: orders are signed before they match.
    signed_at, lifetime = base + read.number(3), read.number(3)
    return {
        "trader": account, "nonce": nonce, "instrument": instrument, "asset": asset,
        "side": flags & 1, "quantity": quantity, "price": price, "max_fee": max_fee,
        "signed_at": signed_at, "expiry": signed_at + lifetime, "conditions": conditions,
        "details": read.take(32) if conditions & RETIRE_ON_FILL else bytes(32),
        "kind": flags >> 7,
    }  # fmt: skip


class Books:
    """Everything counted, from logs in order."""

    def __init__(self, separator: bytes) -> None:
        self.separator = separator
        self.balances: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.claimable: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.exits: dict[tuple[str, int], int] = {}
        #: Operator's and developer's part of the fees nobody has collected.
        self.fees: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        self.share = 0
        self.earmarks: dict[str, list[int]] = {}
        self.fills: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.payees = ("", "")
        self.deposits = self.trades = self.withdrawals = self.batches = self.voided = 0
        self.settled = (0, 0)
        self.match_time = 0
        self.shorts: dict[int, int] = {}
        self.short_said: dict[int, int] = {}
        self.wrong: list[str] = []

    def apply(self, name: str, values: list[Any]) -> None:
        getattr(self, "on_" + name)(*values)

    def on_Deposited(  # noqa: N802
        self, number: int, account: str, asset: int, amount: int
    ) -> None:
        self.deposits += 1
        if number != self.deposits:
            self.wrong.append(f"deposit {number} follows deposit {self.deposits - 1}")
        self.balances[account, asset] += amount

    def on_BatchSettled(  # noqa: N802
        self, first: int, last: int, last_withdrawal: int, _seq: int, _head: bytes, raw: bytes
    ) -> None:
        batch = read_batch(raw)
        self.batches += 1
        numbers = [trade["number"] for trade in batch["trades"]]
        if numbers != list(range(self.settled[0] + 1, last + 1)) or first != self.settled[0] + 1:
            self.wrong.append(f"trades {first} to {last} follow trade {self.settled[0]}")
        paid: defaultdict[int, int] = defaultdict(int)
        for trade in batch["trades"]:
            paid[trade["maker"]["asset"]] += self.pay(trade)
        for asset, amount in paid.items():
            developer = amount * self.share // 10_000
            self.fees[asset][0] += amount - developer
            self.fees[asset][1] += developer
        for withdrawal in batch["withdrawals"]:
            self.withdraw(withdrawal)
        count = self.settled[1] + len(batch["withdrawals"])
        if last_withdrawal != count:
            self.wrong.append(f"withdrawal {last_withdrawal} is said to be last, counted {count}")
        self.settled = (last, last_withdrawal)
        short = [key for key, amount in self.balances.items() if amount < 0]
        self.wrong += [f"trades up to {last} leave {one} with less than nothing" for one in short]

    def pay(self, trade: dict[str, Any]) -> int:
        """One trade, moved as its two orders say; the fees of both sides."""
        maker, taker, quantity = trade["maker"], trade["taker"], trade["quantity"]
        notional = quantity * maker["price"]
        fee = {
            id(maker): notional * trade["fees"][0] // 10_000,
            id(taker): notional * trade["fees"][1] // 10_000,
        }
        buy, sell = (maker, taker) if maker["side"] == 0 else (taker, maker)
        kilograms = quantity * TONNE
        if buy["conditions"] & RETIRE_ON_FILL:
            digest = self.digest(buy)
            self.earmarks.setdefault(digest, [buy["instrument"], 0])[1] += kilograms
        else:
            self.balances[buy["trader"], buy["instrument"]] += kilograms
        self.balances[sell["trader"], sell["instrument"]] -= kilograms
        self.balances[buy["trader"], buy["asset"]] -= notional + fee[id(buy)]
        self.balances[sell["trader"], sell["asset"]] += notional - fee[id(sell)]
        for order in (maker, taker):
            key = (order["trader"], order["nonce"])
            self.fills[key] += quantity
            if self.fills[key] > order["quantity"]:
                self.wrong.append(f"trade {trade['number']} fills more of {key} than was ordered")
        self.trades += 1
        self.match_time = trade["time"]
        return sum(fee.values())

    def withdraw(self, wanted: dict[str, Any]) -> None:
        key = (wanted["account"], wanted["asset"])
        moved = min(wanted["amount"], self.balances[key])
        self.balances[key] -= moved
        self.claimable[key] += moved
        self.withdrawals += 1
        self.fills[wanted["account"], wanted["nonce"]] = WITHDRAWN
        if moved != wanted["amount"]:
            self.shorts[wanted["number"]] = moved

    def on_WithdrawalShort(self, number: int, moved: int) -> None:  # noqa: N802
        self.short_said[number] = moved

    def on_TradesVoided(  # noqa: N802
        self, first: int, last: int, first_withdrawal: int, last_withdrawal: int, *_: Any
    ) -> None:
        if (first, first_withdrawal) != (self.settled[0] + 1, self.settled[1] + 1):
            self.wrong.append(f"trades {first} to {last} were voided after {self.settled}")
        # A range that ends before it begins is empty.
        self.voided += max(last - first + 1, 0)
        self.settled = (max(first - 1, last), max(first_withdrawal - 1, last_withdrawal))

    def on_Claimed(self, account: str, asset: int, amount: int) -> None:  # noqa: N802
        self.claimable[account, asset] -= amount
        if self.claimable[account, asset]:
            self.wrong.append(f"a claim of {account} left some of asset {asset}")

    def on_ExitRequested(self, account: str, asset: int, at: int) -> None:  # noqa: N802
        self.exits[account, asset] = at

    def on_ExitCancelled(self, account: str, asset: int) -> None:  # noqa: N802
        self.exits.pop((account, asset), None)

    def on_ExitExecuted(self, account: str, asset: int, amount: int) -> None:  # noqa: N802
        if amount != self.balances[account, asset]:
            self.wrong.append(f"an exit of {account} took {amount} of asset {asset}")
        self.balances[account, asset] -= amount
        self.claimable[account, asset] += amount
        self.exits.pop((account, asset), None)

    def on_RetirementCompleted(  # noqa: N802
        self, digest: bytes, trader: str, asset: int, kilograms: int, _: int
    ) -> None:
        held = self.earmarks.setdefault(digest.hex(), [asset, 0])
        held[1] -= kilograms
        if held[1] < 0:
            self.wrong.append(f"more was retired for {trader} than it bought to retire")

    def on_FeesCollected(self, asset: int, operator: int, developer: int) -> None:  # noqa: N802
        self.fees[asset][0] -= operator
        self.fees[asset][1] -= developer
        self.claimable[self.payees[0], asset] += operator
        self.claimable[self.payees[1], asset] += developer
        if self.fees[asset] != [0, 0]:
            self.wrong.append(f"fees of asset {asset} were collected, {self.fees[asset]} are over")

    def on_FeePayeesSet(self, operator: str, developer: str, share: int) -> None:  # noqa: N802
        self.payees, self.share = (operator, developer), share

    def digest(self, order: dict[str, Any]) -> str:
        """EIP-712 digest of an order."""
        kinds = [part.split()[0] for part in ORDER_TYPE[6:-1].split(",")]
        values = [
            order["trader"], order["nonce"], order["instrument"], f"0x{order['asset']:040x}",
            order["side"], order["quantity"], order["price"], order["max_fee"],
            order["signed_at"], order["expiry"], order["conditions"], order["details"],
            order["kind"],
        ]  # fmt: skip
        packed = encode(["bytes32", *kinds], [keccak(text=ORDER_TYPE), *values])
        return keccak(b"\x19\x01" + self.separator + keccak(packed)).hex()

    def owed(self, asset: int) -> int:
        held = sum(
            amount
            for book in (self.balances, self.claimable)
            for (_, one), amount in book.items()
            if one == asset
        )
        marked = sum(amount for one, amount in self.earmarks.values() if one == asset)
        return held + sum(self.fees[asset]) + marked

    def assets(self) -> list[int]:
        known = {asset for _, asset in self.balances} | {asset for _, asset in self.claimable}
        return sorted(known | set(self.fees) | {asset for asset, _ in self.earmarks.values()})


def topic(name: str, indexed: list[str], others: list[str]) -> str:
    """Topic 0. Indexed parameters come first in every event used here."""
    return "0x" + keccak(text=f"{name}({','.join(indexed + others)})").hex()


def separator_of(chain_id: int, contract: str) -> bytes:
    names = [keccak(text=DOMAIN_TYPE), keccak(text="Causeway Exchange"), keccak(text="1")]
    kinds = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    return keccak(encode(kinds, [*names, chain_id, contract]))


def read_logs(endpoint: Endpoint, books: Books, address: str, start: int, block: int) -> None:
    """Every log that moves something, in order."""
    kinds = {topic(*event): event for event in EVENTS}
    for low in range(start, block + 1, RANGE):
        high = min(low + RANGE - 1, block)
        logs = endpoint.ask(
            "eth_getLogs", {"address": address, "fromBlock": hex(low), "toBlock": hex(high)}
        )
        logs.sort(key=lambda log: (int(log["blockNumber"], 16), int(log["logIndex"], 16)))
        for log in logs:
            known = kinds.get(log["topics"][0])
            if known:
                name, indexed, others = known
                values = [
                    decode([kind], bytes.fromhex(word[2:]))[0]
                    for kind, word in zip(indexed, log["topics"][1:], strict=True)
                ]
                values += decode(others, bytes.fromhex(log["data"][2:]))
                books.apply(name, values)


def compare_with_chain(
    endpoint: Endpoint, address: str, credits: str, block: int, books: Books
) -> list[str]:
    """What the contract answers, against the count."""
    differences = list(books.wrong)

    def compare(what: str, found: Any, counted: Any) -> None:
        if found != counted:
            differences.append(f"{what}: the contract says {found}, counted {counted}")

    pairs = sorted(set(books.balances) | set(books.claimable) | set(books.exits))
    slots = endpoint.view(
        block,
        [
            (address, "accountOf(address,uint256)", list(pair), "uint256,uint256,uint40")
            for pair in pairs
        ],
    )
    for pair, found in zip(pairs, slots, strict=True):
        compare(
            f"account {pair[0]}, asset {pair[1]} (balance, claimable, exit)", tuple(found),
            (books.balances[pair], books.claimable[pair], books.exits.get(pair, 0)),
        )  # fmt: skip
    for asset in books.assets():
        compare_asset(endpoint, address, credits, block, books, asset, compare)
    fills = list(books.fills)
    kinds = "uint64,bool,uint40"
    stored = endpoint.view(
        block, [(address, "fillOf(address,uint64)", list(key), kinds) for key in fills]
    )
    for key, found in zip(fills, stored, strict=True):
        compare(f"fill of {key[0]}, nonce {key[1]}", found[0], books.fills[key])
    marks = list(books.earmarks)
    stored = endpoint.view(
        block, [(address, "earmarked(bytes32)", [bytes.fromhex(one)], "uint256") for one in marks]
    )
    for one, found in zip(marks, stored, strict=True):
        compare(f"earmark of order 0x{one}", found[0], books.earmarks[one][1])
    settled, deposits = endpoint.view(
        block,
        [
            (address, "settled()", [], "uint64,uint64,uint40"),
            (address, "depositCount()", [], "uint256"),
        ],
    )
    compare("last trade, withdrawal, match time", settled, (*books.settled, books.match_time))
    compare("deposits", deposits[0], books.deposits)
    compare("withdrawals that moved less than was asked", books.short_said, books.shorts)
    return differences


def compare_asset(
    endpoint: Endpoint, address: str, credits: str, block: int, books: Books, asset: int,
    compare: Any,
) -> None:  # fmt: skip
    """Total, fees and what the Exchange really holds of one asset."""
    if asset >> 160:
        holding = (credits, "balanceOf(address,uint256)", [address, asset], "uint256")
    else:
        holding = (f"0x{asset:040x}", "balanceOf(address)", [address], "uint256")
    total, solvency, fees, held = endpoint.view(
        block,
        [
            (address, "total(uint256)", [asset], "uint256"),
            (address, "solvency(uint256)", [asset], "uint256,uint256"),
            (address, "feesOf(uint256)", [asset], "uint256,uint256"),
            holding,
        ],
    )
    owed = books.owed(asset)
    compare(f"total of asset {asset}", total[0], owed)
    compare(f"solvency (held, owed) of asset {asset}", solvency, (held[0], owed))
    compare(f"fees of asset {asset}", list(fees), books.fees[asset])
    if held[0] < owed:
        compare(f"asset {asset} held", held[0], f"{owed} owed")


def compare_with_file(path: str, books: Books) -> list[str]:
    """What somebody else says the balances are, against the count."""
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    if isinstance(told, dict) and isinstance(told.get("balances"), list | dict):
        told = told["balances"]
    if isinstance(told, dict):
        told = [
            {"account": account, "asset": asset, "balance": amount}
            for account, amounts in told.items()
            for asset, amount in amounts.items()
        ]
    differences, seen = [], set()
    for row in told:
        key = (row["account"].lower(), int(str(row["asset"]), 0))
        balance = row.get("balance")
        if balance is None:
            balance = int(row["available"]) + int(row["reserved"])
        said = {"balance": (int(balance), books.balances[key])}
        if row.get("claimable") is not None:
            said["claimable"] = (int(row["claimable"]), books.claimable[key])
        seen.add(key)
        differences += [
            f"{what} of {key[0]}, asset {key[1]}: the file says {found}, counted {counted}"
            for what, (found, counted) in said.items()
            if found != counted
        ]
    differences += [
        f"{key[0]} has {amount} of asset {key[1]}, the file does not name it"
        for key, amount in sorted(books.balances.items())
        if amount and key not in seen
    ]
    return differences


def as_json(block: int, books: Books, differences: list[str]) -> dict[str, Any]:
    """The whole count; integers as strings."""

    def by_account(amounts: dict[tuple[str, int], int]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for (account, asset), amount in sorted(amounts.items()):
            if amount:
                found.setdefault(account, {})[str(asset)] = str(amount)
        return found

    figures = ("batches", "trades", "voided", "deposits", "withdrawals")
    return {
        "block": str(block),
        **{name: str(getattr(books, name)) for name in figures},
        "totals": {str(asset): str(books.owed(asset)) for asset in books.assets()},
        "fees": {str(asset): str(sum(both)) for asset, both in sorted(books.fees.items())},
        "earmarks": {f"0x{one}": str(amount) for one, (_, amount) in books.earmarks.items()},
        "balances": by_account(books.balances),
        "claimable": by_account(books.claimable),
        "differences": differences,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--balances")
    options = parser.parse_args()
    try:
        with open(options.deployment, encoding="utf-8") as file:
            contracts = json.load(file)["contracts"]
        endpoint = Endpoint(options.rpc)
        block = int(endpoint.ask("eth_blockNumber"), 16)
        address = contracts["Exchange"]["address"]
        books = Books(separator_of(int(endpoint.ask("eth_chainId"), 16), address))
        read_logs(endpoint, books, address, int(contracts["Exchange"]["block"]), block)
        credits = contracts["CarbonCredits"]["address"]
        differences = compare_with_chain(endpoint, address, credits, block, books)
        if options.balances:
            differences += compare_with_file(options.balances, books)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
        print(f"could not recount: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(block, books, differences), indent=1))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
