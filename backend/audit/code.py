"""Whether the code on chain is what the deployment file names and what the sources compile to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak

from backend.audit.evidence import Evidence
from backend.audit.report import CodeReport, Status
from backend.chain.abi import SHARED_ABI
from backend.chain.blueprint import FIXED, WIRING
from backend.chain.compiler import CompiledContract
from backend.chain.manifest import DeployedContract, Deployment
from backend.chain.rpc import Rpc
from backend.errors import DeploymentMismatch

#: Contracts whose events and views the laws rest on.
AUDITED = (
    "AccessManager",
    "Participants",
    "LegalOrders",
    "RetirementCertificates",
    "CarbonCredits",
    "Trust",
    "RegistryRecords",
    "Reserve",
    "Deliveries",
    "ProgrammeEvents",
    "Gaps",
    "Exchange",
)

#: Of a deployment with the bridge's other direction: deliveries and what programmes do.
MODULES = ("Gaps", "Deliveries", "ProgrammeEvents")


def require_deployment(rpc: Rpc, deployment: Deployment) -> None:
    """Raises DeploymentMismatch unless this chain has code at every address of the file."""
    chain_id = rpc.chain_id()
    if chain_id != deployment.chain_id:
        raise DeploymentMismatch(
            f"the deployment file is of chain {deployment.chain_id}, {rpc.url} is chain {chain_id}",
            file_chain_id=deployment.chain_id,
            chain_id=chain_id,
        )
    missing = [name for name in AUDITED if name not in deployment.contracts]
    if missing:
        raise DeploymentMismatch(f"the deployment file names no {', '.join(missing)}")
    empty = [name for name, held in deployment.contracts.items() if not rpc.code(held.address)]
    if empty:
        raise DeploymentMismatch(
            f"there is no contract where the deployment file puts {', '.join(empty)}: "
            "it is of another chain or of an older state of this one",
            contracts=empty,
        )


def check_code(
    evidence: Evidence, compiled: Mapping[str, CompiledContract] | None, no_compiler: str
) -> CodeReport:
    """Compare hashes, creation transactions and, given a compiler, the sources."""
    contracts = evidence.deployment.contracts
    transactions = evidence.transactions(held.transaction for held in contracts.values())
    receipts = evidence.rpc.batch(
        ("eth_getTransactionReceipt", (held.transaction,)) for held in contracts.values()
    )
    found: dict[str, dict[str, str]] = {}
    for (name, held), receipt in zip(contracts.items(), receipts, strict=True):
        code = evidence.rpc.code(held.address, evidence.block.number)
        problems = _hash_problems(held, code)
        problems += _creation_problems(held, transactions.get(held.transaction), receipt)
        said = "hash and creation as in the deployment file"
        if compiled is not None:
            source = compiled.get(SHARED_ABI.get(name, name))
            problems += _source_problems(source, code, transactions.get(held.transaction))
            said += ", bytecode as compiled from source"
        found[name] = {
            "status": str(Status.BROKEN if problems else Status.HOLDS),
            "address": held.address,
            "reason": "; ".join(problems) or said,
        }
    for owner, problem in check_wiring(evidence):
        said = found[owner]["reason"] if found[owner]["status"] == str(Status.BROKEN) else ""
        found[owner] |= {
            "status": str(Status.BROKEN),
            "reason": f"{said}; {problem}" if said else problem,
        }
    broken = [name for name, row in found.items() if row["status"] == str(Status.BROKEN)]
    if broken:
        reason = "; ".join(f"{name}: {found[name]['reason']}" for name in broken)
        return CodeReport(Status.BROKEN, reason, found)
    if compiled is None:
        reason = f"the deployment file's hashes hold; not compared with the source: {no_compiler}"
        return CodeReport(Status.NOT_CHECKED, reason, found)
    return CodeReport(Status.HOLDS, "compiled from source, byte for byte", found)


def _hash_problems(held: DeployedContract, code: bytes) -> list[str]:
    digest = "0x" + keccak(code).hex()
    if digest == held.bytecode_hash.lower():
        return []
    return [f"the code on chain hashes to {digest}, the deployment file says {held.bytecode_hash}"]


def _creation_problems(
    held: DeployedContract, transaction: dict[str, Any] | None, receipt: dict[str, Any] | None
) -> list[str]:
    if transaction is None or receipt is None:
        return [f"its creation transaction {held.transaction} is not on this chain"]
    problems = []
    if (receipt.get("contractAddress") or "").lower() != held.address.lower():
        problems.append(f"transaction {held.transaction} did not create it")
    if int(receipt["blockNumber"], 16) != held.block:
        problems.append(f"it was created in block {int(receipt['blockNumber'], 16)}")
    created = bytes.fromhex(transaction["input"].removeprefix("0x"))
    arguments = bytes.fromhex(held.constructor_arguments.removeprefix("0x"))
    code = created.removesuffix(arguments)
    if held.creation_bytecode_hash and (
        not created.endswith(arguments)
        or "0x" + keccak(code).hex() != held.creation_bytecode_hash.lower()
    ):
        problems.append("it was not created from the bytecode that the deployment file names")
    return problems


def _source_problems(
    source: CompiledContract | None, code: bytes, transaction: dict[str, Any] | None
) -> list[str]:
    if source is None:
        return ["there is no source of this name"]
    problems = []
    if not source.matches(code):
        problems.append("the code on chain is not what its source compiles to")
    created = bytes.fromhex(transaction["input"].removeprefix("0x")) if transaction else b""
    if created[: len(source.bytecode)] != source.bytecode:
        problems.append("it was not created from what its source compiles to")
    return problems


def check_wiring(evidence: Evidence) -> list[tuple[str, str]]:
    """Immutables that must name another contract or repeat a setting; what they say, if not."""
    contracts, settings = evidence.deployment.contracts, evidence.deployment.settings
    answers = evidence.views("wiring", [(owner, name, ()) for owner, name, _ in (*WIRING, *FIXED)])
    problems = [
        (owner, f"its {name} is {answer}, not {other}")
        for (owner, name, other), answer in zip(WIRING, answers[: len(WIRING)], strict=True)
        if answer != contracts[other].address
    ]
    for (owner, name, setting), answer in zip(FIXED, answers[len(WIRING) :], strict=True):
        said = settings.get(setting)
        if answer != said:
            problems.append((owner, f"its {name} is {answer}, the file's {setting} is {said}"))
    return problems
