"""What programmes do to credits in trust, from the command to the last kilogram (L3, L8, L11)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from backend.api.app import create_app
from backend.audit import run
from backend.domain.classes import ClassFlag
from backend.domain.commands import FlagClass
from backend.domain.deliveries import State
from backend.domain.serials import Interval, merge
from backend.exchange.feed import fact_of
from backend.store.custody import Custody as CustodyStore
from backend.store.queries import lookup
from backend.store.queries.conversions import claim_of, claimed_by, list_conversions
from backend.store.queries.reserve import get_reserve
from backend.store.queries.shortfalls import Shortfall, shortfalls_of
from backend.store.queries.venue_facts import facts_after
from tests.api.conftest import ALONE, serving
from tests.bridge.scene import BUYER, Desk, Scene, breaks_of
from tests.chain_time import pass_time
from tests.indexer.world import LABELS, VCS, a_class

pytestmark = pytest.mark.integration

DAY = 86_400
BECAUSE = ("--reason", "the programme says so", "--as-of", "2026-02-01")


def short(scene: Scene, desk: Desk) -> Shortfall:
    with scene.database.read() as connection:
        return shortfalls_of(connection, [desk.class_id])[desk.class_id]


def flags_of_the_venue(scene: Scene, desk: Desk) -> list[int]:
    """What a venue journals of the class: while its flags are not 0 nothing of it is traded."""
    with scene.database.read() as connection:
        found = facts_after(connection, (-1, -1), 2**31, 100_000)
    facts = [fact_of(f.contract, f.name, f.args, f.block, f.log_index) for f in found]
    own = [one for one in facts if isinstance(one, FlagClass) and one.instrument == desk.class_id]
    return [one.flags for one in own]


def event_list(scene: Scene, desk: Desk) -> list[tuple[str, str | None]]:
    """Kinds and tonnes, oldest first, as the command shows them."""
    found = scene.command("event", "list", str(desk.class_id))["events"]
    return [(one["kind"], one["tonnes"]) for one in found]


def refused(scene: Scene, *words: str) -> str:
    """What a command says that the contracts refuse; nothing was sent then."""
    done = scene.command(*words, expect=1)
    assert done["error"] == "chain-rejected", done
    return str(done["message"])


def send(scene: Scene, holder: int, contract: str, function: str, *args: Any) -> None:
    who = scene.world.holders[holder]
    scene.world.send_all([scene.world.sign(who, contract, function, *args)])


def test_l8_a_hold_stops_mint_trade_retirement_and_delivery_and_no_exit(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    number = desk.deliver(5)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    asset = str(desk.class_id)
    scene.signed("event", "publish", "hold", asset, *BECAUSE)

    retiring = refused(scene, "retire", asset, "1t", "--from", "holder-0")
    assert "CreditsClassHalted" in retiring
    delivering = ("deliver", asset, "1", "--from", "holder-0", "--account", BUYER)
    assert "CreditsClassHalted" in refused(scene, *delivering)
    assert flags_of_the_venue(scene, desk) == [ClassFlag.HOLD]
    waiting = desk.notice(desk.issue(21, 30))
    receipts = CustodyStore(scene.database)
    scene.settle(
        lambda: any("CreditsClassHalted" in (r.reason or "") for r in receipts.open_receipts())
    )

    # Into the venue and, without its operator, out again; and the delivery comes back.
    me, venue = scene.world.holders[0], scene.world.deployment["Exchange"]
    scene.world.send_all([scene.world.transfer(me, venue, desk.class_id, 3_000)])
    send(scene, 0, "Exchange", "requestExit", [desk.class_id])
    window = scene.world.contracts.read("Exchange", "WINDOW")
    pass_time(scene.world.rpc.call, 5 * window // 2)
    send(scene, 0, "Exchange", "executeExit", me.address, [desk.class_id])
    send(scene, 0, "Exchange", "claim", me.address, desk.class_id)
    assert desk.balance() == 15_000
    scene.registry.answer_transfer(reference, "reject")
    rejected = scene.bridge.deliveries.on_chain
    scene.settle(lambda: rejected(number).phase.state is State.REJECTED)
    desk.refund(number)
    assert desk.balance() == 20_000

    scene.signed("event", "publish", "release", asset, *BECAUSE)
    assert flags_of_the_venue(scene, desk) == [ClassFlag.HOLD, 0]
    assert scene.ended("deposit", waiting).state == "minted"
    assert scene.ended("certificate", desk.retire(2_000)).state == "confirmed"
    assert event_list(scene, desk) == [("hold", None), ("release", None)]


def test_a_label_that_reaches_a_whole_class_is_a_dated_fact_and_nothing_stops(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 3))
    words = ("label-gained", str(desk.class_id), "--subject", "ccp", *BECAUSE)
    scene.signed("event", "publish", *words)
    (found,) = scene.command("event", "list", str(desk.class_id))["events"]
    assert (found["kind"], found["subject"], found["as_of"]) == ("label_gained", "ccp", "20260201")
    assert len(found["signers"]) == 2
    assert flags_of_the_venue(scene, desk) == []
    assert scene.ended("certificate", desk.retire(1_000)).state == "confirmed"


def test_l3_what_a_programme_invalidates_is_a_gap_until_others_stand_in_its_place(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    asset = str(desk.class_id)
    dead = f"VCS:2/{desk.base + 9}-{desk.base + 12}"
    where = ("--first-position", "8", "--serials", dead)
    scene.signed("event", "invalidate", asset, *where, *BECAUSE)
    lacking = short(scene, desk)
    assert (lacking.uncovered, lacking.flags) == (4, ClassFlag.GAP)
    shown = scene.command("reserve", "show")["halted"]
    (own,) = [one for one in shown if one["class_id"] == asset]
    assert (own["uncovered"], own["gaps"][0]["first"], own["gaps"][0]["kind"]) == (
        "4",
        "8",
        "invalidated",
    )
    assert flags_of_the_venue(scene, desk) == [ClassFlag.GAP]
    waiting = desk.notice(desk.issue(21, 25))
    receipts = CustodyStore(scene.database)
    scene.settle(
        lambda: any("CreditsClassHalted" in (r.reason or "") for r in receipts.open_receipts())
    )

    # Asked for 9 t, and 8 t stand before the gap of 4 t at position 8.
    told = refused(scene, "retire", asset, "9t", "--from", "holder-0")
    assert "GapReached" in told
    for figure in ("asked=9", "before=8", "gapFirst=8", "gapTonnes=4"):
        assert figure in told
    assert scene.ended("certificate", desk.retire(8_000)).state == "confirmed"
    # The cursor has reached the gap: it is passed, and what is taken lies behind it.
    assert scene.ended("certificate", desk.retire(2_000)).state == "confirmed"
    assert desk.confirmed() == [Interval(VCS, 1, 8), Interval(VCS, 13, 14)]
    assert short(scene, desk).gaps[0].first == 20

    new = desk.issue(101, 104)
    scene.signed(
        "event", "substitute", asset, "--first-position", "8", "--serials", str(new), *BECAUSE
    )
    assert (short(scene, desk).uncovered, short(scene, desk).flags) == (0, 0)
    assert scene.ended("deposit", waiting).state == "minted"
    # Beside the new serials the old ones stand for ever, and no retirement finds them.
    assert event_list(scene, desk) == [("invalidation", "4"), ("substitution", "4")]
    with scene.database.read() as connection:
        held = lookup.position_map(connection, desk.class_id)
    assert [piece.serials for piece in held.pieces(8, 12)] == [desk.serials(9, 12)]
    assert [piece.serials for piece in held.pieces(20, 24)] == [desk.serials(101, 104)]
    assert scene.ended("certificate", desk.retire(15_000)).state == "confirmed"
    taken = [Interval(VCS, 1, 8), Interval(VCS, 13, 25), Interval(VCS, 101, 104)]
    assert desk.at_registry("retired") == merge(desk.confirmed()) == taken
    assert desk.balance() == 0
    assert breaks_of(scene, desk) == []


def test_l11_a_label_split_is_claimed_pro_rata_and_conserves_every_kilogram(
    scene: Scene, desk: Desk
) -> None:
    world = scene.world
    desk.deposit(desk.issue(1, 20))
    for holder, kilograms in ((1, 3_333), (2, 30)):
        to = world.holders[holder].address
        world.send_all([world.transfer(world.holders[0], to, desk.class_id, kilograms)])
    scene.step()

    first = split(scene, desk, 0, 7, LABELS[0])
    # A wallet pays out what it holds of the old class; the rest when it holds it again.
    me, you = world.holders[0], world.holders[1]
    world.send_all([world.transfer(you, me.address, desk.class_id, 2_833)])
    assert claim(scene, first, 1) == 500
    world.send_all([world.transfer(me, you.address, desk.class_id, 2_833)])
    assert [claim(scene, first, holder) for holder in range(3)] == [5_823, 667, 10]
    assert "ConversionDone" in refused(scene, "event", "claim", first, "holder-0")
    # Of the second nothing falls to what the first has locked.
    second = split(scene, desk, 7, 4, *LABELS)
    assert sum(claim(scene, second, holder) for holder in range(3)) == 4_000

    ours = [
        int(a_class(desk.project, *labels, year=2023).token_id) for labels in (LABELS[:1], LABELS)
    ]
    supplies = [world.contracts.total_supply(one) for one in (desk.class_id, *ours)]
    assert supplies == [20_000, 7_000, 4_000]
    assert sum(desk.balance(holder) for holder in range(3)) == 9_000
    lacking = short(scene, desk)
    assert (lacking.gap_tonnes, lacking.locked_kilograms) == (11, 11_000)
    assert (lacking.uncovered, lacking.flags) == (0, 0)
    with scene.database.read() as connection:
        found = list_conversions(connection, class_id=desk.class_id).items
        assert [one.claimed_kilograms for one in found] == [4_000, 7_000]
        assert sum(claimed_by(connection, first).values()) == 7_000
    # The old class goes on behind what was converted, the new one stands on the same serials.
    assert scene.ended("certificate", desk.retire(2_000)).state == "confirmed"
    assert desk.confirmed() == [Interval(VCS, 12, 13)]
    (sent,) = world.send_all([world.retire(world.holders[0], ours[0], 1_000)])
    scene.step()
    with scene.database.read() as connection:
        (certificate,) = lookup.certificates_of_transaction(connection, sent)
    assert scene.ended("certificate", str(certificate)).state == "confirmed"
    assert desk.at_registry("retired") == [Interval(VCS, 1, 1), Interval(VCS, 12, 13)]


@pytest.mark.parametrize(("kind", "project"), [("exchange", ""), ("conversion", "9")])
def test_l3_new_serials_of_a_conversion_stand_behind_new_tokens_and_the_old_are_a_gap(
    scene: Scene, desk: Desk, kind: str, project: str
) -> None:
    world = scene.world
    desk.deposit(desk.issue(1, 10))
    you = world.holders[1].address
    world.send_all([world.transfer(world.holders[0], you, desk.class_id, 2_500)])
    scene.step()
    # What the programme gave for them: other credits, which arrive in the trust account.
    given = desk.issue(101, 104)
    other = a_class(project + desk.project, LABELS[0], year=2023)
    new = int(other.token_id)
    words = ("--programme", "VCS", "--project", other.project, "--labels", LABELS[0])
    when = ("--start", "2023-01-01", "--end", "2023-12-31", "--first-position", "0")
    sold = ("--tonnes", "4", "--serials", str(given))
    made = scene.signed(
        "event", "convert", kind, str(desk.class_id), *words, *when, *sold, *BECAUSE
    )

    # The index: a gap in the old class, and a class of its own on the new serials.
    gap = short(scene, desk)
    assert [(one.first, one.tonnes, one.kind) for one in gap.gaps] == [(0, 4, "converting")]
    with scene.database.read() as connection:
        named = lookup.position_map(connection, new)
    # What a holder can claim, as the API says it.
    with serving(create_app(ALONE, database=scene.database)) as url:
        answer = httpx.get(f"{url}/v1/conversions/{made}/claims/{you}", trust_env=False).json()
        (shown,) = httpx.get(f"{url}/v1/conversions?class_id={new}", trust_env=False).json()["data"]
    due = [answer["data"][name] for name in ("kilograms", "claimed", "left", "payable")]
    assert due == ["1000", "0", "1000", "1000"]
    assert (shown["kind"], shown["tonnes"], shown["from_class"]) == (kind, "4", str(desk.class_id))
    assert [piece.serials for piece in named.pieces(0, 4)] == [desk.serials(101, 104)]
    assert [claim(scene, made, holder) for holder in (0, 1)] == [3_000, 1_000]
    with scene.database.read() as connection:
        paid = claim_of(connection, made, you)
    assert (paid.claimed, paid.left, paid.payable) == (1_000, 0, 0)
    assert [world.contracts.total_supply(one) for one in (desk.class_id, new)] == [10_000, 4_000]
    assert (short(scene, desk).locked_kilograms, short(scene, desk).uncovered) == (4_000, 0)

    # The recount: the reserve covers the new tokens with the new serials, and nothing twice.
    def counted() -> bool:
        with scene.database.read() as connection:
            found = {one.class_id: one for one in get_reserve(connection).classes}
        return new in found and found[new].covered >= 4

    scene.bridge.reserve.draft()
    scene.settle(counted)
    # The old class goes on behind the gap, the new one is retired on its own serials.
    assert scene.ended("certificate", desk.retire(2_000)).state == "confirmed"
    (sent,) = world.send_all([world.retire(world.holders[0], new, 3_000)])
    scene.step()
    with scene.database.read() as connection:
        (certificate,) = lookup.certificates_of_transaction(connection, sent)
    assert scene.ended("certificate", str(certificate)).state == "confirmed"
    assert desk.at_registry("retired") == [Interval(VCS, 5, 6), Interval(VCS, 101, 103)]
    assert breaks_of(scene, desk) == []
    # An auditor, from the chain alone, finds each kilogram and each serial once: of both kinds.
    if kind == "conversion":
        report = run(world.rpc.url, scene.directory / "deployment.json", compare_source=False)
        assert not {"L1", "L2", "L4", "L10", "L11"} & set(report.broken), report.laws


def split(scene: Scene, desk: Desk, first_position: int, tonnes: int, *labels: str) -> str:
    new = ("--programme", "VCS", "--project", desk.project, "--labels", ",".join(labels))
    when = ("--start", "2023-01-01", "--end", "2023-12-31")
    where = ("--first-position", str(first_position), "--tonnes", str(tonnes))
    words = (*where, *new, *when, *BECAUSE)
    return scene.signed("event", "convert", "label-split", str(desk.class_id), *words)


def claim(scene: Scene, conversion: str, holder: int) -> int:
    return int(scene.command("event", "claim", conversion, f"holder-{holder}")["kilograms"])


def test_l4_what_a_registry_would_not_retire_is_made_good_with_others(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.registry.faults(seed=1, refuse=1000)
    number = desk.retire(2_000)
    assert scene.ended("certificate", number).state == "failed"
    scene.registry.faults()
    others, asset = desk.issue(101, 102), str(desk.class_id)
    words = ("--first-position", "0", "--substitute-class", asset, "--serials", str(others))
    said = ("--reference", "R-OTHERS", "--date", "2026-02-28")
    scene.signed("statements", "made-good", asset, *words, *said)
    flows = scene.bridge.parts.flows
    scene.settle(lambda: flows.get("certificate", number).state == "made good")
    # The serials that were not retired stay what they are: nobody's, and in the register.
    assert desk.at_registry("retired") == []
    assert scene.ended("certificate", desk.retire(3_000)).state == "confirmed"
    assert desk.confirmed()[-1] == Interval(VCS, 3, 5)


def test_l8_a_delivery_that_comes_after_its_refund_is_the_custodians_recorded_shortfall(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    number = desk.deliver(4)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    now = scene.bridge.deliveries.on_chain
    scene.settle(lambda: now(number).phase.state is State.DISPATCHED)
    pass_time(scene.world.rpc.call, 22 * DAY)
    desk.refund(number, stepping=False)
    assert now(number).phase.state is State.REFUNDED_DISPUTED
    scene.registry.answer_transfer(reference, "accept")
    assert scene.ended("delivery", number).state == "broken"
    # The next report says what the account no longer holds.
    scene.bridge.reserve.draft()
    assert sorted(breaks_of(scene, desk)) == ["paid-twice", "shortfall"]
    (statement,) = scene.bridge.statements.stored.of_flow("delivery", number)
    scene.sign(statement.id)
    assert now(number).broken
    lacking = short(scene, desk)
    assert (lacking.uncovered, lacking.flags) == (4, ClassFlag.GAP)
    assert desk.balance() == 10_000
