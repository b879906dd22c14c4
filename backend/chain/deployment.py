"""Deploys the contracts once, through crashes and reorganisations; the file says how far it is.

Every transaction is signed and in the file before the first is sent, with fixed nonces: sending
again sends the same bytes, so nothing can be deployed twice. Only a file that says `complete`
is a deployment; it says so after the chain was compared with it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from backend.chain import abi, blueprint, manifest
from backend.chain.blueprint import SETTINGS, Blueprint, Step
from backend.chain.compiler import CompiledContract, source_hash
from backend.chain.development import DevelopmentMiner
from backend.chain.fees import Fees, bumped, current_fees
from backend.chain.keys import Key
from backend.chain.manifest import DeployedContract, Deployment, Roles, Thresholds
from backend.chain.rawtx import sign_transaction
from backend.chain.reasons import revert_reason
from backend.chain.rpc import Rpc
from backend.chain.verification import code_hash, role_members, verify
from backend.errors import ChainRejected, ChainUnavailable, DeploymentMismatch, InvalidValue

__all__ = [
    "DeployedContract",
    "Deployment",
    "Roles",
    "Thresholds",
    "deploy",
    "source_hash",
    "verify",
]

#: How often a plan that a foreign transaction spoiled is drawn anew.
_PLANS: Final = 3
_PAUSE: Final = 0.1
_Plan = dict[str, Any]


class _PlanSpoiled(Exception):
    """A nonce of the plan was used by a transaction that is not part of it."""


def deploy(
    rpc: Rpc,
    deployer: Key,
    roles: Roles,
    path: Path | str,
    compiled: Mapping[str, CompiledContract],
    sources: str,
    *,
    test_assets: bool = True,
    settings: Mapping[str, int] | None = None,
    confirmations: int = 0,
    timeout: float = 600.0,
    bump_after: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Deployment:
    """The deployment in the file, finished if a crash left it half done, or made now.

    `compiled` comes from compiler.compile_contracts, `sources` tells one build from another:
    compiler.bytecode_hash of `compiled`. `settings` replace those of blueprint.SETTINGS. Raises
    DeploymentMismatch when the file is of another build, chain or other roles (the caller sets it
    aside), ChainRejected when a step reverts, ChainUnavailable when the chain does not mine within
    `timeout` seconds.
    """
    path = Path(path)
    with _locked(path):
        carried = _Carrier(rpc, deployer, path, compiled, timeout, bump_after, sleep)
        wanted = {
            "chain_id": rpc.chain_id(),
            "genesis_hash": _genesis_hash(rpc),
            "source_hash": sources,
            "roles": roles.as_json(),
            "deployer": deployer.address,
            "settings": _settings(settings or {}),
            "test_assets": test_assets,
        }
        held = manifest.read_file(path)
        if held and held["complete"]:
            return _already(rpc, held, wanted, path, compiled)
        plan = held if held and _same_plan(held, wanted) else None
        for _ in range(_PLANS):
            if plan is None:
                plan = carried.draw(roles, wanted)
            try:
                return carried.carry_out(plan, confirmations)
            except _PlanSpoiled:
                plan = None
        raise ChainRejected(
            f"another program keeps using the deployer's account {deployer.address}",
            account=deployer.address,
        )


def _settings(given: Mapping[str, int]) -> dict[str, int]:
    unknown = given.keys() - SETTINGS.keys()
    if unknown:
        raise InvalidValue("settings", sorted(unknown), f"are none of {', '.join(SETTINGS)}")
    return {**SETTINGS, **given}


def _genesis_hash(rpc: Rpc) -> str:
    genesis = rpc.block(0)
    if genesis is None:
        raise ChainUnavailable("the chain has no block 0")
    return genesis.hash


def _already(
    rpc: Rpc,
    held: _Plan,
    wanted: Mapping[str, Any],
    path: Path,
    compiled: Mapping[str, CompiledContract],
) -> Deployment:
    for name in ("chain_id", "genesis_hash", "source_hash", "settings", "roles"):
        if held[name] != wanted[name]:
            raise DeploymentMismatch(
                f"{path} is a deployment of another {name.replace('_', ' ')}",
                file=str(path),
                differs=name,
                held=held[name],
                wanted=wanted[name],
            )
    deployment = Deployment.from_json(held, str(path))
    verify(rpc, deployment, with_roles=False, compiled=compiled)
    return deployment


def _same_plan(held: _Plan, wanted: Mapping[str, Any]) -> bool:
    """A plan goes on only where everything it was drawn for is unchanged and nothing failed."""
    same = all(held.get(name) == value for name, value in wanted.items())
    return same and "failed" not in held and held.get("steps") is not None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time deploys into one file; the lock ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Carrier:
    """Draws a plan into the file and carries it out; knows no more than file and chain say."""

    def __init__(
        self,
        rpc: Rpc,
        deployer: Key,
        path: Path,
        compiled: Mapping[str, CompiledContract],
        timeout: float,
        bump_after: float,
        sleep: Callable[[float], None],
    ) -> None:
        self._rpc, self._deployer, self._path = rpc, deployer, path
        self._compiled = compiled
        self._timeout, self._bump_after, self._sleep = timeout, bump_after, sleep
        self._miner = DevelopmentMiner(rpc)

    def draw(self, roles: Roles, wanted: Mapping[str, Any]) -> _Plan:
        """A new plan, signed and in the file; nothing is sent yet."""
        nonce = int(
            self._rpc.call("eth_getTransactionCount", self._deployer.address, "pending"), 16
        )
        drawn = blueprint.draw(
            self._deployer.address,
            nonce,
            roles,
            test_assets=wanted["test_assets"],
            settings=wanted["settings"],
        )
        steps = blueprint.creations(drawn, self._compiled) + blueprint.set_up(drawn)
        fees = current_fees(self._rpc)
        plan: _Plan = {
            "format": manifest.FORMAT,
            "complete": False,
            **wanted,
            "first_nonce": nonce,
            "contracts": {name: self._contract(drawn, name) for name in drawn.addresses},
            "steps": [self._planned(step, nonce + i, fees) for i, step in enumerate(steps)],
        }
        manifest.write_file(self._path, plan)
        return plan

    def _contract(self, drawn: Blueprint, name: str) -> dict[str, str]:
        compiled = self._compiled[abi.SHARED_ABI.get(name, name)]
        return {
            "address": drawn.addresses[name],
            "creation_bytecode_hash": compiled.creation_bytecode_hash,
            "constructor_arguments": "0x" + drawn.arguments(name).hex(),
        }

    def _planned(self, step: Step, nonce: int, fees: Fees) -> dict[str, Any]:
        planned: dict[str, Any] = {
            "what": step.what,
            "contract": step.contract,
            "to": step.to,
            "nonce": nonce,
            "gas": step.gas,
            "data": "0x" + step.data.hex(),
            "attempts": [],
        }
        self._sign(planned, fees)
        return planned

    def _sign(self, step: dict[str, Any], fees: Fees) -> None:
        digest, raw = sign_transaction(
            self._deployer,
            chain_id=self._rpc.chain_id(),
            nonce=step["nonce"],
            to=step["to"],
            data=bytes.fromhex(step["data"][2:]),
            gas=step["gas"],
            max_fee_per_gas=fees.max_fee_per_gas,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        )
        attempt = {"hash": digest, "raw": "0x" + raw.hex(), "fees": list(fees)}
        step["attempts"].append(attempt)

    def carry_out(self, plan: _Plan, confirmations: int) -> Deployment:
        """Send what is missing, wait, compare the chain with the plan, mark the file complete."""
        creating = [step for step in plan["steps"] if step["to"] is None]
        setting_up = [step for step in plan["steps"] if step["to"] is not None]
        self._mine(plan, creating)
        self._compare_code(plan)
        receipts = self._mine(plan, setting_up)
        self._wait_for_depth(max(int(r["blockNumber"], 16) for r in receipts) + confirmations)
        # Read again after the depth: a reorganisation may have moved them to other chain blocks.
        deployment = self._finished(plan, self._mine(plan, creating))
        verify(self._rpc, deployment, compiled=self._compiled)
        expected = {(role, who) for role, who, _ in blueprint.role_holders(deployment.roles)}
        found = role_members(self._rpc, deployment, self._rpc.block_number())
        if found != expected:
            raise DeploymentMismatch(
                f"roles are held by {sorted(found - expected)} too, missing "
                f"{sorted(expected - found)}"
            )
        deployment.save(self._path)
        return deployment

    def _finished(self, plan: _Plan, receipts: list[dict[str, Any]]) -> Deployment:
        by_name = dict(zip(plan["contracts"], receipts, strict=True))
        codes = self._codes(plan)
        contracts = {
            name: DeployedContract(
                planned["address"],
                by_name[name]["transactionHash"],
                int(by_name[name]["blockNumber"], 16),
                code_hash(codes[name]),
                planned["creation_bytecode_hash"],
                planned["constructor_arguments"],
            )
            for name, planned in plan["contracts"].items()
        }
        return Deployment(
            chain_id=plan["chain_id"],
            source_hash=plan["source_hash"],
            deployed_at_block=min(contract.block for contract in contracts.values()),
            contracts=contracts,
            roles=Roles.from_json(plan["roles"]),
            deployer=plan["deployer"],
            genesis_hash=plan["genesis_hash"],
            settings=plan["settings"],
        )

    def _codes(self, plan: _Plan) -> dict[str, bytes]:
        planned = plan["contracts"]
        answers = self._rpc.batch(
            ("eth_getCode", (contract["address"], "latest")) for contract in planned.values()
        )
        return {
            name: bytes.fromhex(answer[2:]) for name, answer in zip(planned, answers, strict=True)
        }

    def _compare_code(self, plan: _Plan) -> None:
        for name, code in self._codes(plan).items():
            if not self._compiled[abi.SHARED_ABI.get(name, name)].matches(code):
                raise DeploymentMismatch(f"{name} stands on chain with other code", contract=name)

    def _mine(self, plan: _Plan, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Receipts of the steps, in their order; sends and bumps until all are mined."""
        waited, since_progress, missing_before = 0.0, 0.0, len(steps) + 1
        while True:
            receipts = [self._receipt(step) for step in steps]
            missing = [
                step for step, receipt in zip(steps, receipts, strict=True) if receipt is None
            ]
            if not missing:
                return [self._succeeded(plan, s, r) for s, r in zip(steps, receipts, strict=True)]
            self._refuse_foreign(missing)
            if len(missing) < missing_before:
                missing_before, since_progress = len(missing), 0.0
            if since_progress > self._bump_after:
                self._bump(plan, missing)
                since_progress = 0.0
            self._rpc.try_batch(
                ("eth_sendRawTransaction", (step["attempts"][-1]["raw"],)) for step in missing
            )
            if waited > self._timeout:
                raise ChainUnavailable(
                    f"{missing[0]['what']} is not mined after {self._timeout} s; run again to go on"
                )
            self._sleep(_PAUSE)
            waited, since_progress = waited + _PAUSE, since_progress + _PAUSE
            self._miner.mine_left_over()

    def _receipt(self, step: dict[str, Any]) -> dict[str, Any] | None:
        calls = [("eth_getTransactionReceipt", (one["hash"],)) for one in step["attempts"]]
        found: list[dict[str, Any]] = [answer for answer in self._rpc.batch(calls) if answer]
        return found[0] if found else None

    def _refuse_foreign(self, missing: list[dict[str, Any]]) -> None:
        used = int(self._rpc.call("eth_getTransactionCount", self._deployer.address, "latest"), 16)
        for step in missing:
            # The receipt is read after the nonce: it may have been mined in between.
            if step["nonce"] < used and self._receipt(step) is None:
                raise _PlanSpoiled

    def _bump(self, plan: _Plan, missing: list[dict[str, Any]]) -> None:
        now = current_fees(self._rpc)
        for step in missing:
            self._sign(step, bumped(Fees(*step["attempts"][-1]["fees"]), now))
        manifest.write_file(self._path, plan)

    def _succeeded(
        self, plan: _Plan, step: dict[str, Any], receipt: dict[str, Any] | None
    ) -> dict[str, Any]:
        if receipt is not None and receipt["status"] == "0x1":
            return receipt
        reason = revert_reason(
            self._rpc,
            receipt or {},
            sender=self._deployer.address,
            to=step["to"],
            data=bytes.fromhex(step["data"][2:]),
            gas=step["gas"],
        )
        plan["failed"] = f"{step['what']}: {reason}"
        manifest.write_file(self._path, plan)
        raise ChainRejected(f"{step['what']} reverted: {reason}", step=step["what"])

    def _wait_for_depth(self, number: int) -> None:
        waited = 0.0
        while self._rpc.block_number() < number:
            if waited > self._timeout:
                raise ChainUnavailable(f"chain block {number} does not come; run again to go on")
            self._sleep(_PAUSE)
            waited += _PAUSE
