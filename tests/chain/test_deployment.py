"""A deployment happens once, survives kills at every request, and is what its file says."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from backend.chain import abi, blueprint, manifest
from backend.chain.compiler import CompiledContract
from backend.chain.deployment import deploy, verify
from backend.chain.fees import current_fees
from backend.chain.keys import Key
from backend.chain.manifest import DeployedContract, Deployment
from backend.chain.rawtx import MAX_TRANSACTION_GAS, sign_transaction
from backend.chain.rpc import Rpc
from backend.errors import ChainRejected, ChainUnavailable, DeploymentMismatch, InvalidValue
from tests.chain.conftest import Chain, fund, key_of, some_roles
from tests.chain_time import pass_time

pytestmark = pytest.mark.integration

CREATED = (*blueprint.CORE, *blueprint.ASSETS)
SETTINGS = {**blueprint.SETTINGS, "legal_order_delay": 1}


@pytest.fixture
def empty(chain: Chain, tmp_path: Path) -> Iterator[Rpc]:
    """The chain with everything of this test undone afterwards; the deployer starts anew."""
    snapshot = chain.rpc.call("evm_snapshot")
    chain.rpc.call("evm_setAutomine", True)
    yield chain.rpc
    chain.rpc.call("anvil_dropAllTransactions")
    chain.rpc.call("evm_revert", snapshot)
    chain.rpc.call("evm_setAutomine", True)


class Site:
    """Where a test deploys: one file, one deployer."""

    def __init__(
        self, rpc: Rpc, path: Path, compiled: dict[str, CompiledContract], sources: str
    ) -> None:
        self.rpc, self.path, self.compiled, self.sources = rpc, path, compiled, sources
        self.deployer = key_of("deployer")

    def deploy(self, **changes: Any) -> Deployment:
        wanted = {"roles": some_roles(), "sources": self.sources} | changes
        return deploy(
            self.rpc,
            self.deployer,
            wanted.pop("roles"),
            self.path,
            self.compiled,
            wanted.pop("sources"),
            **wanted,
        )

    def nonce(self) -> int:
        return int(self.rpc.call("eth_getTransactionCount", self.deployer.address, "latest"), 16)

    def die_before_request(self, number: int) -> int:
        """Exit code of a process that deploys and is killed; 0 when it was done before."""
        child = os.fork()
        if child == 0:
            # A copy of this process: what it has compiled is there, and it dies as any other.
            try:
                self.rpc = MortalRpc(self.rpc.url)
                self.rpc.left = number
                self.deploy()
            except BaseException:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class MortalRpc(Rpc):
    """An endpoint's client whose process dies before it sends so many more requests."""

    left = 0

    def _post(self, body: bytes, repeatable: bool) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._post(body, repeatable)


@pytest.fixture
def site(empty: Rpc, tmp_path: Path, compiled: dict[str, CompiledContract], sources: str) -> Site:
    return Site(empty, tmp_path / "deployments" / "31337.json", compiled, sources)


def test_the_file_of_a_deployment_reads_back_as_it_was(chain: Chain) -> None:
    deployment = Deployment.load(chain.path)
    assert deployment == chain.deployment
    raw = orjson.loads(chain.path.read_bytes())
    assert raw["complete"] is True
    assert list(raw["contracts"]) == list(CREATED)
    assert set(raw["contracts"]["Trust"]) == set(DeployedContract.__dataclass_fields__)
    assert deployment.name_of(deployment["Trust"].lower()) == "Trust"
    assert deployment.name_of(key_of("nobody").address) is None
    with pytest.raises(DeploymentMismatch, match="has no Bazaar"):
        deployment["Bazaar"]


def test_no_transaction_of_a_deployment_reaches_the_gas_limit(chain: Chain) -> None:
    last = chain.rpc.block_number()
    used = [
        int(receipt["gasUsed"], 16)
        for number in range(1, last + 1)
        for receipt in chain.rpc.call("eth_getBlockReceipts", hex(number))
    ]
    assert len(used) > len(CREATED)
    assert max(used) < MAX_TRANSACTION_GAS


def test_every_power_is_where_the_roles_say_and_delayed(chain: Chain) -> None:
    verify(chain.rpc, chain.deployment)
    roles = chain.deployment.roles
    target = chain.deployment["Trust"]
    for function, caller, wanted in (
        ("setSigner", roles.admin, (False, blueprint.SIGNER_DELAY)),
        ("setThresholds", roles.admin, (False, blueprint.SIGNER_DELAY)),
        ("setSigner", roles.guardian, (False, 0)),
        ("setSigner", roles.registrar, (False, 0)),
        ("setSigner", chain.deployment.deployer, (False, 0)),
    ):
        args = (caller, target, abi.selector("Trust", function))
        assert _may(chain, *args) == wanted, (function, caller)
    participants = chain.deployment["Participants"]
    admit = abi.selector("Participants", "admit")
    assert _may(chain, roles.registrar, participants, admit) == (True, 0)
    assert _may(chain, roles.admin, participants, admit) == (False, 0)
    add = abi.selector("Participants", "addCausewayContract")
    assert _may(chain, roles.admin, participants, add) == (False, blueprint.ADMIN_DELAY)


def _may(chain: Chain, caller: str, target: str, selector: bytes) -> tuple[bool, int]:
    data = abi.encode_call("AccessManager", "canCall", [caller, target, selector])
    raw = chain.rpc.eth_call(chain.deployment["AccessManager"], data)
    answer = abi.decode_result("AccessManager", "canCall", raw)
    return answer["immediate"], answer["delay"]


def _send(chain: Chain, key: Key, contract: str, function: str, *args: Any) -> None:
    data = abi.encode_call(contract, function, args)
    chain.rpc.call("anvil_impersonateAccount", key.address)
    fund(chain.rpc, key)
    sent = {"from": key.address, "to": chain.deployment[contract], "data": "0x" + data.hex()}
    estimated = chain.rpc.call("eth_estimateGas", sent)
    chain.rpc.call("eth_sendTransaction", sent | {"gas": estimated})


def test_the_guardian_cancels_what_the_admin_scheduled_but_not_its_own_replacement(
    chain: Chain, empty: Rpc
) -> None:
    admin, guardian = key_of("admin"), key_of("guardian")
    manager = chain.deployment["AccessManager"]
    grant = abi.encode_call("AccessManager", "grantRole", [0, key_of("thief").address, 0])
    replace_guardian = abi.encode_call("AccessManager", "setRoleGuardian", [3, 77])
    with pytest.raises(ChainRejected, match="AccessManagerNotScheduled"):
        _send(chain, admin, "AccessManager", "grantRole", 0, key_of("thief").address, 0)
    for data in (grant, replace_guardian):
        _send(chain, admin, "AccessManager", "schedule", manager, data, 0)
    _send(chain, guardian, "AccessManager", "cancel", admin.address, manager, grant)
    with pytest.raises(ChainRejected, match="AccessManagerUnauthorizedCancel"):
        _send(chain, guardian, "AccessManager", "cancel", admin.address, manager, replace_guardian)
    signer = abi.encode_call("Trust", "setSigner", [key_of("thief").address, 1])
    _send(chain, admin, "AccessManager", "schedule", chain.deployment["Trust"], signer, 0)
    with pytest.raises(ChainRejected, match="AccessManagerNotReady"):
        _send(chain, admin, "Trust", "setSigner", key_of("thief").address, 1)
    pass_time(empty.call, blueprint.SIGNER_DELAY)
    _send(chain, admin, "Trust", "setSigner", key_of("thief").address, 1)
    roles = chain.deployment.roles
    thief = key_of("thief").address
    verify(
        chain.rpc,
        replace(chain.deployment, roles=replace(roles, custodians=(*roles.custodians, thief))),
    )
    as_attestor = replace(roles, attestors=(*roles.attestors, thief))
    with pytest.raises(DeploymentMismatch, match=rf"Trust.role\({thief}\) is 1, .* needs 2"):
        verify(chain.rpc, replace(chain.deployment, roles=as_attestor))


def test_deploying_twice_sends_nothing(site: Site) -> None:
    first = site.deploy()
    nonce = site.nonce()
    assert site.deploy() == first
    assert site.nonce() == nonce


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sources": "0x" + "00" * 32}, "source hash"),
        ({"settings": {"legal_order_delay": 1}}, "settings"),
        ({"roles": replace(some_roles(), registrar=key_of("other").address)}, "roles"),
    ],
)
def test_a_deployment_of_other_things_is_refused_and_stays(
    site: Site, changes: dict[str, Any], what: str
) -> None:
    site.deploy()
    before = site.path.read_bytes()
    with pytest.raises(DeploymentMismatch, match=f"another {what}"):
        site.deploy(**changes)
    assert site.path.read_bytes() == before


def test_l10_killed_before_every_request_it_still_deploys_exactly_once(site: Site) -> None:
    start, killed = site.nonce(), 0
    drawn = blueprint.draw(
        site.deployer.address, start, some_roles(), test_assets=True, settings=SETTINGS
    )
    steps = len(CREATED) + len(blueprint.set_up(drawn))
    for request in range(1, 60, 3):
        snapshot = site.rpc.call("evm_snapshot")
        code = site.die_before_request(request)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        if site.path.exists():
            with pytest.raises(DeploymentMismatch, match="not complete"):
                Deployment.load(site.path)
        deployment = site.deploy()
        assert site.nonce() == start + steps, "every nonce of the plan used once"
        assert deployment["AccessManager"] == blueprint.created_address(
            site.deployer.address, start
        )
        verify(site.rpc, deployment, compiled=site.compiled)
        site.path.unlink()
        site.rpc.call("evm_revert", snapshot)
    assert killed >= 6


def test_a_plan_goes_on_where_the_chain_has_forgotten_it(site: Site) -> None:
    site.rpc.call("evm_setAutomine", False)
    with pytest.raises(ChainUnavailable, match="create AccessManager is not mined"):
        site.deploy(timeout=0.2)
    plan = manifest.read_file(site.path)
    assert plan is not None
    site.rpc.call("anvil_dropAllTransactions")
    site.rpc.call("evm_setAutomine", True)
    deployment = site.deploy()
    planned = {name: contract["address"] for name, contract in plan["contracts"].items()}
    assert {name: one.address for name, one in deployment.contracts.items()} == planned
    nonces = [step["nonce"] for step in plan["steps"] if step["to"] is None]
    sent = [
        site.rpc.call("eth_getTransactionByHash", one.transaction)
        for one in deployment.contracts.values()
    ]
    assert [int(one["nonce"], 16) for one in sent] == nonces, "whichever attempt was mined"
    assert site.nonce() == plan["steps"][-1]["nonce"] + 1, "every nonce of the plan used once"


def test_blocks_that_come_late_are_waited_for(site: Site) -> None:
    site.rpc.call("evm_setAutomine", False)
    done = threading.Event()

    def mine() -> None:
        while not done.wait(0.05):
            site.rpc.call("evm_mine")

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        deployment = site.deploy(confirmations=3)
    finally:
        done.set()
        miner.join()
    assert site.rpc.block_number() >= deployment.deployed_at_block + 3


def test_a_stuck_plan_offers_more_for_the_same_nonces(site: Site) -> None:
    site.rpc.call("evm_setAutomine", False)
    with pytest.raises(ChainUnavailable):
        site.deploy(timeout=0.3, bump_after=0.2)
    plan = manifest.read_file(site.path)
    assert plan is not None
    old, new = plan["steps"][0]["attempts"]
    assert new["fees"][0] * 8 >= old["fees"][0] * 9
    site.rpc.call("evm_setAutomine", True)
    site.rpc.call("evm_mine")
    verify(site.rpc, site.deploy())


def test_a_foreign_transaction_on_the_deployers_nonce_starts_a_new_plan(site: Site) -> None:
    site.rpc.call("evm_setAutomine", False)
    with pytest.raises(ChainUnavailable):
        site.deploy(timeout=0.1)
    first = manifest.read_file(site.path)
    site.rpc.call("anvil_dropAllTransactions")
    fees = current_fees(site.rpc)
    _, raw = sign_transaction(
        site.deployer,
        chain_id=site.rpc.chain_id(),
        nonce=site.nonce(),
        to=site.deployer.address,
        data=b"",
        gas=30_000,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
    )
    site.rpc.call("evm_setAutomine", True)
    site.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    deployment = site.deploy()
    assert first is not None
    assert deployment["Trust"] != first["contracts"]["Trust"]["address"]
    verify(site.rpc, deployment)


def test_a_file_that_says_what_the_chain_does_not_hold_is_refused(chain: Chain) -> None:
    held = chain.deployment
    trust = held.contracts["Trust"]
    moved = replace(trust, address=key_of("nobody").address)
    other = replace(trust, bytecode_hash=held.contracts["HKD"].bytecode_hash)
    asset = held.contracts["HKD"]
    swapped = dict(held.contracts) | {"Trust": asset}
    for contracts, message in (
        (dict(held.contracts) | {"Trust": moved}, "the chain has no contract"),
        (dict(held.contracts) | {"Trust": other}, "the file says"),
        (swapped, "CarbonCredits.TRUST|Trust.authority|reverted|refused"),
    ):
        with pytest.raises((DeploymentMismatch, ChainRejected), match=message):
            verify(chain.rpc, replace(held, contracts=contracts))
    with pytest.raises(DeploymentMismatch, match="for chain 1, this is"):
        verify(chain.rpc, replace(held, chain_id=1))
    with pytest.raises(DeploymentMismatch, match="delay"):
        verify(chain.rpc, replace(held, settings=SETTINGS | {"legal_order_delay": 5}))


@pytest.mark.parametrize("setting", [setting for _, _, setting in blueprint.FIXED])
def test_times_that_the_contracts_do_not_hold_are_refused(chain: Chain, setting: str) -> None:
    held = chain.deployment
    other = dict(held.settings) | {setting: held.settings[setting] + 1}
    with pytest.raises(DeploymentMismatch, match=rf"is {held.settings[setting]}, .* needs"):
        verify(chain.rpc, replace(held, settings=other))
    del other[setting]
    with pytest.raises(DeploymentMismatch, match=f"has no setting {setting}"):
        verify(chain.rpc, replace(held, settings=other))


def test_an_exchange_with_other_keys_payees_or_assets_is_refused(chain: Chain, empty: Rpc) -> None:
    held, other = chain.deployment, key_of("other").address
    for role, getter in (
        ("sequencer", "keys"), ("watcher", "keys"),
        ("fee_operator", "feePayees"), ("fee_developer", "feePayees"),
    ):  # fmt: skip
        with pytest.raises(DeploymentMismatch, match=rf"Exchange\.{getter}\(\) is"):
            verify(chain.rpc, replace(held, roles=replace(held.roles, **{role: other})))
    share = dict(held.settings) | {"developer_share_bps": 1}
    with pytest.raises(DeploymentMismatch, match=r"Exchange\.feePayees"):
        verify(chain.rpc, replace(held, settings=share))
    data = abi.encode_call("Exchange", "setAsset", (held["USD"], False))
    _send(chain, key_of("admin"), "AccessManager", "schedule", held["Exchange"], data, 0)
    pass_time(empty.call, blueprint.ADMIN_DELAY)
    _send(chain, key_of("admin"), "Exchange", "setAsset", held["USD"], False)
    with pytest.raises(DeploymentMismatch, match=r"Exchange\.isListed\(.*\) is False"):
        verify(chain.rpc, held)
    verify(chain.rpc, held, with_roles=False)


def test_powers_over_the_exchange_are_delayed_but_for_the_guardians_pause(chain: Chain) -> None:
    roles, target = chain.deployment.roles, chain.deployment["Exchange"]
    for function, caller, wanted in (
        ("pause", roles.guardian, (True, 0)),
        ("pause", roles.admin, (False, 0)),
        ("unpause", roles.guardian, (False, 0)),
        ("unpause", roles.admin, (False, blueprint.SIGNER_DELAY)),
        ("setKeys", roles.admin, (False, blueprint.SIGNER_DELAY)),
        ("setAsset", roles.admin, (False, blueprint.ADMIN_DELAY)),
        ("setFeePayees", roles.admin, (False, blueprint.ADMIN_DELAY)),
        ("setKeys", roles.sequencer, (False, 0)),
        ("setKeys", chain.deployment.deployer, (False, 0)),
    ):
        args = (caller, target, abi.selector("Exchange", function))
        assert _may(chain, *args) == wanted, (function, caller)


def test_two_processes_that_deploy_into_one_file_make_one_deployment(site: Site) -> None:
    start = site.nonce()
    results: list[Deployment] = []
    threads = [threading.Thread(target=lambda: results.append(site.deploy())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]
    assert results[0]["AccessManager"] == blueprint.created_address(site.deployer.address, start)


def test_without_test_assets_there_are_only_the_core_contracts(site: Site) -> None:
    assert tuple(site.deploy(test_assets=False).contracts) == blueprint.CORE


def test_the_deployer_can_keep_no_role(site: Site) -> None:
    roles = replace(some_roles(), registrar=site.deployer.address)
    with pytest.raises(InvalidValue, match="must keep no role"):
        site.deploy(roles=roles)
