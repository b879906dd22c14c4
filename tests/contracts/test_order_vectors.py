"""What is signed for the exchange hashes alike in the domain, in eth_account and in viem."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from eth_account import Account as Wallet

from backend.domain import batches, eip712, orders
from backend.errors import InvalidValue
from backend.local import binaries
from scripts import make_order_vectors, make_vectors
from tests.contracts.test_vectors import _from_json
from tests.contracts.world import typed_data, wallet_digest

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = make_vectors.VECTORS / "orders.json"
#: As wallets show them: a change here is a change of what people sign.
TYPE_STRINGS = {
    "Order": "Order(address trader,uint64 nonce,uint256 instrument,address asset,uint8 side,"
    "uint64 quantity,uint128 price,uint16 maxFeeBps,uint40 signedAt,uint40 expiry,"
    "uint8 conditions,bytes32 detailsHash,uint8 signatureKind)",
    "Withdrawal": "Withdrawal(address trader,uint64 nonce,uint256 asset,uint128 amount,"
    "uint8 signatureKind)",
    "Cancel": "Cancel(address trader,uint64 nonce)",
    "CancelAll": "CancelAll(address trader,uint64 nonce,uint256 instrument)",
    "Acknowledgement": "Acknowledgement(bytes32 root)",
    "Batch": "Batch(bytes batch)",
    "Anchor": "Anchor(uint64 seq,bytes32 head)",
    "Void": "Void(uint64 firstTrade,uint64 lastTrade,uint64 firstWithdrawal,"
    "uint64 lastWithdrawal,uint8 reason,uint64 seq,bytes32 head)",
    "DepositIntent": "DepositIntent(address owner,address asset,uint256 amount,uint256 nonce,"
    "uint256 deadline)",
}
TYPES: dict[str, eip712.Types] = {
    "Order": orders.ORDER_TYPES,
    "Withdrawal": orders.WITHDRAWAL_TYPES,
    "Cancel": orders.CANCEL_TYPES,
    "CancelAll": orders.CANCEL_ALL_TYPES,
    "Acknowledgement": orders.ACKNOWLEDGEMENT_TYPES,
    "Batch": batches.BATCH_TYPES,
    "Anchor": batches.ANCHOR_TYPES,
    "Void": batches.VOID_TYPES,
    "DepositIntent": batches.DEPOSIT_INTENT_TYPES,
}
MADE: dict[str, Any] = {
    "Order": orders.Order,
    "Withdrawal": orders.Withdrawal,
    "Cancel": orders.Cancel,
    "CancelAll": orders.CancelAll,
}


def committed() -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(FILE.read_bytes())
    return loaded


def each() -> list[tuple[str, int]]:
    return [
        (name, place)
        for name, listed in committed()["vectors"].items()
        for place in range(len(listed))
    ]


def message_of(name: str, vector: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _from_json(TYPES[name], name, vector["message"])
    return found


def test_every_kind_of_message_has_its_type_and_vectors() -> None:
    content = committed()
    assert content["types"] == TYPE_STRINGS
    assert set(content["vectors"]) == set(TYPE_STRINGS)
    assert {name: str(len(v)) for name, v in content["vectors"].items()} == content["counts"]
    assert sum(len(listed) for listed in content["vectors"].values()) >= 24


@pytest.mark.parametrize(("name", "place"), each())
def test_l5_digest_and_signature_are_those_of_eth_account(name: str, place: int) -> None:
    vector = committed()["vectors"][name][place]
    message = message_of(name, vector)
    full = typed_data(make_order_vectors.DOMAIN, TYPES[name], name, message)
    assert "0x" + wallet_digest(full).hex() == vector["digest"]
    if vector["signer"]:
        signed = Wallet.sign_typed_data(vector["key"], full_message=full)
        assert "0x" + signed.signature.hex() == vector["signature"]
        compact = batches.compact_signature(bytes.fromhex(vector["signature"][2:]))
        assert "0x" + compact.hex() == vector["compact"]


@pytest.mark.parametrize(("name", "place"), [one for one in each() if one[0] in MADE])
def test_l5_the_domain_hashes_a_message_as_the_vector_and_judges_it(name: str, place: int) -> None:
    vector = committed()["vectors"][name][place]
    values = message_of(name, vector)
    values["trader"] = orders.account_of(values["trader"])
    if name == "Order":
        values["asset"] = int(values["asset"], 16)
    message = MADE[name](*values.values())
    digest = orders.message_digest(make_order_vectors.DOMAIN, message)
    assert "0x" + digest.hex() == vector["digest"]
    if vector["keepsRules"]:
        orders.check_message(message)
    else:
        with pytest.raises(InvalidValue):
            orders.check_message(message)


def test_l5_acts_of_sequencer_and_watcher_hash_as_the_vectors() -> None:
    domain, content = make_order_vectors.DOMAIN, committed()["vectors"]
    for vector in content["Batch"]:
        raw = message_of("Batch", vector)["batch"]
        assert "0x" + batches.batch_digest(domain, raw).hex() == vector["digest"]
    for vector in content["Anchor"]:
        made = batches.anchor_digest(domain, *message_of("Anchor", vector).values())
        assert "0x" + made.hex() == vector["digest"]
    for vector in content["Void"]:
        void = batches.Void(*message_of("Void", vector).values())
        assert "0x" + batches.void_digest(domain, void).hex() == vector["digest"]
    for vector in content["DepositIntent"]:
        made = batches.deposit_intent_digest(domain, *message_of("DepositIntent", vector).values())
        assert "0x" + made.hex() == vector["digest"]


def javascript(file: Path) -> subprocess.CompletedProcess[str]:
    node = str(binaries.node_directory() / "node")
    script = "tests/vectors/check_orders.mjs"
    return subprocess.run(
        [node, script, str(file)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_l5_wallets_hash_and_sign_every_vector_alike() -> None:
    done = javascript(FILE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(len(each())), "vectors"]


@pytest.mark.parametrize(
    ("field", "value"), [("price", "78500001"), ("conditions", "1"), ("signedAt", "1800000001")]
)
def test_the_check_of_wallets_finds_a_vector_that_is_wrong(
    tmp_path: Path, field: str, value: str
) -> None:
    content = committed()
    content["vectors"]["Order"][0]["message"][field] = value
    wrong = tmp_path / "orders.json"
    wrong.write_bytes(orjson.dumps(content))
    done = javascript(wrong)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


def test_l5_a_signature_is_for_one_exchange_on_one_chain() -> None:
    order = make_order_vectors.some_orders()[0][1]
    other = "0x00000000000000000000000000000000C0FFEE02"
    domains = [
        orders.exchange_domain(chain, contract)
        for chain in (1, 31337)
        for contract in (make_order_vectors.DOMAIN.contract, other)
    ]
    assert len({orders.message_digest(domain, order) for domain in domains}) == len(domains)
