"""A deployment on a local chain and fast ways to make things happen on it, for tests and benches.

Every transaction is signed here and sent raw, so that it can be recorded and sent again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from backend.chain import abi
from backend.chain.compiler import compile_contracts, source_hash
from backend.chain.contracts import Contracts
from backend.chain.deployment import Deployment, Roles, deploy
from backend.chain.keys import Key, named_key, sign_digest
from backend.chain.rawtx import sign_transaction
from backend.chain.rpc import Rpc
from backend.domain import custody, records
from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.serials import Interval, IntervalSet, Series
from scripts.backing import backing, minted_tonnes, proof_of, report_call

FAR_FUTURE = 2**40 - 1
HOT_FEE = 10**11
GAS = 1_000_000
VCS = Series("VCS", (2,))
LABELS = ("ccp", "corsia-phase1")
ROLES = (
    *("deployer", "admin", "guardian", "registrar", "facts", "issuer"),
    *("custodian", "attestor", "freezer", "enforcer"),
    *("sequencer", "watcher", "fee_operator", "fee_developer"),
)


def key_of(name: str) -> Key:
    """A key that anybody can derive: for chains on 127.0.0.1 only."""
    return named_key(name, keccak(text=f"causeway test key {name}"))


def a_class(project: str = "1001", *cohort: str, year: int = 2020) -> CreditClass:
    """A class of Verra credits of one year."""
    start, end = date(year, 1, 1), date(year, 12, 31)
    return CreditClass("VCS", project, UnitType.CREDIT, start, end, tuple(sorted(cohort)))


class World:
    """One deployment with its signers; `participants` are admitted and have coins for gas."""

    def __init__(self, url: str, directory: Path, participants: int = 4) -> None:
        self.rpc = Rpc(url)
        self.keys = {name: key_of(name) for name in ROLES}
        self.holders = [key_of(f"holder-{number}") for number in range(participants)]
        self._nonces: dict[str, int] = {}
        self._registered: dict[Series, IntervalSet] = {}
        self._fund()
        address = {name: key.address for name, key in self.keys.items()}
        roles = Roles(
            *(address[name] for name in ("admin", "guardian", "registrar", "facts", "issuer")),
            *((address[n],) for n in ("custodian", "attestor", "freezer", "enforcer")),
            *(address[n] for n in ("sequencer", "watcher", "fee_operator", "fee_developer")),
        )
        self.deployment: Deployment = deploy(
            self.rpc,
            self.keys["deployer"],
            roles,
            directory / "deployment.json",
            compile_contracts(),
            source_hash(),
            sleep=lambda seconds: None,
        )
        self.contracts = Contracts(self.rpc, self.deployment)
        self.domain = custody.signing_domain(self.deployment.chain_id, self.deployment["Trust"])
        self.records_domain = records.signing_domain(
            self.deployment.chain_id, self.deployment["RegistryRecords"]
        )
        self.send_all([self.admission(holder.address) for holder in self.holders])

    def _fund(self) -> None:
        rich = self.rpc.call("eth_accounts")[0]
        # One by one: Anvil runs a batch at once and would give two of them the same nonce.
        for key in [*self.keys.values(), *self.holders]:
            sent = {"from": rich, "to": key.address, "value": hex(10**20)}
            self.rpc.call("eth_sendTransaction", sent)

    # ── transactions ─────────────────────────────────────────────────────────────────────────

    def sign(self, key: Key, contract: str, function: str, *args: Any, gas: int = GAS) -> bytes:
        """A raw call with the sender's next nonce."""
        data = abi.encode_call(contract, function, args)
        return self.sign_raw(key, self.deployment[contract], data, gas)

    def sign_raw(self, key: Key, to: str | None, data: bytes, gas: int) -> bytes:
        if key.address not in self._nonces:
            self.forget_nonces(key)
        nonce = self._nonces[key.address]
        self._nonces[key.address] = nonce + 1
        _, raw = sign_transaction(
            key,
            chain_id=self.rpc.chain_id(),
            nonce=nonce,
            to=to,
            data=data,
            gas=gas,
            max_fee_per_gas=HOT_FEE,
            max_priority_fee_per_gas=0,
        )
        return raw

    def forget_nonces(self, key: Key) -> None:
        """Ask the chain for the nonce, after a reorganisation."""
        count = self.rpc.call("eth_getTransactionCount", key.address, "latest")
        self._nonces[key.address] = int(count, 16)

    def send_all(self, raws: Sequence[bytes]) -> list[str]:
        """Send and require success; the chain decides how many share a chain block."""
        hashes: list[str] = self.rpc.batch(
            ("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws
        )
        self.require_success(hashes)
        return hashes

    def require_success(self, hashes: Sequence[str]) -> None:
        # Anvil answers before it has mined, and mines everything at hand into one chain block.
        deadline = time.monotonic() + 60
        while True:
            receipts = self.rpc.batch(("eth_getTransactionReceipt", (sent,)) for sent in hashes)
            if all(receipts) or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        failed = [receipt for receipt in receipts if not receipt or receipt["status"] != "0x1"]
        assert not failed, failed[0]

    def send_in_one_block(self, raws: Sequence[bytes], timestamp: int | None = None) -> list[str]:
        """Several transactions in one chain block."""
        self.rpc.call("evm_setAutomine", False)
        try:
            hashes: list[str] = self.rpc.batch(
                ("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws
            )
            if timestamp is not None:
                self.rpc.call("evm_setNextBlockTimestamp", timestamp)
            self.rpc.call("evm_mine")
        finally:
            self.rpc.call("evm_setAutomine", True)
        self.require_success(hashes)
        return hashes

    # ── what can happen ──────────────────────────────────────────────────────────────────────

    def admission(self, account: str) -> bytes:
        args = (account, 2, b"HK", FAR_FUTURE)
        return self.sign(self.keys["registrar"], "Participants", "admit", *args)

    def receipt(
        self, recipient: Key, credit_class: CreditClass, *blocks: tuple[int, int]
    ) -> Receipt:
        """A receipt over blocks of the newer Verra series."""
        intervals = tuple(Interval(VCS, first, last) for first, last in blocks)
        hashes = (keccak(text="account"), keccak(text="evidence"), keccak(text="terms"))
        return Receipt(
            recipient.address, credit_class, hashes[0], intervals, hashes[1], hashes[2], FAR_FUTURE
        )

    def signatures(self, digest: bytes) -> list[bytes]:
        signers = sorted(
            (self.keys["custodian"], self.keys["attestor"]), key=lambda key: int(key.address, 16)
        )
        return [sign_digest(key.private_key, digest) for key in signers]

    def mint(self, receipt: Receipt) -> bytes:
        """The raw transaction that mints against a receipt; what it needs is reported first."""
        hints = []
        for interval in receipt.intervals:
            held = self._registered.setdefault(interval.series, IntervalSet(interval.series))
            hints.append(held.predecessor(interval.first))
            held.insert(interval)
        tree = backing([receipt], minted_tonnes(self.contracts, [receipt]))
        signers = [self.keys["custodian"], self.keys["attestor"]]
        data = report_call(self.contracts, tree, signers)
        self.send_all([self.sign_raw(self.keys["issuer"], self.deployment["Reserve"], data, GAS)])
        signatures = self.signatures(receipt.digest(self.domain))
        args = (receipt.message(), hints, proof_of(tree, receipt).encoded(), signatures)
        return self.sign(self.keys["issuer"], "Trust", "mintWithReceipt", *args, gas=8_000_000)

    def transfer(self, source: Key, to: str, class_id: int, kilograms: int) -> bytes:
        args = (source.address, to, class_id, kilograms, b"")
        return self.sign(source, "CarbonCredits", "safeTransferFrom", *args)

    def retire(self, holder: Key, class_id: int, kilograms: int, words: str = "Demo") -> bytes:
        """A public retirement, the certificate to the holder."""
        texts = (words, "for the test", "2026", bytes(32))
        args = (holder.address, class_id, kilograms, holder.address, *texts)
        return self.sign(holder, "CarbonCredits", "retirePublicly", *args)

    def confirm(self, retirement: RegistryRetirement) -> bytes:
        """The registry's confirmation without exchanges."""
        signatures = self.signatures(retirement.digest(self.records_domain))
        args = (retirement.message(), [], 0, signatures)
        to, function = "RegistryRecords", "recordRegistryRetirement"
        return self.sign(self.keys["issuer"], to, function, *args, gas=4 * GAS)
