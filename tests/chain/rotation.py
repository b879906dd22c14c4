"""Keys rotated on the real contracts as docs/signer.md says.

Made at the signer, scheduled and after its delay set by the admin, used; what the old key signs is
refused from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from backend.chain import abi, exchange_calls
from backend.chain.contracts import Contracts, ReceiptStatus
from backend.chain.keys import Key
from backend.chain.remote_keys import RemoteKeys
from backend.domain.batches import anchor_digest, pack_signatures
from backend.domain.journal import Head
from backend.domain.orders import exchange_domain
from backend.domain.serials import Series
from backend.errors import ChainRejected
from scripts.backing import backing, minted_tonnes, proof_of, report_call
from tests.chain.conftest import fund, key_of
from tests.chain_time import pass_time

DAY = 86_400
CUSTODIAN, NOBODY = 1, 0
VCS = Series("VCS", (2,))
NEW = ["payer-2", "custodian-2", "sequencer-2"]


def act(registry: Any, key: Key, contract: str, data: bytes) -> None:
    """Send with any key, mined."""
    name = f"{contract} {data.hex()[:16]} {registry.chain.rpc.block_number()}"
    registry.sender.submit(name, key, registry.chain.deployment[contract], data)
    registry.sender.wait(name, 5)


def carry_out(registry: Any, contract: str, *made: tuple[str, Sequence[Any]], days: int) -> None:
    """The admin schedules calls, waits the delay of changes of signers, and makes them."""
    admin, target = key_of("admin"), registry.chain.deployment[contract]
    calls = [abi.encode_call(contract, function, args) for function, args in made]
    for data in calls:
        scheduled = abi.encode_call("AccessManager", "schedule", (target, data, 0))
        act(registry, admin, "AccessManager", scheduled)
        with pytest.raises(ChainRejected):
            act(registry, admin, contract, data)
    pass_time(registry.chain.rpc.call, days * DAY + 1)
    for data in calls:
        act(registry, admin, contract, data)


def mint(
    registry: Any,
    signers: Sequence[Key],
    first: int,
    payer: Key,
    reporters: Sequence[Key],
) -> ReceiptStatus:
    receipt = registry.receipt((first, first + 4))
    contracts = registry.contracts
    tree = backing([receipt], minted_tonnes(contracts, [receipt]))
    act(registry, payer, "Reserve", report_call(contracts, tree, reporters))
    digest = receipt.digest(registry.domain)
    signed = [(key.address, key.sign(digest)) for key in signers]
    hints = [contracts.hint_for(VCS.id, first)]
    data = Contracts.mint_with_receipt(receipt, hints, proof_of(tree, receipt), signed)
    act(registry, payer, "Trust", data)
    return contracts.receipt_status(digest)


def rotate_everything(registry: Any, keys: RemoteKeys) -> None:
    """A payer, a custodian and the sequencer are replaced by keys of a signing service."""
    chain = registry.chain
    payer, custodian, sequencer = (keys.get(name) for name in NEW)
    fund(chain.rpc, payer, key_of("admin"))
    # The custodian: old and new change places in one window.
    carry_out(
        registry,
        "Trust",
        ("setSigner", (custodian.address, CUSTODIAN)),
        ("setSigner", (key_of("c1").address, NOBODY)),
        days=3,
    )
    others = (key_of("c2"), key_of("a1"))
    known = (custodian, *others)
    assert mint(registry, known, 100, payer, known) is ReceiptStatus.MINTED
    with pytest.raises(ChainRejected):
        mint(registry, (key_of("c1"), *others), 200, payer, known)
    # The sequencer: its watcher stays.
    watcher = key_of("watcher")
    carry_out(registry, "Exchange", ("setKeys", (sequencer.address, watcher.address)), days=3)
    domain = exchange_domain(chain.deployment.chain_id, chain.deployment["Exchange"])
    head = Head(1, bytes([7]) * 32)
    digest = anchor_digest(domain, *head)
    for signer, taken in ((key_of("sequencer"), False), (sequencer, True)):
        data = exchange_calls.anchor(
            head, pack_signatures([signer.sign(digest), watcher.sign(digest)])
        )
        if taken:
            act(registry, payer, "Exchange", data)
        else:
            with pytest.raises(ChainRejected):
                act(registry, payer, "Exchange", data)
