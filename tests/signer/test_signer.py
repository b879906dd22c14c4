"""The signing service signs with its keys what its policy allows, and refuses everything else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from backend.chain.keys import KeyStore, named_key
from backend.chain.keystore import EncryptedKeys
from backend.chain.rawtx import sign_transaction
from backend.errors import (
    CausewayError,
    Conflict,
    InvalidValue,
    LocalError,
    NotAuthorised,
    NotFound,
    SignerUnavailable,
)
from backend.signer.policy import Gate, Policy
from backend.signer.server import SigningServer
from tests.signer.service import PASSPHRASE, WORK_FACTOR, in_thread, keys_at, policy

pytestmark = pytest.mark.integration

PAYER, SEQUENCER = named_key("bridge", bytes([3]) * 32), named_key("sequencer", bytes([4]) * 32)
TRUST, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
PAYS = {"operations": ["transaction"], "chain_ids": [31337], "to": [TRUST], "per_minute": 3}
SIGNS = {"operations": ["digest"], "purposes": ["sequencer"]}
RULES = policy({"bridge": PAYS, "sequencer": SIGNS})
DIGEST = bytes(range(32))


def transaction(key: Any, **changed: Any) -> tuple[str, bytes]:
    fields = {
        "chain_id": 31337, "nonce": 7, "to": TRUST, "data": b"\x01\x02" * 40, "gas": 100_000,
        "max_fee_per_gas": 10**9, "max_priority_fee_per_gas": 10**8,
    }  # fmt: skip
    return sign_transaction(key, **{**fields, **changed})


def test_signatures_of_the_service_are_those_of_the_key_itself() -> None:
    with in_thread([PAYER, SEQUENCER], RULES) as url, keys_at(url, purpose="sequencer") as keys:
        assert [(key.name, key.address) for key in keys.list()] == [
            ("bridge", PAYER.address),
            ("sequencer", SEQUENCER.address),
        ]
        remote = keys.get("sequencer")
        assert remote.sign(DIGEST) == SEQUENCER.sign(DIGEST)
        assert remote.derive("a") == remote.derive("a") != remote.derive("b")
        assert transaction(keys.by_address(PAYER.address)) == transaction(PAYER)


@pytest.mark.parametrize(
    "changed",
    [
        {"to": OTHER},
        {"to": None},
        {"chain_id": 1},
        {"value": 1},
        {"gas": 10**7, "max_fee_per_gas": 10**12},
    ],
)
def test_a_transaction_outside_its_bounds_is_refused(changed: dict[str, Any]) -> None:
    with in_thread([PAYER], RULES) as url, keys_at(url) as keys:
        with pytest.raises(NotAuthorised):
            transaction(keys.get("bridge"), **changed)
        assert transaction(keys.get("bridge"))


def test_operations_purposes_and_rates_are_bounded_and_strangers_get_nothing() -> None:
    with in_thread([PAYER, SEQUENCER], RULES) as url:
        with keys_at(url, purpose="sequencer") as keys:
            payer, sequencer = keys.get("bridge"), keys.get("sequencer")
            # A digest could be of any transaction.
            with pytest.raises(NotAuthorised):
                payer.sign(DIGEST)
            with pytest.raises(NotAuthorised):
                transaction(sequencer)
            for _ in range(3):
                transaction(payer)
            with pytest.raises(NotAuthorised, match="in a minute"):
                transaction(payer)
            with pytest.raises(LocalError, match="make it at the signer"):
                keys.create_if_missing("custodian")
            with pytest.raises(NotFound):
                keys.get("custodian")
        with keys_at(url, purpose="custodian") as keys, pytest.raises(NotAuthorised):
            keys.get("sequencer").sign(DIGEST)
        with keys_at(url, token="another") as keys, pytest.raises(NotAuthorised):
            keys.list()
    with keys_at(url) as keys, pytest.raises(SignerUnavailable):
        keys.list()


def test_another_users_process_is_refused_although_it_has_the_token() -> None:
    for uid, allowed in ((os.getuid(), True), (os.getuid() + 1, False)):
        rules = policy({"sequencer": SIGNS}, uid=uid)
        with in_thread([SEQUENCER], rules) as url, keys_at(url) as keys:
            if allowed:
                assert keys.list()
            else:
                with pytest.raises(NotAuthorised, match="another user"):
                    keys.list()


def test_a_signature_by_another_key_is_not_passed_on() -> None:
    class Swapped(type(SEQUENCER)):  # type: ignore[misc]
        def sign(self, digest: bytes) -> bytes:
            return PAYER.sign(digest)

    wrong = Swapped(SEQUENCER.name, SEQUENCER.address, SEQUENCER.private_key)
    rules = policy({"sequencer": {"operations": ["digest"]}})
    with (
        in_thread([wrong], rules) as url,
        keys_at(url) as keys,
        pytest.raises(SignerUnavailable, match="signed with"),
    ):
        keys.get("sequencer").sign(DIGEST)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/keys/sequencer/sign-digest", b'{"digest": "0x00"}', 422),
        ("/v1/keys/sequencer/sign-digest", b'{"digest": 5}', 422),
        ("/v1/keys/sequencer/sign-digest", b"[", 422),
        ("/v1/keys/bridge/sign-transaction", b'{"transaction": "0x02c0"}', 422),
        ("/v1/keys/bridge/sign-transaction", b'{"transaction": "0x02' + b"c1" * 9_000 + b'"}', 422),
        ("/v1/keys/../sign-digest", b"{}", 404),
        ("/v1/export", b"{}", 404),
    ],
)
def test_requests_that_are_none_get_a_reason(path: str, body: bytes, status: int) -> None:
    with in_thread([PAYER, SEQUENCER], RULES) as url, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(url.removeprefix("unix:"))
        head = f"POST {path} HTTP/1.1\r\nAuthorization: Bearer a token of the worker\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(200).split()[1] == str(status).encode()


def test_a_socket_is_one_signers_and_a_dead_ones_is_taken_over(tmp_path: Path) -> None:
    gate = Gate(Policy.model_validate(RULES))
    with in_thread([PAYER], RULES) as url:
        path = Path(url.removeprefix("unix:"))
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(LocalError, match="already"):
            SigningServer(path, {}, gate)
    left = socket.socket(socket.AF_UNIX)
    os.makedirs("/tmp/causeway-signer-test", exist_ok=True)
    dead = Path(f"/tmp/causeway-signer-test/{os.getpid()}")
    left.bind(str(dead))
    left.close()
    server = SigningServer(dead, {}, gate)
    server.server_close()
    assert not dead.exists()


def test_keystores_hold_what_key_files_held_and_open_by_their_passphrase_only(
    tmp_path: Path,
) -> None:
    files = KeyStore(tmp_path / "files")
    made = files.create_if_missing("custodian")
    store = EncryptedKeys(tmp_path / "store", PASSPHRASE, WORK_FACTOR)
    assert store.put("custodian", made.private_key) == made.address
    assert store.put("custodian", made.private_key) == made.address
    with pytest.raises(Conflict):
        store.put("custodian", bytes([1]) * 32)
    fresh = store.create("sequencer")
    assert {name: key.address for name, key in store.read().items()} == {
        "custodian": made.address,
        "sequencer": fresh,
    }
    written = (tmp_path / "store" / "custodian.json").read_bytes()
    assert made.private_key.hex().encode() not in written
    assert (tmp_path / "store" / "custodian.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LocalError, match="cannot be opened"):
        EncryptedKeys(tmp_path / "store", "another", WORK_FACTOR).read()
    with pytest.raises(InvalidValue):
        store.create("../keys")


def test_a_policy_that_says_something_else_is_refused_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"clients": {"worker": {"token_sha256": "00", "keys": {}}}}')
    with pytest.raises(CausewayError, match=r"clients\.worker\.token_sha256"):
        Policy.load(path)
