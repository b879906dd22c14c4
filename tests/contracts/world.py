"""The contracts deployed on a real Anvil, with the signers and calls that their tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any, Final

from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.types import Nonce, RPCEndpoint
from web3.utils.address import get_create_address

from backend.chain.compiler import CompiledContract
from backend.domain import custody, records, reserve
from backend.domain.assignment import Exchange
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.reserve import ReserveTree
from backend.domain.serials import IntervalSet
from backend.local.anvil import Anvil
from scripts.backing import backing, proof_of, report_of
from tests.chain_time import pass_time

FAR_FUTURE: Final = 2**40 - 1
#: EIP-7825: what one transaction may use.
TRANSACTION_GAS_LIMIT: Final = 16_777_216
LEGAL_DELAY: Final = 3600
#: Request, transfer, grace, in seconds.
DELIVERY_PERIODS: Final = (10 * 86_400, 14 * 86_400, 7 * 86_400)
RESERVE_MAX_AGE: Final = 7 * 86_400

CUSTODIAN, ATTESTOR, FREEZER, ENFORCER = (
    Account.from_key(keccak(text=name)) for name in ("custodian", "attestor", "freezer", "enforcer")
)


def typed_data(domain: Any, types: Any, primary: str, message: Any) -> dict[str, Any]:
    """What wallets call full typed data, for eth_account."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            **{
                name: [{"name": field, "type": kind} for field, kind in fields]
                for name, fields in types.items()
            },
        },
        "primaryType": primary,
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        "message": message,
    }


def wallet_digest(full_message: dict[str, Any]) -> bytes:
    """The digest that eth_account signs: an implementation that is not ours."""
    used = _reachable(full_message["types"], full_message["primaryType"])
    kept = {k: v for k, v in full_message["types"].items() if k in used or k == "EIP712Domain"}
    return bytes(
        _hash_eip191_message(encode_typed_data(full_message=full_message | {"types": kept}))
    )


def _reachable(types: dict[str, Any], primary: str) -> set[str]:
    found = {primary}
    for field in types[primary]:
        base = field["type"].removesuffix("[]")
        if base in types and base not in found:
            found |= _reachable(types, base)
    return found


class World:
    """One deployment; `accounts[0]` is its admin. Every call is sent as a real transaction."""

    def __init__(self, anvil: Anvil, compiled: dict[str, CompiledContract]) -> None:
        self.anvil = anvil
        self.web3 = Web3(HTTPProvider(anvil.url))
        self.accounts = list(self.web3.eth.accounts)
        self._compiled = compiled
        self.register: dict[bytes, IntervalSet] = {}
        admin = self.accounts[0]
        nonce = self.web3.eth.get_transaction_count(admin)
        ahead = [get_create_address(admin, Nonce(nonce + step)) for step in range(11)]
        manager, participants, legal, certificates, credits_, trust = ahead[:6]
        records_, reserve_, deliveries, events, gaps = ahead[6:]
        self.manager = self.deploy("AccessManager", admin)
        self.participants = self.deploy("Participants", manager, legal)
        self.legal = self.deploy("LegalOrders", manager, participants, credits_, LEGAL_DELAY)
        self.certificates = self.deploy("RetirementCertificates", credits_)
        self.credits = self.deploy(
            "CarbonCredits",
            *(manager, participants, certificates, trust, legal, deliveries, events, gaps),
        )
        self.trust = self.deploy(
            "Trust", manager, credits_, reserve_, records_, deliveries, events, gaps
        )
        self.records = self.deploy("RegistryRecords", credits_, trust, deliveries, events, gaps)
        self.reserve = self.deploy("Reserve", trust, RESERVE_MAX_AGE)
        modules = (credits_, trust, records_)
        self.deliveries = self.deploy(
            "Deliveries", manager, *modules, reserve_, gaps, *DELIVERY_PERIODS
        )
        self.events = self.deploy("ProgrammeEvents", *modules, gaps)
        self.gaps = self.deploy("Gaps", *modules, deliveries, events)
        for module in (deliveries, events):
            self.send(self.participants, "addCausewayContract", module)
        self.send(self.trust, "setSigner", CUSTODIAN.address, 1)
        self.send(self.trust, "setSigner", ATTESTOR.address, 2)
        self.send(self.legal, "setSigner", FREEZER.address, 1)
        self.send(self.legal, "setSigner", ENFORCER.address, 2)

    @cached_property
    def domain(self) -> Any:
        return custody.signing_domain(self.anvil.chain_id, self.trust.address)

    @cached_property
    def records_domain(self) -> Any:
        return records.signing_domain(self.anvil.chain_id, self.records.address)

    @cached_property
    def reserve_domain(self) -> Any:
        return reserve.signing_domain(self.anvil.chain_id, self.reserve.address)

    def deploy(self, name: str, *args: Any) -> Contract:
        """Deploy from the admin's account."""
        made = self._compiled[name]
        factory = self.web3.eth.contract(abi=made.abi, bytecode=made.bytecode)
        sent = factory.constructor(*args).transact({"from": self.accounts[0]})
        address = self.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
        assert address
        return self.web3.eth.contract(address=address, abi=made.abi)

    def send(self, contract: Contract, function: str, *args: Any, sender: str = "") -> Any:
        """Send a transaction with the most gas allowed; returns its receipt, checked."""
        call = contract.get_function_by_name(function)(*args)
        sent = call.transact({"from": sender or self.accounts[0], "gas": TRANSACTION_GAS_LIMIT})
        receipt = self.web3.eth.wait_for_transaction_receipt(sent)
        assert receipt["status"] == 1, f"{function} reverted"
        return receipt

    def call(self, contract: Contract, function: str, *args: Any) -> Any:
        """Read."""
        return contract.get_function_by_name(function)(*args).call()

    def admit(self, *accounts: str) -> None:
        for account in accounts:
            self.send(self.participants, "admit", account, 1, b"HK", FAR_FUTURE)

    def sign(self, digest: bytes, *signers: Any) -> list[bytes]:
        """Signatures in the order the contracts want: by ascending signer."""
        ordered = sorted(signers, key=lambda signer: int(signer.address, 16))
        return [bytes(signer.unsafe_sign_hash(digest).signature) for signer in ordered]

    def hints(self, receipt: Receipt) -> list[int]:
        """The best hints for a receipt, from a register kept by the domain's oracle."""
        hints = []
        for interval in receipt.intervals:
            held = self.register.setdefault(interval.series.id, IntervalSet(interval.series))
            hints.append(held.predecessor(interval.first))
            held.insert(interval)
        return hints

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside never happened afterwards."""
        state = self.web3.provider.make_request(RPCEndpoint("evm_snapshot"), [])["result"]
        register = deepcopy(self.register)
        yield
        self.web3.provider.make_request(RPCEndpoint("evm_revert"), [state])
        self.register = register

    def custodian_account(self) -> str:
        """The custodian's address, able to send: Anvil signs for it and pays."""
        address = str(CUSTODIAN.address)
        for method, args in (
            ("anvil_impersonateAccount", [address]),
            ("anvil_setBalance", [address, hex(10**18)]),
        ):
            self.web3.provider.make_request(RPCEndpoint(method), args)
        return address

    def pass_time(self, seconds: int) -> None:
        """Chain time goes on by so many seconds."""
        make_request = self.web3.provider.make_request
        pass_time(lambda method, *args: make_request(RPCEndpoint(method), args)["result"], seconds)

    def minted(self, class_id: int) -> int:
        """Tonnes minted so far."""
        return int(self.call(self.credits, "positions", class_id)[0])

    def report(self, tree: ReserveTree) -> Any:
        """Report this reserve as of the newest chain block, signed by both parties."""
        head = self.web3.eth.get_block("latest")
        sequence = self.call(self.reserve, "current")[0] + 1
        made = report_of(tree, sequence, head["timestamp"], head["number"])
        signatures = self.sign(made.digest(self.reserve_domain), CUSTODIAN, ATTESTOR)
        return self.send(self.reserve, "report", made.message(), signatures)

    def mint(self, receipt: Receipt, tree: ReserveTree | None = None) -> Any:
        """Mint against a receipt signed by both parties.

        Without `tree`, which was reported before: report what this receipt needs, and no more.
        """
        if tree is None:
            class_id = int(receipt.credit_class.token_id)
            tree = backing([receipt], {class_id: self.minted(class_id)})
            self.report(tree)
        signatures = self.sign(receipt.digest(self.domain), CUSTODIAN, ATTESTOR)
        args = (self.hints(receipt), proof_of(tree, receipt).encoded(), signatures)
        return self.send(self.trust, "mintWithReceipt", receipt.message(), *args)

    def confirm(
        self, retirement: RegistryRetirement, exchanges: list[Exchange], hint: int = 0
    ) -> Any:
        """Record a registry's retirement signed by both parties."""
        signatures = self.sign(retirement.digest(self.records_domain), CUSTODIAN, ATTESTOR)
        swaps = [(e.position, e.counterpart, e.tonnes, 0) for e in exchanges]
        return self.send(
            self.records,
            "recordRegistryRetirement",
            retirement.message(),
            swaps,
            hint,
            signatures,
        )
