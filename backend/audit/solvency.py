"""L7: what the Exchange holds, owes and stores, against what its events add up to."""

from __future__ import annotations

from typing import Any

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.exchange import EXCHANGE, Books, Holding
from backend.audit.ledger import Ledger
from backend.audit.report import Findings
from backend.audit.settlement import Settlement
from backend.chain import abi
from backend.domain.batches import FIRST_CLASS
from backend.domain.orders import MAX_QUANTITY, asset_address
from backend.errors import ChainRejected

#: Above this many (account, asset) pairs only those that ever moved are compared.
MAX_CROSS_PAIRS = 20_000


def address_of(account: bytes) -> str:
    """An account as events and views name it."""
    return abi.checksum("0x" + account.hex())


def check_solvency(
    findings: Findings, evidence: Evidence, books: Books, settlement: Settlement, ledger: Ledger
) -> None:
    """Every slot, total, fee and earmark is stored as rebuilt, and no asset is short."""
    _check_slots(findings, evidence, books)
    totals = books.totals()
    for asset in sorted(books.assets):
        _check_asset(findings, evidence, books, asset, totals.get(asset, 0))
        if asset >= FIRST_CLASS and asset not in ledger.classes:
            findings.broken(
                "L7", f"the Exchange owes credits of {asset}, no such class exists",
                books.assets[asset],
            )  # fmt: skip
    _check_earmarks(findings, evidence, books)
    _check_fills(findings, evidence, settlement)
    findings.count(
        "L7", accounts=len({account for account, _ in books.slots}), assets=len(books.assets),
        slots=len(books.slots), deposits=books.deposits, withdrawals=len(settlement.withdrawals),
    )  # fmt: skip


def _tuple(answer: Any) -> tuple[Any, ...]:
    return tuple(answer.values()) if isinstance(answer, dict) else (answer,)


def _text(answer: Any) -> str:
    return answer.message if isinstance(answer, ViewFailed) else str(_tuple(answer))


def _pairs(evidence: Evidence, books: Books) -> list[Holding]:
    """Accounts × assets, so that a slot without any event is found; bounded."""
    accounts = {account for account, _ in books.slots}
    for event in evidence.events:
        if event.name == "ParticipantAdmitted":
            accounts.add(bytes.fromhex(event.args["account"][2:]))  # type: ignore[arg-type]
    pairs = set(books.slots)
    if len(accounts) * len(books.assets) <= MAX_CROSS_PAIRS:
        pairs |= {(account, asset) for account in accounts for asset in books.assets}
    return sorted(pairs)


def _check_slots(findings: Findings, evidence: Evidence, books: Books) -> None:
    pairs = _pairs(evidence, books)
    calls: list[View] = [
        (EXCHANGE, "accountOf", (address_of(account), asset)) for account, asset in pairs
    ]
    for pair, stored in zip(pairs, evidence.views("exchange accounts", calls), strict=True):
        slot = books.slots.get(pair)
        rebuilt = (slot.balance, slot.claimable, slot.exit_requested_at) if slot else (0, 0, 0)
        if _tuple(stored) != rebuilt:
            findings.broken(
                "L7", f"{address_of(pair[0])} has (balance, claimable, exit requested at) "
                f"{_text(stored)} of asset {pair[1]}; the events add up to {rebuilt}",
                slot.touched if slot else None, asset=str(pair[1]),
                stored=_text(stored), rebuilt=str(rebuilt),
            )  # fmt: skip


def _held(evidence: Evidence, asset: int) -> int | str:
    """What the token says that the Exchange holds, asked of the token itself."""
    exchange = evidence.deployment.contracts[EXCHANGE].address
    if asset >= FIRST_CLASS:
        (answer,) = evidence.views("held", [("CarbonCredits", "balanceOf", (exchange, asset))])
        return answer.message if isinstance(answer, ViewFailed) else int(answer)
    data = "0x70a08231" + bytes.fromhex(exchange[2:]).rjust(32, b"\0").hex()
    call = {"to": asset_address(asset), "data": data}
    try:
        answer = evidence.rpc.call("eth_call", call, hex(evidence.block.number))
        return int(answer, 16)
    except (ChainRejected, ValueError) as error:
        return f"cannot be read: {error}"


def _check_asset(
    findings: Findings, evidence: Evidence, books: Books, asset: int, rebuilt: int
) -> None:
    event = books.assets[asset]
    total, solvency, fees = evidence.views(
        "exchange totals",
        [(EXCHANGE, name, (asset,)) for name in ("total", "solvency", "feesOf")],
    )
    flow, held = books.flow(asset), _held(evidence, asset)
    if rebuilt != flow:
        findings.broken(
            "L7", f"accounts, fees and earmarks of asset {asset} add up to {rebuilt}; what came "
            f"in less what went out is {flow}", event, rebuilt=rebuilt, flow=flow,
        )  # fmt: skip
    if total != rebuilt:
        findings.broken(
            "L7", f"the total of asset {asset} is stored as {_text(total)}, rebuilt it is "
            f"{rebuilt}", event, rebuilt=rebuilt, stored=_text(total),
        )  # fmt: skip
    if not isinstance(held, int) or held < rebuilt:
        findings.broken(
            "L7", f"the Exchange owes {rebuilt} of asset {asset} and holds {held}", event,
            owed=rebuilt, held=str(held),
        )  # fmt: skip
    if _tuple(solvency) != (held, rebuilt):
        findings.broken(
            "L7", f"solvency of asset {asset} answers {_text(solvency)}, it is {(held, rebuilt)}",
            event,
        )  # fmt: skip
    kept = (books.operator_fees[asset], books.developer_fees[asset])
    if _tuple(fees) != kept:
        findings.broken(
            "L11", f"fees of asset {asset} (operator, developer) are stored as {_text(fees)}; the "
            f"trades, each rounded down, leave {kept}", event, operator=kept[0], developer=kept[1],
        )  # fmt: skip


def _check_earmarks(findings: Findings, evidence: Evidence, books: Books) -> None:
    marked = list(books.earmarks)
    calls: list[View] = [(EXCHANGE, "earmarked", ("0x" + digest.hex(),)) for digest in marked]
    for digest, stored in zip(marked, evidence.views("earmarks", calls), strict=True):
        if stored != books.earmarks[digest]:
            findings.broken(
                "L6", f"for order 0x{digest.hex()} are stored {_text(stored)} kg to retire; bought "
                f"and not retired are {books.earmarks[digest]}",
                books.assets.get(books.earmarked_of[digest].instrument),
            )  # fmt: skip


def _check_fills(findings: Findings, evidence: Evidence, settlement: Settlement) -> None:
    """Fill words as stored: tonnes of orders, used nonces of withdrawals, killed ones."""
    expected = {key: held.tonnes for key, held in settlement.fills.items()}
    expected |= dict.fromkeys(settlement.withdrawn, MAX_QUANTITY)
    keys = sorted({*expected, *settlement.killed})
    calls: list[View] = [(EXCHANGE, "fillOf", (address_of(key[0]), key[1])) for key in keys]
    for key, stored in zip(keys, evidence.views("fills", calls), strict=True):
        answer = _tuple(stored)
        ended = key in settlement.killed or key in settlement.withdrawn
        rebuilt = (expected.get(key, 0), ended, settlement.killed.get(key, 0))
        if answer != rebuilt:
            held = settlement.fills.get(key)
            findings.broken(
                "L6", f"nonce {key[1]} of {address_of(key[0])} is stored as filled, ended, "
                f"invalidated at {_text(stored)}; its trades and events say {rebuilt}",
                held.event if held else None, nonce=key[1],
            )  # fmt: skip
