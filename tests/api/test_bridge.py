"""Deliveries, the reserve and breaks as the API shows them; a holder checks a proof alone (L3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from eth_utils.address import to_checksum_address
from sqlalchemy import insert

from backend.api.app import create_app
from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    Liability,
    LiveBlock,
    ReserveReport,
    ReserveTree,
    verify_liability,
)
from backend.domain.serials import Interval, Series
from backend.domain.sum_tree import Node, SumPath
from backend.store import tables
from backend.store.backing_tables import deliveries, delivery_changes, reserves_reported
from backend.store.breaks import Breaks
from backend.store.database import Database
from backend.store.flows import Flows
from backend.store.reserve_trees import ReserveTrees, StoredTrees
from tests.api.conftest import ALONE, asked

pytestmark = pytest.mark.integration

SERIES = Series("VCS", (2,))
CLASS = 2**200 + 7
HOLDER = to_checksum_address("0x" + "ab" * 20)
OTHER = to_checksum_address("0x" + "cd" * 20)
HASH = "0x" + "11" * 32
OWED = Liabilities.of([Liability(CLASS, HOLDER, 4_500), Liability(CLASS, OTHER, 500)])
RESERVE = ReserveTree(
    (ClassReserve(CLASS, 12, (LiveBlock.of(Interval(SERIES, 1, 9), b"a" * 32),)),)
)


def _place(number: int) -> dict[str, int]:
    return {"block_number": number, "log_index": 0}


@pytest.fixture
def client(migrated_url: str) -> Iterator[httpx.Client]:
    database = Database(migrated_url)
    report = ReserveReport.of(1, 1_000, 5, RESERVE, OWED, b"e" * 32)
    with database.begin() as connection:
        number = connection.execute(
            insert(tables.series)
            .values(name="VCS:2", programme="VCS", codes=[2], hash="0x" + SERIES.id.hex())
            .returning(tables.series.c.id)
        ).scalar_one()
        connection.execute(
            insert(deliveries).values(
                delivery_id=1,
                class_id=CLASS,
                first_position=0,
                tonnes=5,
                holder=HOLDER,
                series_id=number,
                series_hash="0x" + SERIES.id.hex(),
                first_serial=1,
                registry_account="VCS-4711",
                deadline=900_000,
                fee_asset="0x" + "00" * 20,
                fee=0,
                transaction_hash=HASH,
                **_place(3),
            )
        )
        for number, act, more in (
            (4, "begun", {"custodian": OTHER, "expires_at": 2_000, "second_deadline": 2_600}),
            (5, "dispatched", {"custodian": OTHER, "reference": "T-1", "expires_at": 1_500}),
        ):
            connection.execute(
                insert(delivery_changes).values(
                    delivery_id=1,
                    act=act,
                    signers=[],
                    transaction_hash=HASH,
                    **_place(number),
                    **more,
                )
            )
        connection.execute(
            insert(reserves_reported).values(
                sequence=1,
                report_id=HASH,
                as_of=1_000,
                chain_block=5,
                root="0x" + report.root.hex(),
                tonnes=report.tonnes,
                liabilities_root="0x" + report.liabilities_root.hex(),
                liabilities_kilograms=report.liabilities_kilograms,
                evidence_hash="0x" + report.evidence_hash.hex(),
                signers=[HOLDER, OTHER],
                transaction_hash=HASH,
                **_place(6),
            )
        )
    names = ("minted", "exited", "live", "not_minted", "shortfall")
    figures = {"classes": {str(CLASS): dict.fromkeys(names, "3")}}
    ReserveTrees(database).keep(StoredTrees(HASH, 1, 1_000, 5, RESERVE, OWED, figures))
    Flows(database).begin("delivery", "1", "dispatched", {}, class_id=CLASS)
    Breaks(database).report("k", "shortfall", "3 t are missing", {"serials": []}, class_id=CLASS)
    with asked(create_app(ALONE, database=database)) as client:
        yield client
    database.close()


def data(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_a_delivery_shows_its_phases_deadlines_and_how_far_the_bridge_is(
    client: httpx.Client,
) -> None:
    found = data(client, "/v1/deliveries/1")
    assert (found["state"], found["bridge_state"]) == ("dispatched", "dispatched")
    assert (found["first"], found["last"], found["series"]) == ("1", "5", "VCS:2")
    assert (found["expires_at"], found["second_deadline"]) == ("1500", "2600")
    assert [phase["act"] for phase in found["phases"]] == ["begun", "dispatched"]
    assert data(client, f"/v1/deliveries?holder={HOLDER}&state=dispatched") == [found]
    assert data(client, "/v1/deliveries?state=finalised") == []
    assert client.get("/v1/deliveries/2").status_code == 404


def test_l3_the_reserve_shows_per_class_what_is_covered_and_minted(client: httpx.Client) -> None:
    found = data(client, "/v1/reserve")
    (only,) = found["classes"]
    assert (only["class_id"], only["covered"], only["minted"]) == (str(CLASS), "12", "3")
    assert (found["tonnes"], found["liabilities_kilograms"]) == ("12", "5000")
    assert found["halted"] == []


def test_l3_a_holder_checks_the_proof_of_a_balance_against_the_root_on_chain(
    client: httpx.Client,
) -> None:
    proof = data(client, f"/v1/reserve/liabilities/{HOLDER}/{CLASS}")
    path = SumPath(
        int(proof["right_bits"]),
        tuple(Node(bytes.fromhex(s["hash"][2:]), int(s["sum"])) for s in proof["siblings"]),
    )
    root = data(client, "/v1/reserve")["liabilities_root"]
    entry = Liability(CLASS, HOLDER, int(proof["kilograms"]))
    assert entry.kilograms == 4_500
    assert verify_liability(entry, path, bytes.fromhex(root[2:]), 5_000)
    nobody = to_checksum_address("0x" + "ef" * 20)
    assert client.get(f"/v1/reserve/liabilities/{nobody}/{CLASS}").status_code == 404


def test_breaks_are_listed_with_their_evidence(client: httpx.Client) -> None:
    (found,) = data(client, "/v1/breaks?state=open")
    assert (found["kind"], found["class_id"]) == ("shortfall", str(CLASS))
    assert data(client, "/v1/breaks?kind=contradiction") == []
