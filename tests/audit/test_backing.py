"""L3 against registry exports: what is live, what is gone, whose it is, and what no file covers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.audit import AuditReport, Status
from backend.audit.backing import live_serials
from backend.audit.ledger import Ledger
from backend.audit.register import Register
from backend.audit.report import Findings
from backend.chain.events import decode_logs
from backend.domain.credits import BlockRecord
from backend.domain.serials import Interval, Series, merge
from backend.registries.labels import credit_class
from backend.registries.reader import open_export
from scripts.load_history import write_export
from tests.audit.scene import SAMPLE, Scene

pytestmark = pytest.mark.integration

SAMPLES = SAMPLE.parent
Row = dict[str, str]


def rewrite(source: Path, target: Path, change: Callable[[Row], Row | None]) -> Path:
    """The export with every row changed, or left out where the change says None."""
    with source.open(encoding="utf-8", newline="") as given:
        reader = csv.DictReader(given)
        names, rows = list(reader.fieldnames or ()), [change(row) for row in reader]
    with target.open("w", encoding="utf-8", newline="") as written:
        writer = csv.DictWriter(written, names)
        writer.writeheader()
        writer.writerows(row for row in rows if row is not None)
    return target


def live_of(scene: Scene) -> list[Interval]:
    """Serials that must be live, by the audit's own books."""
    findings = Findings()
    ledger = Ledger(findings, Register(findings))
    logs = scene.rpc.get_logs(scene.deployment.addresses, 0, scene.rpc.block_number())
    for event in decode_logs(logs, scene.deployment):
        (ledger.register if event.contract == "Trust" else ledger).apply(event)
    return merge(serials for one in ledger.classes for serials in live_serials(ledger, one))


def law_of(report: AuditReport) -> tuple[str, str]:
    law = report.laws["L3"]
    return str(law.status), law.reason


def test_l3_one_live_serial_on_a_retired_row_is_found_and_named(scene: Scene) -> None:
    victim = live_of(scene)[0]
    single = Interval(victim.series, victim.first, victim.first)
    target = scene.directory / "one-retired.csv"
    write_export(scene.export, target, [single])
    (found,) = scene.breaks("L3", custody=[target])
    assert found.serials == (str(single),)
    assert found.amounts["tonnes"] == 1
    assert found.transaction is not None


def test_l3_an_open_tonne_must_be_live_until_it_is_closed(scene: Scene) -> None:
    register = scene.history.replay()
    for class_id in scene.history.class_ids:
        state = scene.contracts.positions(class_id).positions
        if state.dust:
            (piece,) = register.map(class_id).pieces(state.open_tonne, state.open_tonne + 1)
            break
    target = scene.directory / "open-retired.csv"
    write_export(scene.export, target, [piece.serials])
    (found,) = scene.breaks("L3", custody=[target])
    assert found.serials == (str(piece.serials),)


def test_l3_retired_tonnes_that_no_registry_confirmed_may_be_either(scene: Scene) -> None:
    register = scene.history.replay()
    class_id, gone = next(
        (one, list(register.map(one).pieces(end, state.exited)))
        for one in scene.history.class_ids
        for state in [scene.contracts.positions(one).positions]
        for end in [max((last for _, last in register.map(one).confirmed), default=0)]
        if state.dust == 0 and end < state.exited
    )
    target = scene.directory / f"early-{class_id % 97}.csv"
    write_export(scene.export, target, [piece.serials for piece in gone])
    assert law_of(scene.audit(custody=[target]))[0] == "holds"


def test_l3_a_confirmed_serial_that_the_registry_shows_as_active_is_found(scene: Scene) -> None:
    found = scene.breaks("L3", custody=[SAMPLE])
    assert all("shows as active" in one.what for one in found)
    register = scene.history.replay()
    events = {one.event.transaction_hash for one in register.confirmations.values()}
    assert {one.transaction for one in found} == events


def test_l3_an_export_older_than_the_confirmation_is_counted_and_no_break(scene: Scene) -> None:
    def before_april(row: dict[str, str]) -> dict[str, str]:
        late = row["Retirement/Cancellation Date"] > "2026-03-31"
        dated = {"Retirement/Cancellation Date": "2026-03-31"} if late else {}
        return row | dated | {"Issuance Date": min(row["Issuance Date"], "2026-03-31")}

    older = rewrite(SAMPLE, scene.directory / "older.csv", before_april)
    law = scene.audit(custody=[older]).laws["L3"]
    assert law.status is Status.HOLDS, law.breaks
    assert law.figures["confirmed_after_export_tonnes"] > 0


def test_l3_serials_that_no_row_covers_are_not_checked(scene: Scene) -> None:
    only_first = rewrite(
        scene.export,
        scene.directory / "first-generation.csv",
        lambda row: None if "-VCS-VCU-" in row["Serial Number"] else row,
    )
    status, reason = law_of(scene.audit(custody=[only_first]))
    assert status == "not checked"
    assert "no row of the exports covers" in reason
    assert "VCS:2" in reason


def test_l3_a_break_wins_over_serials_that_no_row_covers(scene: Scene) -> None:
    victim = live_of(scene)[0]
    only = rewrite(
        scene.export,
        scene.directory / "same-generation.csv",
        lambda row: (
            row if (victim.series.codes == (2,)) == ("-VCS-VCU-" in row["Serial Number"]) else None
        ),
    )
    target = scene.directory / "partly.csv"
    write_export(only, target, [victim])
    law = scene.audit(custody=[target]).laws["L3"]
    assert law.status is Status.BROKEN
    assert "no row of the exports covers" in law.reason


def test_l3_credits_of_another_project_do_not_back_a_class(scene: Scene) -> None:
    def renamed(row: Row) -> Row:
        number = row["ID"]
        serial = row["Serial Number"].replace(f"-{number}-", "-990099-")
        return row | {"ID": "990099", "Serial Number": serial}

    other = rewrite(scene.export, scene.directory / "other.csv", renamed)
    found = scene.breaks("L3", custody=[other])
    assert all("was minted as VCS-" in one.what for one in found)
    assert "the registry shows VCS-990099" in found[0].what


def test_l3_an_older_export_beside_a_newer_one_makes_nothing_live_again(scene: Scene) -> None:
    assert law_of(scene.audit(custody=[SAMPLE, scene.export]))[0] == "holds"


def gold_standard(scene: Scene) -> tuple[BlockRecord, Path, Path]:
    """A Gold Standard issuance that no sample retirement touches, minted; both samples."""
    issued, retired = (
        SAMPLES / f"sample-gold-standard-{kind}.csv" for kind in ("issuances", "retirements")
    )
    with open_export(retired) as export:
        gone = [record.interval for record in export if isinstance(record, BlockRecord)]
    with open_export(issued) as export:
        record = next(
            found
            for found in export
            if isinstance(found, BlockRecord)
            and found.interval.series.programme == "GS"
            and not any(found.interval.overlaps(one) for one in gone)
        )
    scene.mint(scene.receipt(credit_class(record), record.interval))
    return record, issued, retired


def test_l3_gold_standard_credits_are_live_when_issued_and_not_retired(scene: Scene) -> None:
    record, issued, retired = gold_standard(scene)
    report = scene.audit(custody=[scene.export, issued, retired])
    assert law_of(report)[0] == "holds"
    assert report.laws["L3"].figures["live_tonnes"] == sum(i.tonnes for i in live_of(scene))
    assert record.interval in live_of(scene)


def test_l3_a_gold_standard_retirement_of_a_part_is_found(scene: Scene) -> None:
    record, issued, retired = gold_standard(scene)
    first, last = record.interval.first, record.interval.last
    with issued.open(encoding="utf-8", newline="") as file:
        serial = next(
            row["Serial Number"]
            for row in csv.DictReader(file)
            if row["Serial Number"].endswith(f"{first}-{last}")
        )
    part = serial.removesuffix(f"{first}-{last}") + f"{first + 1}-{first + 2}"
    with retired.open(encoding="utf-8", newline="") as file:
        template = next(
            row for row in csv.DictReader(file)
            if row["Credit Status"] == "Retired" and row["Product Type"] == "VER"
        )  # fmt: skip
    series: Series = record.interval.series
    more = rewrite(
        retired,
        scene.directory / "gs-retired.csv",
        lambda row: (
            row
            | {
                "GSID": record.project,
                "Vintage": str(series.codes[1]),
                "Quantity": "2",
                "Serial Number": part,
                "Monitoring Period Start": f"{series.codes[1]}-01-01",
                "Monitoring Period End": f"{series.codes[1]}-12-31",
            }
            if row == template
            else row
        ),
    )
    found = scene.breaks("L3", custody=[scene.export, issued, more])
    assert [one.serials for one in found] == [(str(Interval(series, first + 1, first + 2)),)]


def test_l3_a_retirement_row_that_cannot_be_read_leaves_the_law_unchecked(scene: Scene) -> None:
    _, issued, retired = gold_standard(scene)
    broken = rewrite(
        retired, scene.directory / "gs-broken.csv", lambda row: row | {"Quantity": "many"}
    )
    status, reason = law_of(scene.audit(custody=[scene.export, issued, broken]))
    assert status == "not checked"
    assert "retirement rows could not be read" in reason
