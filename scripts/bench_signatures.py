"""Signature checks per second of one core, beside eth-account's in the same run.

Ours: the command as it comes out of the bus, digest and recovery, compared with its trader.
Baseline: eth-account's `encode_typed_data` and `recover_message` with coincurve installed.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from eth_account import Account as EthAccount  # noqa: E402
from eth_account.messages import encode_typed_data  # noqa: E402

from backend.chain.keys import address_of, sign_digest  # noqa: E402
from backend.chain.signatures import Verifier, recover_account  # noqa: E402
from backend.domain.commands import PlaceOrder  # noqa: E402
from backend.domain.orders import (  # noqa: E402
    ORDER_TYPES,
    Order,
    account_of,
    exchange_domain,
    typed,
)

ORDERS = 20_000
BASELINE_ORDERS = 2_000
TRADERS = 20
DOMAIN = exchange_domain(31_337, "0x" + "c0" * 20)


def commands(verifier: Verifier, count: int) -> list[PlaceOrder]:
    """Orders of several traders, signed."""
    secrets = [(1_000 + number).to_bytes(32, "big") for number in range(TRADERS)]
    traders = [account_of(address_of(secret)) for secret in secrets]
    made = []
    for number in range(count):
        who = number % TRADERS
        order = Order(
            traders[who],
            number // TRADERS,
            (1 << 200) + number % 50,
            (1 << 150) + 1,
            number % 2,
            1 + number % 97,
            1_000_000 + number,
            30,
            1_700_000_000,
            1_700_000_000 + 86_400,
            0,
            bytes(32),
            0,
        )
        made.append(PlaceOrder(order, sign_digest(secrets[who], verifier.digest(order))))
    return made


def theirs(made: list[PlaceOrder]) -> float:
    """Seconds of eth-account for the same orders."""
    definition = {
        kind: [{"name": name, "type": of} for name, of in members]
        for kind, members in ORDER_TYPES.items()
    }
    domain = {
        "name": DOMAIN.name,
        "version": DOMAIN.version,
        "chainId": DOMAIN.chain_id,
        "verifyingContract": DOMAIN.contract,
    }
    started = time.perf_counter()
    for order, signature in made:
        message = encode_typed_data(domain, definition, typed(order)[2])
        signer = EthAccount.recover_message(message, signature=signature)
        assert account_of(signer) == order.trader
    return time.perf_counter() - started


def run() -> dict[str, Any]:
    """Checks per second: ours on one core and in two threads, recovery alone, eth-account."""
    verifier = Verifier(DOMAIN)
    made = commands(verifier, ORDERS)

    started = time.perf_counter()
    for command in made:
        verifier.check(command)
    ours = time.perf_counter() - started

    halves = made[::2], made[1::2]
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda half: [verifier.check(command) for command in half], halves))
    threads = time.perf_counter() - started

    digests = [verifier.digest(command.order) for command in made]
    started = time.perf_counter()
    for digest, command in zip(digests, made, strict=True):
        recover_account(digest, command.signature)
    alone = time.perf_counter() - started

    other = theirs(made[:BASELINE_ORDERS]) * ORDERS / BASELINE_ORDERS
    return {
        "checks_per_second": int(ORDERS / ours),
        "checks_per_second_two_threads": int(ORDERS / threads),
        "recoveries_alone_per_second": int(ORDERS / alone),
        "eth_account_per_second": int(ORDERS / other),
        "times_eth_account": round(other / ours, 1),
    }


if __name__ == "__main__":
    print(run())
