"""Deploying on a local chain: who has which role, and the test wallets."""

from __future__ import annotations

import json
from pathlib import Path

from eth_utils.crypto import keccak

from backend.chain import compiler
from backend.chain.blueprint import SETTINGS
from backend.chain.deployment import deploy
from backend.chain.manifest import Roles, Thresholds
from backend.chain.mnemonic import key_of_mnemonic
from backend.chain.verification import verify
from backend.commands.context import Context
from backend.commands.output import complaints, progress, say
from backend.errors import DeploymentMismatch, InvalidValue
from backend.local.plan import EXIT_OTHER_BYTECODE

#: Wallets that the demo and a newcomer use.
WALLETS = ("wallet-1", "wallet-2", "wallet-3", "wallet-4")
#: Keys that send transactions and therefore need gas, in the order of the chain's accounts.
PAYERS = ("deployer", "registrar", "facts", "bridge", "issuer", *WALLETS, "custodian")
LEGAL_SIGNERS = 3


def local_roles(context: Context) -> Roles:
    """Every role held by a key in `<home>/keys`: one machine plays all parties."""

    def address(name: str) -> str:
        return context.keys.create_if_missing(name).address

    def several(name: str) -> tuple[str, ...]:
        return tuple(address(f"{name}-{number}") for number in range(1, LEGAL_SIGNERS + 1))

    return Roles(
        admin=address("admin"),
        guardian=address("guardian"),
        registrar=address("registrar"),
        facts=address("facts"),
        issuer=address("issuer"),
        custodians=(address("custodian"),),
        attestors=(address("attestor"),),
        freezers=several("freezer"),
        enforcers=several("enforcer"),
        sequencer=address("sequencer"),
        watcher=address("watcher"),
        fee_operator=address("fee-operator"),
        fee_developer=address("fee-developer"),
        thresholds=Thresholds(custodians=1, attestors=1, freezers=2, enforcers=2),
    )


def read_roles(path: Path) -> Roles:
    """Roles of a deployment from a file, in the form that a deployment file has them."""
    try:
        return Roles.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidValue("roles", str(path), f"is no file of roles: {error}") from error


def deploy_contracts(context: Context, roles_file: Path | None = None) -> int:
    """Deploy or continue; returns the exit code of `causeway deploy`.

    Without a file of roles one machine plays all parties: for a local chain. With one, no test
    assets are made, and the deployer's key is the one called `deployer`.
    """
    path = context.settings.deployment_file
    roles = None if roles_file is None else read_roles(roles_file)
    progress("contracts: compiling (cached when unchanged)")
    compiled = compiler.compile_contracts()
    if roles is None:
        endow(context)
    try:
        deployment = deploy(
            context.rpc,
            context.keys.get("deployer"),
            roles or local_roles(context),
            path,
            compiled,
            compiler.bytecode_hash(compiled),
            test_assets=roles is None,
            settings=deployment_settings(context),
            # On a local chain nobody mines while the deployment waits for depth.
            confirmations=0 if roles is None else context.settings.confirmations,
        )
    except DeploymentMismatch as error:
        complaints.print(f"causeway deploy: {error.message}", markup=False)
        return EXIT_OTHER_BYTECODE
    verify(context.rpc, deployment)
    say(
        f"contracts: {len(deployment.contracts)} on chain {deployment.chain_id}, "
        f"bytecode {deployment.source_hash[:10]}, {path}"
    )
    return 0


def deployment_settings(context: Context) -> dict[str, int]:
    """The immutables that this machine's settings choose; the others stay at their defaults."""
    named = context.settings.model_dump(include=set(SETTINGS))
    return {name: int(value) for name, value in named.items()}


def endow(context: Context) -> None:
    """Keys that send transactions are the accounts that the local chain endows at its genesis.

    No funding transactions: nothing of it can be lost with the newest state of the chain.
    """
    for index, name in enumerate(PAYERS):
        context.keys.add(name, key_of_mnemonic(context.settings.dev_mnemonic, index))


def text_hash(text: str) -> bytes:
    """keccak256 of a text: registry accounts, terms, legal orders and evidence are named by it."""
    return keccak(text=text)


def hex_bytes(text: str) -> bytes:
    """Bytes of a 0x hex text, as contract reads give them."""
    return bytes.fromhex(text.removeprefix("0x"))
