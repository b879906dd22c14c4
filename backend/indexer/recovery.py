"""A chain that came back older than the index: re-send what was recorded, or say what is missing.

Positions and serials depend on the order of transactions and on chain time, so a local chain is
given its recorded transactions again in their chain blocks, with the recorded times and base
fees. The receipts root of each replayed chain block must be the recorded one: it commits to the
status, the gas and every log of each transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.chain.rpc import Rpc
from backend.errors import ChainBehind, ChainRejected, ChainReplaced, DeploymentMismatch
from backend.indexer.ancestor import common_ancestor
from backend.store.database import Database
from backend.store.index import ChainState
from backend.store.recorded import Recorded, RecordedBlock, known_hashes, recorded_above

#: An error names at most this many chain blocks and transactions; it says how many there are.
MAX_NAMED = 100
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery did: from `common_number` on so much was sent again.

    `resent` transactions were on the chain or in its pool after it came back and had to make
    room for the recorded ones; they were sent again behind them.
    """

    common_number: int
    common_hash: str | None
    replayed_blocks: int = 0
    replayed_transactions: int = 0
    resent: int = 0


def recover(
    rpc: Rpc, database: Database, state: ChainState, is_local: bool, wait_seconds: float
) -> Recovery:
    """See `Indexer.recover`."""
    head = rpc.block_number()
    if _hash_at(rpc, state.indexed_number) == state.indexed_hash or state.indexed_hash is None:
        return Recovery(state.indexed_number, state.indexed_hash)
    if not is_local:
        return _wait(rpc, state, wait_seconds)
    common, common_hash = common_ancestor(rpc, database, state, head)
    if common_hash is None:
        raise DeploymentMismatch(
            "the chain does not even share its genesis with the one that was indexed",
            indexed_number=state.indexed_number,
            indexed_hash=state.indexed_hash,
        )
    blocks, sent = recorded_above(database, common)
    _require_complete(database, state, head, blocks, sent)
    extra = _set_aside(rpc, common, head)
    try:
        rpc.call("evm_setAutomine", False)
        if blocks:
            # A chain that was loaded stands at the time of its start, after the recorded times.
            rpc.call("evm_setTime", blocks[0].timestamp)
        for block in blocks:
            _replay(rpc, block, sent.get(block.number, []))
        if blocks:
            rpc.call("evm_setTime", max(int(time.time()), blocks[-1].timestamp))
    finally:
        # Always on: a recovery that was killed may have left it off.
        rpc.call("evm_setAutomine", True)
    resent = _send_behind(rpc, extra)
    count = sum(block.transactions for block in blocks)
    return Recovery(common, common_hash, len(blocks), count, resent)


def _hash_at(rpc: Rpc, number: int) -> str | None:
    header = rpc.block(number) if number >= 0 else None
    return header.hash if header else None


def _wait(rpc: Rpc, state: ChainState, wait_seconds: float) -> Recovery:
    """A chain that others run: wait until it has reached the index again, or refuse."""
    deadline = time.monotonic() + wait_seconds
    while True:
        head = rpc.block_number()
        if head >= state.indexed_number:
            # As high as before: another hash there is a reorganisation, which `advance` takes.
            return Recovery(state.indexed_number, state.indexed_hash)
        if time.monotonic() + _POLL_SECONDS > deadline:
            behind = state.indexed_number - head
            raise ChainBehind(
                f"the chain's head is {head}, {behind} chain blocks behind what was indexed "
                f"({state.indexed_number}); waited {wait_seconds:g} s",
                indexed_number=state.indexed_number,
                head=head,
                behind=behind,
            )
        time.sleep(_POLL_SECONDS)


def _require_complete(
    database: Database,
    state: ChainState,
    head: int,
    blocks: Sequence[RecordedBlock],
    sent: Recorded,
) -> None:
    """Every transaction of every chain block to replay is recorded, or ChainBehind names them."""
    missing = [block for block in blocks if len(sent.get(block.number, [])) != block.transactions]
    if not missing:
        return
    numbers = [block.number for block in missing]
    recorded = {sent_hash for number in numbers for sent_hash, _ in sent.get(number, [])}
    known = known_hashes(database, numbers) - recorded
    count = sum(block.transactions - len(sent.get(block.number, [])) for block in missing)
    raise ChainBehind(
        f"the chain came back at {head}, the index stands at {state.indexed_number}; {count} "
        f"transactions in {len(numbers)} chain blocks ({numbers[0]} … {numbers[-1]}) are not "
        "recorded any more and cannot be sent again: load a newer saved state of the chain",
        head=head,
        indexed_number=state.indexed_number,
        missing_transactions=count,
        missing_blocks=numbers[:MAX_NAMED],
        transactions=sorted(known)[:MAX_NAMED],
        durable_number=state.durable_number,
    )


def _set_aside(rpc: Rpc, common: int, head: int) -> list[str]:
    """Take back chain blocks that grew on the older state; returns their raw transactions."""
    hashes: list[str] = []
    for number in range(common + 1, head + 1):
        hashes += rpc.call("eth_getBlockByNumber", hex(number), False)["transactions"]
    pool = rpc.call("txpool_content")
    hashes += [
        sent["hash"]
        for part in ("pending", "queued")
        for by_nonce in pool.get(part, {}).values()
        for _, sent in sorted(by_nonce.items(), key=lambda item: int(item[0]))
    ]
    raws = [
        raw
        for raw in rpc.try_batch(("eth_getRawTransactionByHash", (sent,)) for sent in hashes)
        if isinstance(raw, str)
    ]
    if head > common:
        _take_back(rpc, common, head)
    rpc.call("anvil_dropAllTransactions")
    return raws


def _take_back(rpc: Rpc, common: int, head: int) -> None:
    """Back to `common`; raises ChainReplaced when the chain has no state from then: one that was
    loaded knows those since, and of a saved one that a reorganisation replaced only the newest.
    """
    try:
        rpc.call("anvil_rollback", head - common)
    except ChainRejected as error:
        raise ChainReplaced(
            f"the chain came back at {head} with chain blocks above {common} that were replaced, "
            f"and cannot take them back ({error.message}): load an older saved state of the chain",
            head=head,
            common=common,
            reason=error.message,
        ) from error


def _replay(rpc: Rpc, block: RecordedBlock, sent: Sequence[tuple[str, bytes]]) -> None:
    """Make one chain block again; raises ChainBehind when its receipts are not the recorded."""
    _mine(rpc, block, sent, one_by_one=False)
    header = rpc.call("eth_getBlockByNumber", hex(block.number), False)
    if header and header["transactions"] != [sent_hash for sent_hash, _ in sent]:
        # The pool ordered them otherwise than they arrived then: once more, one after another.
        rpc.call("anvil_rollback", 1)
        rpc.call("anvil_dropAllTransactions")
        _mine(rpc, block, sent, one_by_one=True)
        header = rpc.call("eth_getBlockByNumber", hex(block.number), False)
    if header is None or header["receiptsRoot"] != block.receipts_root:
        raise ChainBehind(
            f"chain block {block.number} was made again from its recorded transactions and has "
            "other receipts than the recorded ones",
            block=block.number,
            receipts_root=header["receiptsRoot"] if header else None,
            recorded_receipts_root=block.receipts_root,
            transactions=[sent_hash for sent_hash, _ in sent][:MAX_NAMED],
        )


def _mine(
    rpc: Rpc, block: RecordedBlock, sent: Sequence[tuple[str, bytes]], one_by_one: bool
) -> None:
    if block.base_fee is not None:
        rpc.call("anvil_setNextBlockBaseFeePerGas", hex(block.base_fee))
    rpc.call("evm_setNextBlockTimestamp", block.timestamp)
    calls = [("eth_sendRawTransaction", ("0x" + raw.hex(),)) for _, raw in sent]
    answers: list[Any] = []
    for start in range(0, len(calls), 1 if one_by_one else len(calls) or 1):
        answers += rpc.try_batch(calls[start : start + (1 if one_by_one else len(calls))])
    for (sent_hash, _), answer in zip(sent, answers, strict=True):
        if isinstance(answer, ChainRejected):
            raise ChainBehind(
                f"the chain refuses the recorded transaction {sent_hash} of chain block "
                f"{block.number}: {answer.message}",
                block=block.number,
                transactions=[sent_hash],
                reason=answer.message,
            ) from answer
    rpc.call("evm_mine")


def _send_behind(rpc: Rpc, raws: Sequence[str]) -> int:
    """Send again what had to make room; what the replay already holds is refused, rightly."""
    answers = rpc.try_batch(("eth_sendRawTransaction", (raw,)) for raw in raws)
    return sum(1 for answer in answers if isinstance(answer, str))
