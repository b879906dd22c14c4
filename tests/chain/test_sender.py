"""L10 on a real Anvil: what the sender was given has its effect once, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.chain import abi, calls
from backend.chain.keys import Key, KeyStore
from backend.chain.rpc import Request, Rpc
from backend.chain.sender import Call, Sender
from backend.domain.transactions import OutgoingTransaction, TransactionState
from backend.errors import ChainRejected, ChainUnavailable, Conflict, InvalidValue, NotFound
from tests.chain.conftest import Chain, fund, key_of
from tests.chain.memory_log import MemoryLog

pytestmark = pytest.mark.integration

SIGNED, MINED, REVERTED, FINAL = TransactionState


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


class Bench:
    """A sender with its log, an account that may make HKD, and a recipient nobody else uses."""

    def __init__(self, chain: Chain, name: str, confirmations: int = 3) -> None:
        self.chain, self.rpc = chain, chain.rpc
        self.issuer = key_of("issuer")
        self.recipient = key_of(f"recipient {name}").address
        self.log, self.clock, self.confirmations = MemoryLog(), Clock(), confirmations
        self.sender = self.restarted()

    def restarted(self) -> Sender:
        """A new process on the same log."""
        self.sender = Sender(self.rpc, self.log, self.clock, confirmations=self.confirmations)
        return self.sender

    @property
    def asset(self) -> str:
        return self.chain.deployment["HKD"]

    def submit(self, key: str, amount: int = 1, gas: int | None = None) -> OutgoingTransaction:
        data = calls.issue_asset("HKD", self.recipient, amount)
        return self.sender.submit(key, self.issuer, self.asset, data, gas)

    def call(self, key: str, amount: int = 1, gas: int | None = None) -> Call:
        data = calls.issue_asset("HKD", self.recipient, amount)
        return Call(key, self.issuer, self.asset, data, gas)

    def received(self) -> int:
        data = abi.encode_call("HKD", "balanceOf", [self.recipient])
        return abi.decode_result("HKD", "balanceOf", self.rpc.eth_call(self.asset, data))

    def steal_nonce(self, key: Key) -> None:
        """Another program sends from the account at its next mined nonce."""
        nonce = int(self.rpc.call("eth_getTransactionCount", key.address, "latest"), 16)
        other = Sender(self.rpc, MemoryLog(), self.clock)
        data = calls.issue_asset("HKD", key_of("stranger").address, 1)
        stolen = other._signed(
            Call("foreign", key, self.asset, data), nonce, 100_000, _rich_fees(self.rpc)
        )
        self.rpc.call("eth_sendRawTransaction", "0x" + stolen.attempts[0].raw.hex())


def _rich_fees(rpc: Rpc):  # type: ignore[no-untyped-def]
    from backend.chain.fees import Fees, current_fees

    return Fees(*(100 * fee for fee in current_fees(rpc)))


@pytest.fixture
def bench(chain: Chain, request: pytest.FixtureRequest) -> Iterator[Bench]:
    chain.rpc.call("evm_setAutomine", True)
    made = Bench(chain, request.node.name)
    yield made
    chain.rpc.call("evm_setAutomine", True)
    chain.rpc.call("anvil_dropAllTransactions")


def test_a_call_is_mined_and_final_at_its_depth(bench: Bench) -> None:
    assert bench.submit("one", 7).state is SIGNED
    mined = bench.sender.wait("one", 5)
    assert (mined.state, mined.transaction_hash) == (MINED, mined.attempts[0].hash)
    assert bench.sender.advance() == []
    bench.chain.mine(3)
    assert [one.state for one in bench.sender.advance()] == [FINAL]
    assert bench.received() == 7
    assert bench.sender.advance() == []


def test_l10_the_same_key_again_is_the_same_transaction(bench: Bench) -> None:
    first = bench.submit("one", 7)
    for _ in range(3):
        again = bench.submit("one", 7)
        assert (again.nonce, again.attempts) == (first.nonce, first.attempts)
        bench.restarted()
    bench.sender.wait("one", 5)
    assert bench.submit("one", 7).state is MINED
    assert bench.received() == 7


def test_l10_a_known_key_with_other_content_is_a_conflict(bench: Bench) -> None:
    bench.submit("one", 7)
    with pytest.raises(Conflict, match="another data"):
        bench.submit("one", 8)
    with pytest.raises(Conflict, match="another data"):
        bench.sender.submit_many([bench.call("one", 9)])
    bench.sender.wait("one", 5)
    assert bench.received() == 7


def test_l10_threads_that_submit_one_key_send_one_transaction(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda _: bench.submit("one", 7), range(16)))
    assert len({(one.nonce, one.attempts[0].hash) for one in sent}) == 1
    bench.sender.wait("one", 5)
    assert bench.received() == 7


def test_threads_that_submit_many_keys_use_each_nonce_once(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda n: bench.submit(f"key {n}", 1), range(24)))
    nonces = sorted(one.nonce for one in sent)
    assert nonces == list(range(nonces[0], nonces[0] + 24))
    bench.chain.mine()
    assert {one.state for one in bench.sender.advance()} == {MINED}
    assert bench.received() == 24


def test_a_refused_estimate_uses_no_nonce_and_says_why(bench: Bench) -> None:
    stranger = key_of("stranger")
    fund(bench.rpc, stranger)
    data = calls.issue_asset("HKD", bench.recipient, 1)
    with pytest.raises(ChainRejected, match="OwnableUnauthorizedAccount") as refused:
        bench.sender.submit("one", stranger, bench.asset, data)
    assert refused.value.values["args"] == {"account": stranger.address}
    with pytest.raises(ChainRejected, match="one: OwnableUnauthorizedAccount"):
        bench.sender.submit_many([Call("one", stranger, bench.asset, data)])
    assert bench.log.rows == {}


def test_a_revert_on_chain_is_decoded_and_final_at_its_depth(bench: Bench) -> None:
    stranger = key_of("stranger")
    fund(bench.rpc, stranger)
    data = calls.issue_asset("HKD", bench.recipient, 1)
    bench.sender.submit("one", stranger, bench.asset, data, gas=100_000)
    with pytest.raises(ChainRejected, match="OwnableUnauthorizedAccount"):
        bench.sender.wait("one", 5)
    assert bench.log.rows["one"].state is MINED
    bench.chain.mine(3)
    [reverted] = bench.sender.advance()
    assert reverted.state is REVERTED
    assert stranger.address in (reverted.reason or "")
    with pytest.raises(ChainRejected, match="OwnableUnauthorizedAccount"):
        bench.sender.wait("one", 5)


def test_a_transaction_that_runs_out_of_gas_says_so(bench: Bench) -> None:
    bench.submit("one", 1, gas=30_000)
    with pytest.raises(ChainRejected, match="out of gas: all 30000"):
        bench.sender.wait("one", 5)


def test_gas_at_the_limit_of_one_transaction_is_refused(bench: Bench) -> None:
    for gas in (16_777_216, 20_999):
        with pytest.raises(InvalidValue, match="outside 21000"):
            bench.submit("one", 1, gas=gas)
    assert bench.log.rows == {}


def test_l10_a_kill_between_storing_and_sending_is_made_good(bench: Bench) -> None:
    def die(_: object) -> list[OutgoingTransaction]:
        raise KeyboardInterrupt

    bench.sender._broadcast = die  # type: ignore[method-assign]
    for key in ("one", "two"):
        with pytest.raises(KeyboardInterrupt):
            bench.submit(key, 7)
    bench.restarted()
    later = bench.submit("three", 7)
    assert later.nonce == bench.log.rows["one"].nonce + 2
    assert bench.received() == 0, "the third waits for the gap"
    bench.sender.advance()
    for key in ("one", "two", "three"):
        bench.sender.wait(key, 5)
    assert bench.received() == 21


def test_l10_what_the_node_forgot_is_sent_again(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    for number in range(3):
        bench.submit(f"key {number}", 7)
    bench.rpc.call("anvil_dropAllTransactions")
    bench.chain.mine()
    assert bench.received() == 0
    bench.sender.advance()
    bench.chain.mine()
    assert [one.state for one in bench.sender.advance()] == [MINED] * 3
    assert bench.received() == 21


class Forgetful(Rpc):
    """An Anvil that says that it mines by itself and leaves what it is sent in its pool."""

    def _one_batch(self, calls: list[Request]) -> list[Any]:
        answers = super()._one_batch(calls)
        return [
            True if method == "anvil_getAutomine" else answer
            for (method, _), answer in zip(calls, answers, strict=True)
        ]


def test_what_a_chain_that_mines_by_itself_left_in_its_pool_is_mined(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    bench.submit("one", 7)
    height = bench.rpc.block_number()
    forgetful = Forgetful(bench.rpc.url)
    sender = Sender(forgetful, bench.log, bench.clock, confirmations=3)
    assert sender.wait("one", 5).state is MINED
    sender.advance()
    assert (bench.received(), bench.rpc.block_number()) == (7, height + 1)
    forgetful.close()


def test_waiting_without_a_miner_ends_with_the_key_and_the_nonce(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    sent = bench.submit("one", 7)
    with pytest.raises(ChainUnavailable, match=r"one is not mined after 0\.3 s") as late:
        bench.sender.wait("one", 0.3)
    assert late.value.values["nonce"] == sent.nonce
    bench.chain.mine()
    assert bench.sender.wait("one", 5).state is MINED
    with pytest.raises(NotFound):
        bench.sender.wait("nobody's", 1)


def test_a_stuck_transaction_is_bumped_and_either_attempt_counts(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = KeyStore(tmp_path_factory.mktemp("keys"))
    keys.add("issuer", bench.issuer.private_key)
    bench.rpc.call("evm_setAutomine", False)
    old = bench.submit("one", 7).attempts[0]
    behind = bench.submit("two", 7)
    bench.clock.now += 30
    assert bench.sender.bump(keys, after_seconds=31) == []
    [bumped] = bench.sender.bump(keys, after_seconds=30)
    new = bumped.attempts[-1]
    assert (bumped.key, len(bumped.attempts), bumped.reason) == ("one", 2, None)
    assert new.max_fee_per_gas * 8 >= old.max_fee_per_gas * 9
    assert new.max_priority_fee_per_gas * 8 >= old.max_priority_fee_per_gas * 9
    assert bench.log.rows["two"].attempts == behind.attempts, "only the first in line is stuck"
    assert bench.sender.bump(keys, after_seconds=30) == []
    bench.chain.mine()
    mined = bench.sender.wait("one", 5)
    assert mined.transaction_hash == new.hash
    assert bench.sender.wait("two", 5).state is MINED
    assert bench.received() == 14


def test_the_old_attempt_of_a_bumped_transaction_is_found_too(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = KeyStore(tmp_path_factory.mktemp("keys"))
    keys.add("issuer", bench.issuer.private_key)
    bench.rpc.call("evm_setAutomine", False)
    old = bench.submit("one", 7).attempts[0]
    bench.clock.now += 60

    def die(_: object) -> list[OutgoingTransaction]:
        raise KeyboardInterrupt

    bench.sender._broadcast = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.sender.bump(keys, after_seconds=30)
    bench.restarted()
    bench.chain.mine()
    # "nonce too low" for the new attempt leads to the receipt of the old one.
    assert bench.submit("one", 7).transaction_hash == old.hash
    assert bench.sender.wait("one", 5).state is MINED
    assert bench.received() == 7


def test_l10_a_reorganisation_that_drops_a_transaction_sends_the_same_bytes(
    bench: Bench,
) -> None:
    for number in range(4):
        bench.submit(f"key {number}", 7)
        bench.sender.wait(f"key {number}", 5)
    before = dict(bench.log.rows)
    bench.rpc.call("anvil_rollback", 3)
    assert bench.received() == 7
    back = {one.key: one for one in bench.sender.advance()}
    assert set(back) == {"key 1", "key 2", "key 3"}
    for one in back.values():
        assert (one.state, one.block_number, one.block_hash) == (SIGNED, None, None)
        assert one.attempts == before[one.key].attempts
    for key in back:
        bench.sender.wait(key, 5)
    assert bench.received() == 28


def test_l10_a_reorganisation_that_moves_a_transaction_is_followed(bench: Bench) -> None:
    bench.submit("one", 7)
    before = bench.sender.wait("one", 5)
    bench.chain.mine(1)
    bench.rpc.call("anvil_reorg", 2, [])
    bench.sender.advance()
    bench.chain.mine(1)
    after = bench.sender.wait("one", 5)
    assert after.block_hash != before.block_hash
    assert after.attempts == before.attempts
    bench.chain.mine(3)
    assert [one.state for one in bench.sender.advance()] == [FINAL]
    assert bench.received() == 7


def test_l10_a_foreign_nonce_is_reported_and_never_replaced(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    sent = bench.submit("one", 7)
    bench.steal_nonce(bench.issuer)
    bench.chain.mine()
    [reported] = bench.sender.advance()
    assert reported.state is SIGNED, "a reorganisation may still give the nonce back"
    assert "not in this log" in (reported.reason or "")
    with pytest.raises(ChainUnavailable, match="not in this log"):
        bench.sender.wait("one", 0.1)
    bench.chain.mine(3)
    assert bench.sender.advance() == [], "nodes count a nonce a moment before they give a receipt"
    bench.clock.now += 5
    [lost] = bench.sender.advance()
    assert (lost.state, lost.block_number) == (REVERTED, None)
    assert lost.attempts == sent.attempts
    with pytest.raises(ChainRejected, match=f"nonce {sent.nonce} of {sent.account}"):
        bench.sender.wait("one", 5)
    assert bench.received() == 0
    bench.rpc.call("evm_setAutomine", True)
    assert bench.submit("two", 7).nonce == sent.nonce + 1
    bench.sender.wait("two", 5)


def test_a_reorganisation_gives_a_foreign_nonce_back(bench: Bench) -> None:
    bench.rpc.call("evm_setAutomine", False)
    bench.submit("one", 7)
    bench.steal_nonce(bench.issuer)
    bench.chain.mine()
    bench.sender.advance()
    bench.rpc.call("anvil_rollback", 1)
    bench.rpc.call("anvil_dropAllTransactions")
    assert [one.reason for one in bench.sender.advance()] == [None]
    bench.chain.mine()
    assert bench.sender.wait("one", 5).state is MINED
    assert bench.received() == 7


def test_an_account_without_coins_is_told_and_served_once_it_has_some(bench: Bench) -> None:
    poor = key_of("an account without coins")
    data = abi.encode_call("HKD", "approve", [bench.recipient, 1])
    told = bench.sender.submit("one", poor, bench.asset, data, gas=100_000)
    assert told.state is SIGNED
    assert "not taken by the node" in (told.reason or "")
    fund(bench.rpc, poor)
    assert [one.reason for one in bench.sender.advance()] == [None]
    assert bench.sender.wait("one", 5).reason is None


def test_many_calls_of_two_accounts_go_out_in_one_batch_once(bench: Bench) -> None:
    other = key_of("another sender of many")
    fund(bench.rpc, other)
    approve = abi.encode_call("HKD", "approve", [bench.recipient, 5])
    wanted = [bench.call(f"mint {n}", 2, 100_000) for n in range(50)]
    wanted += [Call(f"approve {n}", other, bench.asset, approve) for n in range(20)]
    sent = bench.sender.submit_many(wanted)
    assert [one.key for one in sent] == [call.key for call in wanted]
    again = bench.restarted().submit_many([*wanted, bench.call("one more", 1, 100_000)])
    assert [one.attempts for one in again[:-1]] == [one.attempts for one in sent]
    for one in again:
        bench.sender.wait(one.key, 5)
    assert bench.received() == 101
    with pytest.raises(InvalidValue, match="one key twice"):
        bench.sender.submit_many([wanted[0], wanted[0]])


def test_without_a_number_the_chains_own_finalised_block_decides(bench: Bench) -> None:
    sender = Sender(bench.rpc, bench.log, bench.clock, confirmations=None)
    bench.submit("one", 7)
    assert sender.wait("one", 5).state is MINED
    assert sender.advance() == []
    bench.chain.mine(70)  # Anvil finalises 64 chain blocks below its newest
    assert [one.state for one in sender.advance()] == [FINAL]


@pytest.mark.parametrize("seed", range(4))
def test_l10_through_random_reorganisations_each_transaction_counts_once(
    bench: Bench, seed: int
) -> None:
    dice = random.Random(seed)
    bench.chain.mine(8)
    bench.confirmations = 12
    bench.restarted()
    # Anvil mines by itself after it has answered, and a reorganisation at that moment breaks it.
    bench.rpc.call("evm_setAutomine", False)
    for number in range(25):
        bench.submit(f"key {number}", 1 + number, gas=100_000)
        if dice.random() < 0.7:
            bench.chain.mine()
        mishap = dice.choice(["none", "rollback", "reorg", "forget", "restart", "again"])
        if mishap == "rollback":
            bench.rpc.call("anvil_rollback", dice.randint(1, 4))
        elif mishap == "reorg":
            bench.rpc.call("anvil_reorg", dice.randint(1, 4), [])
        elif mishap == "forget":
            bench.rpc.call("anvil_dropAllTransactions")
        elif mishap == "restart":
            bench.restarted()
        elif mishap == "again":
            repeated = dice.randint(0, number)
            bench.submit(f"key {repeated}", 1 + repeated, gas=100_000)
        if dice.random() < 0.5:
            bench.sender.advance()
        bench.chain.mine(3)  # no history is shorter than what it replaces once it is final
    for _ in range(4):
        bench.sender.advance()
        bench.chain.mine(4)
    bench.sender.advance()
    rows = list(bench.log.rows.values())
    assert {row.state for row in rows} == {FINAL}
    assert sorted(row.nonce for row in rows) == list(range(rows[0].nonce, rows[0].nonce + 25))
    assert {len(row.attempts) for row in rows} == {1}
    assert bench.received() == sum(range(1, 26))
