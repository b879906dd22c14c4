"""Reserve reports that list exactly what a test or a bench is about to mint.

The bridge's own reports come from registry exports (`backend/bridge`); these come from receipts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from eth_utils.crypto import keccak

from backend.chain import calls
from backend.chain.contracts import Contracts
from backend.chain.events import EventDecoder
from backend.chain.keys import Key
from backend.domain.custody import Receipt
from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    Liability,
    LiveBlock,
    ReserveProof,
    ReserveReport,
    ReserveTree,
    signing_domain,
)
from backend.domain.serials import Interval, merge


def backing(receipts: Iterable[Receipt], minted: Mapping[int, int]) -> ReserveTree:
    """The reserve that covers these receipts on top of the tonnes `minted` of each class."""
    live: dict[int, dict[bytes, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for receipt in receipts:
        live[int(receipt.credit_class.token_id)][receipt.account] += receipt.intervals
    classes = []
    for class_id in sorted(live):
        blocks = [
            LiveBlock.of(interval, account)
            for account, intervals in live[class_id].items()
            for interval in merge(intervals)
        ]
        blocks.sort(key=lambda block: (block.series_id, block.first))
        covered = minted.get(class_id, 0) + sum(block.tonnes for block in blocks)
        classes.append(ClassReserve(class_id, covered, tuple(blocks)))
    return ReserveTree(tuple(classes))


def proof_of(tree: ReserveTree, receipt: Receipt) -> ReserveProof:
    """What the mint of a receipt carries."""
    return tree.proof(int(receipt.credit_class.token_id), receipt.intervals)


def report_of(tree: ReserveTree, sequence: int, as_of: int, chain_block: int) -> ReserveReport:
    """A report of this reserve when nothing is outstanding."""
    return _report(tree, sequence, as_of, chain_block, Liabilities(()))


def _report(
    tree: ReserveTree, sequence: int, as_of: int, chain_block: int, owed: Liabilities
) -> ReserveReport:
    evidence = keccak(text="reserve of a test")
    return ReserveReport.of(sequence, as_of, chain_block, tree, owed, evidence)


def outstanding(contracts: Contracts, block: int) -> Liabilities:
    """Every balance at a chain block, added up from the token's transfers."""
    deployment = contracts.deployment
    logs = contracts.rpc.get_logs(
        [deployment["CarbonCredits"]], deployment.deployed_at_block, block
    )
    held: dict[tuple[int, str], int] = defaultdict(int)
    for event in EventDecoder(deployment).decode(logs):
        args = event.args
        if event.name == "TransferSingle":
            moves = [(args["id"], args["value"])]
        elif event.name == "TransferBatch":
            moves = list(zip(args["ids"], args["values"], strict=True))
        else:
            continue
        for class_id, kilograms in moves:
            for account, change in ((args["from"], -kilograms), (args["to"], kilograms)):
                if int(account, 16):
                    held[class_id, account] += change
    return Liabilities.of(Liability(*key, kilograms) for key, kilograms in held.items())


def report_call(contracts: Contracts, tree: ReserveTree, signers: Sequence[Key]) -> bytes:
    """Reserve.report of this reserve as of the newest chain block, signed by these keys."""
    head = contracts.rpc.block("latest")
    assert head is not None
    sequence = contracts.reserve().sequence + 1
    owed = outstanding(contracts, head.number)
    report = _report(tree, sequence, head.timestamp, head.number, owed)
    deployment = contracts.deployment
    digest = report.digest(signing_domain(deployment.chain_id, deployment["Reserve"]))
    signatures = [(key.address, key.sign(digest)) for key in signers]
    return calls.report_reserve(report, signatures)


def minted_tonnes(contracts: Contracts, receipts: Iterable[Receipt]) -> dict[int, int]:
    """Tonnes minted so far of the classes of these receipts."""
    wanted = {int(receipt.credit_class.token_id) for receipt in receipts}
    return {one: contracts.positions(one).positions.minted for one in sorted(wanted)}
