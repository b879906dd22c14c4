"""Keys on disk, signatures and raw transactions, against eth_account's."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from backend.chain.compiler import REPOSITORY
from backend.chain.keys import KeyStore, address_of, named_key, recover, sign_digest
from backend.chain.rawtx import created_address, sign_transaction
from backend.errors import InvalidValue, LocalError, NotFound

pytestmark = pytest.mark.unit

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


@given(secrets, digests)
def test_a_signature_is_eth_accounts_and_recovers_to_its_signer(
    secret: bytes, digest: bytes
) -> None:
    signature = sign_digest(secret, digest)
    assert signature == bytes(Account.unsafe_sign_hash(digest, secret).signature)
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
    assert recover(digest, signature) == address_of(secret) == Account.from_key(secret).address


@given(secrets, digests)
def test_the_malleable_twin_of_a_signature_is_refused(secret: bytes, digest: bytes) -> None:
    signature = sign_digest(secret, digest)
    high = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    with pytest.raises(InvalidValue, match="upper half"):
        recover(digest, signature[:32] + high + bytes([55 - signature[64]]))


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (bytes(64), "not 65 bytes"),
        (bytes(64) + b"\0", "a v other"),
        (bytes(64) + b"\x1b", "recovers to no key"),
        (b"\xff" * 32 + bytes(31) + b"\1\x1b", "recovers to no key"),
    ],
)
def test_bytes_that_are_no_signature_are_refused(signature: bytes, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        recover(bytes(32), signature)


@given(
    secrets,
    st.integers(0, 2**64 - 2),
    st.one_of(st.none(), st.just("0x" + "Ab" * 20)),
    st.binary(max_size=300),
    st.integers(21_000, 2**24),
    st.tuples(st.integers(0, 2**90), st.integers(0, 2**90), st.integers(0, 2**90)),
)
def test_a_raw_transaction_is_eth_accounts_byte_for_byte(
    secret: bytes, nonce: int, to: str | None, data: bytes, gas: int, wei: tuple[int, int, int]
) -> None:
    value, tip, fee = wei
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "data": data,
        "gas": gas,
        "value": value,
        "maxFeePerGas": fee,
        "maxPriorityFeePerGas": tip,
    }
    if to:
        fields["to"] = bytes.fromhex(to[2:])
    theirs = Account.from_key(secret).sign_transaction(fields)
    digest, raw = sign_transaction(
        named_key("k", secret),
        chain_id=31337,
        nonce=nonce,
        to=to,
        data=data,
        gas=gas,
        value=value,
        max_fee_per_gas=fee,
        max_priority_fee_per_gas=tip,
    )
    assert raw == bytes(theirs.raw_transaction)
    assert digest == "0x" + bytes(theirs.hash).hex()


def test_created_addresses_are_those_of_the_yellow_paper() -> None:
    # The vectors of EIP-1014's and go-ethereum's tests for CREATE.
    deployer = "0x970E8128AB834E8EAC17Ab8E3812F010678CF791"
    assert [created_address(deployer, nonce).lower() for nonce in (0, 1, 2)] == [
        "0x333c3310824b7c685133f2bedb2ca4b8b4df633d",
        "0x8bda78331c916a08481428e4b07c96d3e916d165",
        "0xc9ddedf451bc62ce88bf9292afb13df35b670699",
    ]


# ------------------------------------------------------------------- on disk


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    with pytest.raises(NotFound, match="no key is called custodian"):
        store.get("custodian")
    key = store.create_if_missing("custodian")
    assert KeyStore(tmp_path / "keys").create_if_missing("custodian") == key
    file = tmp_path / "keys" / "custodian.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert orjson.loads(file.read_bytes()) == {
        "name": "custodian",
        "address": key.address,
        "key": "0x" + key.private_key.hex(),
    }
    assert [path.name for path in file.parent.iterdir()] == ["custodian.json"]
    assert key.private_key.hex() not in repr(key)


def test_makers_at_the_same_time_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: KeyStore(tmp_path).create_if_missing("attestor"), range(32)))
    assert len(set(made)) == 1
    assert KeyStore(tmp_path).list() == made[:1]


def test_keys_are_found_by_their_address(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    keys = [store.create_if_missing(name) for name in ("b", "a", "wallet-1")]
    assert [key.name for key in store.list()] == ["a", "b", "wallet-1"]
    assert store.by_address(keys[0].address.lower()) == keys[0]
    with pytest.raises(NotFound, match="no key here signs for"):
        store.by_address("0x" + "11" * 20)


def test_a_given_key_does_not_replace_one_that_is_there(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    first = store.add("admin", bytes(31) + b"\1")
    assert store.add("admin", bytes(31) + b"\2") == first


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", ".hidden", "x" * 65])
def test_a_key_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue, match="key name"):
        KeyStore(tmp_path).create_if_missing(name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"name":"a"}',
        b'{"name":"a","address":"0x00","key":"0x00"}',
        b'{"name":"b","address":"0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",'
        b'"key":"0x' + b"00" * 31 + b'01"}',
        b'{"name":"a","address":"0x7E5F4552091A69125d5DfCb7b8C2659029395BdF",'
        b'"key":"0x' + b"00" * 31 + b'02"}',
    ],
)
def test_a_damaged_key_file_is_named_and_its_content_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(LocalError, match=r"key file a\.json"):
        KeyStore(tmp_path).get("a")


def test_web3_is_not_loaded_by_what_commands_import() -> None:
    code = "import backend.chain.contracts, backend.chain.sender, sys; print('web3' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"
