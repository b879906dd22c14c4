"""L5: who appointed the signers. Deployers that keep powers, changes nobody could see coming."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from backend import audit
from backend.audit import Break, Status
from backend.chain import abi, blueprint, deployment
from backend.chain.compiler import compile_contracts, source_hash
from backend.chain.manifest import Deployment, Roles
from tests.audit.scene import GAS, RICH, Scene
from tests.audit.test_forged import about
from tests.chain_time import pass_time

pytestmark = pytest.mark.integration

DAY = 86_400
LOW_48 = (1 << 48) - 1
NEWCOMER = abi.checksum("0x" + "beef".rjust(40, "0"))
CUSTODIAN = 1


def schedule(scene: Scene, contract: str, data: bytes) -> None:
    """The admin schedules a call for the earliest moment that its delay allows."""
    args = (scene.deployment[contract], data, 0)
    call = abi.encode_call("AccessManager", "schedule", args)
    scene.send(scene.key("admin"), "AccessManager", call)


def carry_out(scene: Scene, contract: str, function: str, args: Sequence[Any], days: int) -> None:
    """The admin schedules a call, waits and makes it."""
    data = abi.encode_call(contract, function, args)
    schedule(scene, contract, data)
    pass_time(scene.rpc.call, days * DAY + 1)
    scene.send(scene.key("admin"), contract, data)


def shorten(scene: Scene, role: int, seconds: int) -> None:
    """Change the admin's delay in a role behind the manager's back."""
    views = ("hasRole", role, scene.key("admin").address)
    (slot,) = [
        slot for slot in scene.slots("AccessManager", *views) if scene.word("AccessManager", slot)
    ]
    since = scene.word("AccessManager", slot) & LOW_48
    scene.store("AccessManager", slot, since | seconds << 48)


def l5(scene: Scene) -> audit.LawReport:
    return scene.audit().laws["L5"]


# ------------------------------------------------------------------ what holds


def test_l5_an_honest_set_up_holds_and_says_how_many_roles_it_looked_at(scene: Scene) -> None:
    law = l5(scene)
    assert law.status is Status.HOLDS
    assert law.figures["roles_checked"] == len(blueprint.role_holders(scene.deployment.roles))
    functions = sum(len(names) for _, names, _ in blueprint.FUNCTION_ROLES)
    assert law.figures["function_roles"] == functions
    assert (law.figures["operations"], law.figures["changes_after_set_up"]) == (0, 0)


def test_l5_a_signer_and_a_role_given_after_their_delays_hold(scene: Scene) -> None:
    carry_out(scene, "Trust", "setSigner", (NEWCOMER, CUSTODIAN), 3)
    grant = (blueprint.REGISTRAR, NEWCOMER, 0)
    carry_out(scene, "AccessManager", "grantRole", grant, 7)
    data = abi.encode_call("LegalOrders", "setThresholds", (1, 1))
    schedule(scene, "LegalOrders", data)
    pass_time(scene.rpc.call, 3 * DAY + 1)
    through = abi.encode_call("AccessManager", "execute", (scene.deployment["LegalOrders"], data))
    scene.send(scene.key("admin"), "AccessManager", through)
    law = l5(scene)
    assert (law.status, law.breaks) == (Status.HOLDS, ())
    assert law.figures["changes_after_set_up"] == law.figures["operations"] == 3
    assert law.figures["roles_checked"] == 7


# ------------------------------------------------------------------- deployers


def dishonest(scene: Scene, path: Path, monkeypatch: pytest.MonkeyPatch, steps: Any) -> Deployment:
    """A second deployment whose set-up is another than the blueprint's, and unverified."""
    honest = blueprint.set_up
    monkeypatch.setattr(blueprint, "set_up", lambda drawn: steps(honest(drawn)))
    monkeypatch.setattr(deployment, "verify", lambda *_, **__: None)
    holders = {(role, who) for role, who, _ in blueprint.role_holders(scene.deployment.roles)}
    monkeypatch.setattr(deployment, "role_members", lambda *_: holders)
    key, roles = scene.key("deployer"), scene.deployment.roles
    return deployment.deploy(scene.rpc, key, roles, path, compile_contracts(), source_hash())


def l5_of(scene: Scene, path: Path) -> list[Break]:
    law = audit.run(scene.anvil.url, path, compare_source=False).laws["L5"]
    assert law.status is Status.BROKEN
    return list(law.breaks)


def call_as(scene: Scene, account: str, target: str, data: bytes) -> None:
    scene.rpc.call("anvil_setBalance", account, RICH)
    scene.rpc.call("anvil_impersonateAccount", account)
    call = {"from": account, "to": target, "data": "0x" + data.hex(), "gas": hex(GAS)}
    sent = scene.rpc.call("eth_sendTransaction", call)
    while (receipt := scene.rpc.call("eth_getTransactionReceipt", sent)) is None:
        scene.rpc.call("evm_mine")
    assert receipt["status"] == "0x1"
    scene.rpc.call("anvil_stopImpersonatingAccount", account)


def test_l5_a_deployer_that_kept_its_powers_and_made_itself_signers_is_found(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deployment.json"
    made = dishonest(scene, path, monkeypatch, lambda steps: steps[:-1])
    deployer = scene.key("deployer").address
    about(l5_of(scene, path), f"the deployer {deployer} never renounced")
    grant = abi.encode_call("AccessManager", "grantRole", (blueprint.SIGNERS_ADMIN, deployer, 0))
    call_as(scene, deployer, made["AccessManager"], grant)
    signer = abi.encode_call("Trust", "setSigner", (NEWCOMER, CUSTODIAN))
    call_as(scene, deployer, made["Trust"], signer)
    breaks = l5_of(scene, path)
    about(breaks, f"the deployer {deployer} holds ADMIN")
    about(breaks, f"the deployer {deployer} holds SIGNERS_ADMIN")
    about(breaks, f"{deployer} holds SIGNERS_ADMIN with a delay of 0 s, 259200 s are needed")
    about(breaks, f"SignerSet(signer={NEWCOMER}, role=1) during the set-up")


def test_l5_a_deployer_that_renounced_after_it_had_left_something_out_is_found(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deployment.json"
    dishonest(scene, path, monkeypatch, lambda steps: steps[1:])
    custodian = scene.key("custodian").address
    about(l5_of(scene, path), f"the set-up did not make {custodian} a signer")


def test_l5_other_first_signers_than_the_file_names_are_found(scene: Scene) -> None:
    content = json.loads(scene.path.read_text())
    roles = Roles.from_json(content["roles"])
    content["roles"] = roles.as_json() | {"attestors": [NEWCOMER]}
    path = scene.directory / "other-signers.json"
    path.write_text(json.dumps(content))
    breaks = l5_of(scene, path)
    about(breaks, f"SignerSet(signer={scene.key('attestor').address}, role=2) during the set-up")
    about(breaks, f"the set-up did not make {NEWCOMER} a signer")


# --------------------------------------------------------------- after set-up


def test_l5_a_signer_set_without_a_scheduled_operation_is_found(scene: Scene) -> None:
    shorten(scene, blueprint.SIGNERS_ADMIN, 0)
    data = abi.encode_call("Trust", "setSigner", (NEWCOMER, CUSTODIAN))
    scene.send(scene.key("admin"), "Trust", data)
    breaks = scene.breaks("L5")
    found = about(breaks, f"SignerSet(signer={NEWCOMER}, role=1) without a scheduled operation")
    assert found.amounts["needed_seconds"] == 3 * DAY
    assert found.transaction is not None
    about(breaks, "holds SIGNERS_ADMIN with a delay of 0 s")


def test_l5_thresholds_set_too_early_are_found(scene: Scene) -> None:
    shorten(scene, blueprint.SIGNERS_ADMIN, DAY)
    carry_out(scene, "LegalOrders", "setThresholds", (1, 1), 1)
    found = about(scene.breaks("L5"), "after it was scheduled, 259200 s are needed")
    assert DAY <= int(found.amounts["waited_seconds"]) < 3 * DAY


def test_l5_an_admin_that_gives_itself_a_shorter_delay_is_found(scene: Scene) -> None:
    admin = scene.key("admin").address
    carry_out(scene, "AccessManager", "grantRole", (blueprint.ADMIN, admin, 60), 7)
    about(scene.breaks("L5"), f"{admin} holds ADMIN with a delay of 60 s, 604800 s are needed")


def test_l5_a_deployer_that_got_a_role_back_is_found(scene: Scene) -> None:
    deployer = scene.key("deployer").address
    carry_out(scene, "AccessManager", "grantRole", (blueprint.FACTS, deployer, 0), 7)
    about(scene.breaks("L5"), f"the deployer {deployer} holds FACTS")


def test_l5_signer_management_handed_to_a_role_that_acts_at_once_is_found(scene: Scene) -> None:
    args = (
        scene.deployment["Trust"],
        [abi.selector("Trust", "setSigner")],
        blueprint.REGISTRAR,
    )
    carry_out(scene, "AccessManager", "setTargetFunctionRole", args, 7)
    registrar = scene.key("registrar").address
    about(scene.breaks("L5"), f"{registrar} holds REGISTRAR with a delay of 0 s, 259200 s")


def test_l5_a_role_stored_without_a_log_is_found(scene: Scene) -> None:
    deployer = scene.key("deployer").address
    (slot,) = scene.slots("AccessManager", "hasRole", blueprint.ADMIN, deployer)
    scene.store("AccessManager", slot, 1)
    about(scene.breaks("L5"), f"{deployer} holds ADMIN, other than was published")


# ------------------------------------------------------------------ the Exchange


def without(what: str) -> Any:
    """A set-up that leaves one step out."""
    return lambda steps: [step for step in steps if step.what != what]


@pytest.mark.parametrize(
    ("left_out", "found"),
    [
        ("Exchange.setKeys", "Exchange: the set-up gave it no keys"),
        ("Exchange.setFeePayees", "Exchange: the set-up named nobody to pay its fees to"),
        ("Exchange.setAsset", "Exchange: the set-up did not list 0x"),
        ("Participants.addCausewayContract", "the set-up did not make Exchange a contract"),
    ],
)
def test_l5_a_set_up_that_left_the_exchange_unfinished_is_found(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str, found: str
) -> None:
    path = tmp_path / "deployment.json"
    dishonest(scene, path, monkeypatch, without(left_out))
    about(l5_of(scene, path), found)


def test_l5_keys_payees_and_assets_changed_after_their_delays_hold(scene: Scene) -> None:
    carry_out(scene, "Exchange", "setKeys", (scene.key("sequencer").address, NEWCOMER), 3)
    carry_out(scene, "Exchange", "setAsset", (scene.deployment["USD"], False), 7)
    carry_out(scene, "Exchange", "setFeePayees", (NEWCOMER, NEWCOMER, 0), 7)
    pause = abi.encode_call("Exchange", "pause", ())
    scene.send(scene.key("guardian"), "Exchange", pause)
    carry_out(scene, "Exchange", "unpause", (), 3)
    scene.send(scene.key("guardian"), "Exchange", pause)
    law = l5(scene)
    assert (law.status, law.breaks) == (Status.HOLDS, ())
    assert law.figures["changes_after_set_up"] == law.figures["operations"] == 4


def test_l5_keys_of_the_exchange_set_without_a_scheduled_operation_are_found(scene: Scene) -> None:
    shorten(scene, blueprint.SIGNERS_ADMIN, 0)
    data = abi.encode_call("Exchange", "setKeys", (scene.key("sequencer").address, NEWCOMER))
    scene.send(scene.key("admin"), "Exchange", data)
    found = about(scene.breaks("L5"), "KeysSet(")
    assert "without a scheduled operation" in found.what
    assert found.amounts["needed_seconds"] == 3 * DAY


@pytest.mark.parametrize(
    ("contract", "function", "role", "needed"),
    [
        ("Exchange", "setKeys", blueprint.REGISTRAR, 3 * DAY),
        ("Exchange", "unpause", blueprint.GUARDIAN, 3 * DAY),
        ("Exchange", "setAsset", blueprint.SIGNERS_ADMIN, 7 * DAY),
        ("Exchange", "setFeePayees", blueprint.SIGNERS_ADMIN, 7 * DAY),
        ("Participants", "addCausewayContract", blueprint.REGISTRAR, 7 * DAY),
    ],
)
def test_l5_a_power_handed_to_a_role_with_a_shorter_delay_is_found(
    scene: Scene, contract: str, function: str, role: int, needed: int
) -> None:
    args = (scene.deployment[contract], [abi.selector(contract, function)], role)
    carry_out(scene, "AccessManager", "setTargetFunctionRole", args, 7)
    about(scene.breaks("L5"), f", {needed} s are needed")


def test_l5_an_exchange_that_is_stored_as_somebody_else_is_found(scene: Scene) -> None:
    exchange = scene.deployment["Exchange"]
    (slot,) = scene.slots("Participants", "participant", exchange)
    scene.store("Participants", slot, scene.word("Participants", slot) - 254)
    about(scene.breaks("L5"), f"Participants: participant({exchange}) is {{'tier': 1")
