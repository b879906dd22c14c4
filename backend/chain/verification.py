"""Whether the chain holds what a deployment file names: bytecode, wiring, roles, signers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak

from backend.chain import abi, blueprint
from backend.chain.compiler import CompiledContract
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.errors import DeploymentMismatch

#: (contract, function, arguments, value it must return)
_Check = tuple[str, str, tuple[Any, ...], Any]


def code_hash(code: bytes) -> str:
    """keccak256 of runtime bytecode, 0x hex."""
    return "0x" + keccak(code).hex()


def verify(
    rpc: Rpc,
    deployment: Deployment,
    *,
    with_roles: bool = True,
    compiled: Mapping[str, CompiledContract] | None = None,
) -> None:
    """Raise DeploymentMismatch naming the first contract or role that is not as the file says.

    Bytecode and wiring can never change. Roles and signers can, by the admin after its delay:
    `with_roles=False` leaves them out. With `compiled` the code must come from these sources too.
    """
    if rpc.chain_id() != deployment.chain_id:
        raise DeploymentMismatch(
            f"the deployment is for chain {deployment.chain_id}, this is {rpc.chain_id()}",
            expected=deployment.chain_id,
            found=rpc.chain_id(),
        )
    _verify_code(rpc, deployment, compiled)
    checks = _wiring_checks(deployment)
    if with_roles:
        checks += _role_checks(deployment) + _signer_checks(deployment)
        checks += _venue_checks(deployment)
    answers = rpc.batch(
        (
            "eth_call",
            (
                {
                    "to": deployment[contract],
                    "data": "0x" + abi.encode_call(contract, function, args).hex(),
                },
                "latest",
            ),
        )
        for contract, function, args, _ in checks
    )
    for (contract, function, args, expected), answer in zip(checks, answers, strict=True):
        found = abi.decode_result(contract, function, bytes.fromhex(answer[2:]))
        if found != expected:
            call = f"{contract}.{function}({', '.join(map(str, args))})"
            raise DeploymentMismatch(
                f"{call} is {found}, the deployment needs {expected}",
                contract=contract,
                found=found,
                expected=expected,
            )


def _verify_code(
    rpc: Rpc, deployment: Deployment, compiled: Mapping[str, CompiledContract] | None
) -> None:
    answers = rpc.batch(
        ("eth_getCode", (contract.address, "latest")) for contract in deployment.contracts.values()
    )
    for (name, contract), answer in zip(deployment.contracts.items(), answers, strict=True):
        code = bytes.fromhex(answer[2:])
        if not code or code_hash(code) != contract.bytecode_hash:
            found = code_hash(code) if code else "no contract"
            raise DeploymentMismatch(
                f"{name} at {contract.address}: the file says {contract.bytecode_hash}, "
                f"the chain has {found}",
                contract=name,
                address=contract.address,
            )
        if compiled and not compiled[abi.SHARED_ABI.get(name, name)].matches(code):
            raise DeploymentMismatch(
                f"{name} at {contract.address} was compiled from other sources",
                contract=name,
                address=contract.address,
            )


def _wiring_checks(deployment: Deployment) -> list[_Check]:
    checks: list[_Check] = [
        (contract, getter, (), deployment[target]) for contract, getter, target in blueprint.WIRING
    ]
    for contract, getter, setting in blueprint.FIXED:
        if setting not in deployment.settings:
            raise DeploymentMismatch(f"the deployment has no setting {setting}", setting=setting)
        checks.append((contract, getter, (), deployment.settings[setting]))
    for name in blueprint.CAUSEWAY_CONTRACTS:
        added = (deployment[name],)
        checks.append(("Participants", "participant", added, dict(blueprint.CAUSEWAY_CONTRACT)))
    return checks


def _role_checks(deployment: Deployment) -> list[_Check]:
    checks: list[_Check] = []
    for contract, functions, role in blueprint.FUNCTION_ROLES:
        for function in functions:
            selector = abi.selector(contract, function)
            args = (deployment[contract], selector)
            checks.append(("AccessManager", "getTargetFunctionRole", args, role))
    for role in blueprint.guarded_roles():
        checks.append(("AccessManager", "getRoleGuardian", (role,), blueprint.GUARDIAN))
    holders = blueprint.role_holders(deployment.roles)
    for role, account, delay in holders:
        held = {"isMember": True, "executionDelay": delay}
        checks.append(("AccessManager", "hasRole", (role, account), held))
    for role in {role for role, _, _ in holders}:
        nothing = {"isMember": False, "executionDelay": 0}
        checks.append(("AccessManager", "hasRole", (role, deployment.deployer), nothing))
    return checks


def _signer_checks(deployment: Deployment) -> list[_Check]:
    roles, thresholds = deployment.roles, deployment.roles.thresholds
    checks: list[_Check] = []
    for contract, first, second in (
        ("Trust", roles.custodians, roles.attestors),
        ("LegalOrders", roles.freezers, roles.enforcers),
    ):
        checks += [(contract, "role", (signer,), 1) for signer in first]
        checks += [(contract, "role", (signer,), 2) for signer in second]
        checks.append((contract, "role", (deployment.deployer,), 0))
    needed = {"custodians": thresholds.custodians, "attestors": thresholds.attestors}
    checks.append(("Trust", "thresholds", (), needed))
    needed = {"freezers": thresholds.freezers, "enforcers": thresholds.enforcers}
    checks.append(("LegalOrders", "thresholds", (), needed))
    return checks


def _venue_checks(deployment: Deployment) -> list[_Check]:
    roles = deployment.roles
    keys = {"sequencer": roles.sequencer, "watcher": roles.watcher}
    payees = {
        "operator": roles.fee_operator,
        "developer": roles.fee_developer,
        "developerShareBps": deployment.settings["developer_share_bps"],
    }
    listed = [deployment[name] for name in blueprint.ASSETS if name in deployment.contracts]
    return [
        ("Exchange", "keys", (), keys),
        ("Exchange", "feePayees", (), payees),
        *(("Exchange", "isListed", (asset,), True) for asset in listed),
    ]


def role_members(rpc: Rpc, deployment: Deployment, last_block: int) -> set[tuple[int, str]]:
    """(role, account) of everybody who holds a role, from the manager's own events."""
    granted, revoked = (
        abi.topic("AccessManager", "RoleGranted"),
        abi.topic("AccessManager", "RoleRevoked"),
    )
    members: set[tuple[int, str]] = set()
    for log in rpc.get_logs(
        [deployment["AccessManager"]],
        deployment.deployed_at_block,
        last_block,
        [[granted, revoked]],
    ):
        member = (int(log["topics"][1], 16), abi.checksum("0x" + log["topics"][2][26:]))
        if log["topics"][0] == granted:
            members.add(member)
        else:
            members.discard(member)
    return members
