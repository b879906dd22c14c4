"""An honest history on a real chain, and the ways a dishonest operator could bend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from eth_utils.crypto import keccak

from backend import audit
from backend.audit import AuditReport, Break
from backend.chain import abi, calls
from backend.chain.compiler import compile_contracts, source_hash
from backend.chain.contracts import Contracts
from backend.chain.deployment import deploy
from backend.chain.keys import Key, KeyStore, sign_digest
from backend.chain.manifest import Roles
from backend.chain.rpc import Rpc
from backend.chain.sender import Call
from backend.domain.classes import CreditClass
from backend.domain.custody import Receipt
from backend.domain.serials import Interval
from backend.local.anvil import Anvil
from scripts.backing import backing, minted_tonnes, proof_of, report_call
from scripts.load_history import History, Plan, lots_of, make, write_export

SAMPLE: Final = Path(__file__).resolve().parents[2] / "backend/samples/sample-verra-vcu-export.csv"
ROLE_NAMES: Final = (
    *("deployer", "admin", "guardian", "registrar", "facts", "issuer"),
    *("custodian", "attestor", "freezer", "enforcer"),
    *("sequencer", "watcher", "fee-operator", "fee-developer"),
)
SMALL: Final = Plan(
    classes=6, transfers=40, retirements=30, wallets=5, reorganisations=4, confirmations=8,
    closings=2,
)  # fmt: skip
RICH: Final = hex(10**21)
FAR_FUTURE: Final = 2**40 - 1
GAS: Final = 5_000_000
#: Calls the contract named in its first word with the rest of its calldata.
FORWARDER: Final = "0x602036038060206000376000600091600060006000355af115601d57005b60006000fd"
FORWARDER_ADDRESS: Final = "0x00000000000000000000000000000000000f0F0F"


class Scene:
    """A deployment with a small history: what an audit must find sound until something is bent."""

    def __init__(self, anvil: Anvil, directory: Path, plan: Plan = SMALL) -> None:
        self.anvil, self.directory = anvil, directory
        self.path = directory / "deployment.json"
        self.rpc = Rpc(anvil.url)
        self.keys = KeyStore(directory / "keys")
        held = {name: self.keys.create_if_missing(name) for name in ROLE_NAMES}
        for key in held.values():
            self.rpc.call("anvil_setBalance", key.address, RICH)
        address = {name: key.address for name, key in held.items()}
        roles = Roles(
            admin=address["admin"],
            guardian=address["guardian"],
            registrar=address["registrar"],
            facts=address["facts"],
            issuer=address["issuer"],
            custodians=(address["custodian"],),
            attestors=(address["attestor"],),
            freezers=(address["freezer"],),
            enforcers=(address["enforcer"],),
            sequencer=address["sequencer"],
            watcher=address["watcher"],
            fee_operator=address["fee-operator"],
            fee_developer=address["fee-developer"],
        )
        self.deployment = deploy(
            self.rpc, held["deployer"], roles, self.path, compile_contracts(), source_hash()
        )
        self.contracts = Contracts(self.rpc, self.deployment)
        self.history: History = make(self.rpc, self.deployment, self.keys, [SAMPLE], plan)
        self.export = directory / "export.csv"
        write_export(SAMPLE, self.export, self.history.confirmed_serials())
        self._sent = 0

    # ------------------------------------------------------------------ audits

    def audit(self, **options: Any) -> AuditReport:
        """An audit against the export that fits the history."""
        options.setdefault("custody", [self.export])
        return audit.run(self.anvil.url, self.path, compare_source=False, **options)

    def breaks(self, law: str, **options: Any) -> list[Break]:
        """What an audit finds broken in one law; the report must say that it is broken."""
        found = self.audit(**options).laws[law]
        assert found.status is audit.Status.BROKEN, f"{law} {found.status}: {found.reason}"
        assert found.breaks
        return list(found.breaks)

    # ------------------------------------------------------------- honest acts

    def key(self, name: str) -> Key:
        return self.keys.get(name)

    def send(self, account: Key, contract: str, data: bytes) -> None:
        """One transaction, mined and successful."""
        self._sent += 1
        target = self.deployment[contract] if contract in self.deployment.contracts else contract
        block = self.rpc.block_number()
        key = f"scene:{block}:{self._sent}"
        self.history.send([Call(key, account, target, data, GAS)])

    def signed(self, digest: bytes, *names: str) -> list[tuple[str, bytes]]:
        return [
            (self.key(name).address, sign_digest(self.key(name).private_key, digest))
            for name in names
        ]

    def fresh_lots(self) -> list[tuple[CreditClass, Interval]]:
        """Active blocks of the sample that the history did not mint."""
        minted = set(self.history.class_ids)
        return [
            (one, interval)
            for one, intervals in lots_of([SAMPLE], 99).items()
            if int(one.token_id) not in minted
            for interval in intervals
        ]

    def receipt(self, one: CreditClass, *intervals: Interval, salt: str = "scene") -> Receipt:
        return Receipt(
            self.history.wallets[0].address, one, keccak(text="account"), intervals,
            keccak(text=salt), keccak(text="terms"), FAR_FUTURE,
        )  # fmt: skip

    def mint_data(self, receipt: Receipt, *signers: str) -> bytes:
        """The call that mints a receipt, signed by these keys, with hints from the chain.

        The reserve that it needs is reported first.
        """
        tree = backing([receipt], minted_tonnes(self.contracts, [receipt]))
        custodian, attestor = self.key("custodian"), self.key("attestor")
        report = report_call(self.contracts, tree, [custodian, attestor])
        self.send(custodian, "Reserve", report)
        digest = receipt.digest(self.history.domain)
        hints = [self.contracts.hint_for(i.series.id, i.first) for i in receipt.intervals]
        signatures = self.signed(digest, *(signers or ("custodian", "attestor")))
        return calls.mint_with_receipt(receipt, hints, proof_of(tree, receipt), signatures)

    def mint(self, receipt: Receipt, *signers: str) -> None:
        self.send(self.key("custodian"), "Trust", self.mint_data(receipt, *signers))

    def legal(self, function: str, hashing: str, args: list[Any], *signers: str) -> None:
        """An act of law, signed over the digest that the contract itself computes."""
        digest = bytes.fromhex(self.contracts.read("LegalOrders", hashing, *args)[2:])
        signatures = calls.ordered_signatures(self.signed(digest, *signers))
        data = abi.encode_call("LegalOrders", function, [*args, signatures])
        self.send(self.key("freezer"), "LegalOrders", data)

    def mint_through_a_contract(self) -> Receipt:
        """A mint whose transaction calls another contract than Trust."""
        self.rpc.call("anvil_setCode", FORWARDER_ADDRESS, FORWARDER)
        one, interval = self.fresh_lots()[0]
        receipt = self.receipt(one, interval)
        word = bytes.fromhex(self.deployment["Trust"][2:]).rjust(32, b"\0")
        self.send(self.key("custodian"), FORWARDER_ADDRESS, word + self.mint_data(receipt))
        return receipt

    # --------------------------------------------------------------- dishonest

    def slots(self, contract: str, function: str, *args: Any) -> list[str]:
        """Storage slots of the contract that a view reads, in no promised order."""
        data = "0x" + abi.encode_call(contract, function, args).hex()
        target = self.deployment[contract]
        listed = self.rpc.call("eth_createAccessList", {"to": target, "data": data}, "latest")
        return [
            slot
            for entry in listed["accessList"]
            if entry["address"].lower() == target.lower()
            for slot in entry["storageKeys"]
        ]

    def word(self, contract: str, slot: str) -> int:
        return int(self.rpc.call("eth_getStorageAt", self.deployment[contract], slot, "latest"), 16)

    def store(self, contract: str, slot: str, value: int) -> None:
        """Change one word behind the contract's back."""
        target = self.deployment[contract]
        self.rpc.call("anvil_setStorageAt", target, slot, f"0x{value:064x}")
        self.rpc.call("evm_mine")

    def store_word(self, contract: str, old: int, new: int, function: str, *args: Any) -> None:
        """Change the one word with the value `old` among those that a view reads."""
        slots = [
            slot
            for slot in self.slots(contract, function, *args)
            if self.word(contract, slot) == old
        ]
        assert len(slots) == 1, f"{len(slots)} slots of {function} hold {old}"
        self.store(contract, slots[0], new)

    def act_as(self, actor: str, contract: str, function: str, *args: Any) -> None:
        """Call as if one of the contracts had: what altered code of it could do."""
        sender = self.deployment[actor] if actor in self.deployment.contracts else actor
        self.rpc.call("anvil_setBalance", sender, RICH)
        self.rpc.call("anvil_impersonateAccount", sender)
        data = "0x" + abi.encode_call(contract, function, args).hex()
        call = {"from": sender, "to": self.deployment[contract], "data": data, "gas": hex(GAS)}
        sent = self.rpc.call("eth_sendTransaction", call)
        while (receipt := self.rpc.call("eth_getTransactionReceipt", sent)) is None:
            self.rpc.call("evm_mine")
        assert receipt["status"] == "0x1", f"{function} reverted"
        self.rpc.call("anvil_stopImpersonatingAccount", sender)
