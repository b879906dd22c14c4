"""Rows of the samples of every registry but Verra, Gold Standard and the CDM.

Each function gives cells by column; a column left out is empty. Deterministic, and about nothing
that exists: names begin with `SAMPLE –`, numbers lie beyond those in use, the country is ZZ.
"""

from __future__ import annotations

from collections.abc import Callable

from scripts import sample_apx as apx
from scripts.sample_apx import BUYER, COUNTRY, DEVELOPER, Row, name_of

# ── Cercarbono and Isometric ─────────────────────────────────────────────────────────────────

_CDC = (
    ("CDC_9901_1_1_321_14_1", "62740", "2010-01-01 / 2018-09-30", "2015"),
    ("CDC_9901_1_1_321_14_1_BF", "11072", "2010-01-01 / 2018-09-30", "2015"),
    ("CDC_9902_1_1_321_14_R1_XX_CO_1_2_2019", "4950", "2019-01-01 / 2019-12-31", "2019"),
    ("CDC_9902_1_1_321_14_R1_XX_CO_1_2_BFC_2019", "870", "2019-01-01 / 2019-12-31", "2019"),
    ("CDC_9902_1_1_321_14_R1_XX_CO_1_2_BFI_2020", "0", "2020-01-01 / 2020-02-25", "2020"),
    ("CDC_R_9903_1_1_321_14_CO_1_2_2017", "867", "2017-12-01 / 2017-12-31", "2017"),
)
_TAX = "{'description': 'Colombian Carbon Tax', 'code': 'ICC'}"
_VOLUNTARY = "{'description': 'Voluntary compensation', 'code': 'CV'}"


def cercarbono_issuances() -> list[Row]:
    return [
        {
            "verification": "1",
            "serial": serial,
            "issued_quantity": quantity,
            "issuance_date": f"2023-04-14T15:56:{number + 10}.000Z",
            "year": year,
            "is_buffer": str("_BF" in serial),
            "vintage_of_credits": vintage,
            "global_goals": "[{'code': 13, 'description': 'Climate action'}]" if number else "[]",
            "elegible": f"[{_VOLUNTARY}]" if "_BF" in serial else f"[{_TAX}, {_VOLUNTARY}]",
        }
        for number, (serial, quantity, vintage, year) in enumerate(_CDC)
    ]


def cercarbono_retirements() -> list[Row]:
    spans = ((0, 0, 999), (0, 1_000, 5_000), (2, 1, 1), (2, 2, 4_950), (5, 1, 867))
    return [
        {
            "project_name": name_of("CERCARBONO", number),
            "project_id": str(9901 + number // 2),
            "serial": _CDC[number][0],
            "vintage": _CDC[number][3],
            "certificate_destination": "Colombian Carbon Tax"
            if first
            else "Voluntary compensation",
            "end_user": BUYER if first == 1 else "Not public",
            "passive_subject": "SAMPLE – Fuels S.A." if first else "",
            "date": f"2024-02-24 20:2{place}:59",
            "quantity": str(last - first + 1),
            "from": str(first),
            "to": str(last),
            "industry": "Not defined",
        }
        for place, (number, first, last) in enumerate(spans)
    ]


def cercarbono_projects() -> list[Row]:
    place = (
        "[{'city': 'Somewhere', 'country': 'Sampleland', 'region': 'Nowhere',"
        " 'data_map': {'latitude': 8.412918740997307, 'longitude': -75.58408635215012}}]"
    )
    return [
        {
            "id": str(9901 + number),
            "code": f"CDC-{9901 + number}",
            "is_public": "True",
            "owner": DEVELOPER,
            "developer": "" if number == 2 else DEVELOPER,
            "verifier": "SAMPLE – Verifier Inc.",
            "credits_type": "Carbon offsets",
            "name": "-" if number == 2 else name_of("CERCARBONO", number),
            "standard": "Cercarbono",
            "sector": "[{'id': 14, 'description': 'Land use (AFOLU)'}]" if number else "[]",
            "evaluation_criteria": "PROTOCOL CVCC 3.1",
            "quantification_method": "CDM - AR-ACM0003: Afforestation",
            "stage": "Not assigned" if number == 2 else "Certified",
            "locations": "[]" if number == 2 else place,
            "serials": (
                "[{'serial': 'CDC_9901_1_1_321_14_1', 'issued_quantity': 62740},"
                " {'serial': 'CDC_9901_1_1_321_14_1_BF', 'issued_quantity': 11072}]"
                if number == 0
                else "[]"
            ),
            "annualEstimated": "" if number == 2 else f"{3195 * number}.0",
        }
        for number in range(3)
    ]


def _iso_id(prefix: str, number: int) -> str:
    return f"{prefix}_9SAMPLE{number:08d}0"


def _credits(name: str, kilograms: int) -> Row:
    """An amount in both units: `6.37` credits as a program writes them."""
    text = f"{kilograms // 1000}.{kilograms % 1000:03d}".rstrip("0")
    return {
        f"{name}.credits": text + "0" * text.endswith("."),
        f"{name}.credit_kgs": str(kilograms),
    }


def isometric_issuances() -> list[Row]:
    amounts = ((2_710_062, 55_308), (6_242, 128), (46_001, 939), (1_000, 0))
    return [
        {
            "id": _iso_id("iss", number),
            "issued_at": f"2026-04-{number + 10}T16:50:41.621676Z",
            "project_id": _iso_id("prj", number // 2),
            "supplier.id": _iso_id("spl", number),
            "supplier.short_description": "SAMPLE – stores carbon",
            "supplier.organisation.name": DEVELOPER,
            **_credits("supplier_credit_batch_size_total", supplier),
            **_credits("buffer_pool_credit_batch_size_total", buffer),
            **_credits("credit_batch_size_total", supplier + buffer),
            "supplier.location.country_name": COUNTRY,
        }
        for number, (supplier, buffer) in enumerate(amounts)
    ]


def isometric_retirements() -> list[Row]:
    purposes = ("['corporate_targets']", "['public_environmental_claims', 'other']", "[]")
    return [
        {
            "retirement_id": _iso_id("ret", number),
            "retired_at": f"2026-05-0{number + 1}T18:21:22.047712Z",
            "purposes": purposes[number % 3],
            "notes": "SAMPLE – note" if number else "",
            "beneficiary.name": BUYER,
            "owner.name": "SAMPLE – Owner Ltd.",
            **_credits("credit_batch_size_total", kilograms),
            "project_id": _iso_id("prj", number // 2),
            "sequestered_on": "2025-11-30",
        }
        for number, kilograms in enumerate((19, 1_000, 75_000, 145_219))
    ]


def isometric_projects() -> list[Row]:
    return [
        {
            "id": _iso_id("prj", number),
            "name": name_of("ISOMETRIC", number),
            "status": "validated" if number else "under_validation",
            "pathway": "enhanced_weathering",
            "protocol_slug": "enhanced-weathering-agriculture",
            "current_verifier_name": "SAMPLE – Verifier Inc.",
            "crediting_period_start": "2025-11-27" if number else "",
            "crediting_period_end": "2030-11-26" if number else "",
            "supplier.organisation.name": DEVELOPER,
            **_credits("issued_credits_total", 2_771_740 * number),
            **_credits("retired_credits_total", 19 * number),
            **_credits("issued_buffer_pool_credits_total", 55_436 * number),
            **_credits("retired_buffer_pool_credits_total", 0),
            "location.country_name": COUNTRY,
            "location.latitude": "27.0238",
            "location.longitude": "74.2179",
        }
        for number in range(3)
    ]


# ── Causeway's own layouts ───────────────────────────────────────────────────────────────────


def _holding(programme: str, number: int, tonnes: int) -> Row:
    gone = number % 3 == 2
    return {
        "Quantity": str(tonnes),
        "Status": "Retired" if gone else "Active",
        "Project Name": name_of(programme, number),
        "Methodology": "SAMPLE – method",
        "Country": COUNTRY,
        "Vintage Start": "2024-01-01",
        "Vintage End": "2024-12-31",
        "Issuance Date": "2025-03-01",
        "Account": "SAMPLE – account 1",
        "Retirement Date": "2026-01-15" if gone else "",
        "Beneficiary": BUYER if gone else "",
    }


def _batch_holdings(column: str, project: str, serial: str, labels: str) -> list[Row]:
    """Pieces of one batch and of another project's; `serial` has the project, first and last."""
    spans = ((project, 1, 400), (project, 401, 900), (str(int(project) + 1), 5, 5))
    return [
        _holding(column.split()[0], number, last - first + 1)
        | {
            column: serial.format(one, first, last),
            "Project": one,
            "Project Name": f"SAMPLE – account of {column.split()[0]}, project {one}",
            "Labels": labels,
        }
        for number, (one, first, last) in enumerate(spans)
    ]


def puro_holdings() -> list[Row]:
    uuid = "99000000-0000-4000-8000-0000000000{:02d}"
    rows = []
    for number, (first, last) in enumerate(((1, 100), (101, 150), (151, 200))):
        serial = f"PURO_PR_CORC100+_ZZ_990001_2024_{uuid.format(1)}_{first}-{last}"
        rows.append(
            _holding("PURO", number, last - first + 1)
            | {"Certificates": serial, "Project": "990001", "Labels": "ICVCM CCP"}
        )
    gsrn = "990000000000000001"
    legacy = f"{gsrn}{140219:012d}-{gsrn}{140220:012d}"
    return [*rows, _holding("PURO", 3, 2) | {"Certificates": legacy, "Project": "SAMPLE-1"}]


def _text_holdings(programme: str) -> list[Row]:
    texts = ("样本-甲", "样本-甲", "SAMPLE B 2024")
    spans = ((1, 1_000), (1_001, 1_500), (0, 99))
    return [
        _holding(programme, number, last - first + 1)
        | {
            f"{programme} Serial Text": text,
            "First Number": str(first),
            "Last Number": str(last),
            "Project": f"SAMPLE-{number}",
        }
        for number, (text, (first, last)) in enumerate(zip(texts, spans, strict=True))
    ]


# ── lists of projects ────────────────────────────────────────────────────────────────────────


def verra_projects() -> list[Row]:
    return [
        {
            "ID": str(990001 + number),
            "Name": name_of("VCS", number),
            "Proponent": DEVELOPER,
            "Project Type": "Agriculture Forestry and Other Land Use",
            "AFOLU Activities": "ARR; WRC" if number else "",
            "Methodology": "VM0047",
            "Status": "Registered" if number else "Under development",
            "Country/Area": COUNTRY,
            "Estimated Annual Emission Reductions": "1,191,805" if number else "",
            "Region": "Asia",
            "Project Registration Date": "2021-05-06" if number else "",
            "Crediting Period Start Date": "2020-01-01" if number else "",
            "Crediting Period End Date": "2059-12-31" if number else "",
        }
        for number in range(4)
    ]


def verra_projects_2026() -> list[Row]:
    activities = "PUBLIC_VIEW_REPORTS_PROJECTS.pubReportsProjectsList.AFOLUActivities"
    return [
        {
            "Program": "VCS",
            "Project ID": str(990001 + number),
            "Project Name": name_of("VCS", number),
            "Proponents": f"{DEVELOPER} (PP)",
            "Sectoral Scope": "Agriculture, forestry, and other land use",
            activities: "ARR, WRC" if number else "",
            "Methodology": "VM0047 (Version NA)",
            "Estimated Average Annual Emission Reductions and Carbon Dioxide Removals": "1191805",
            "Sustainable Development Contributions": "13, Climate Action",
            "Validator": "SAMPLE – Verifier Inc.",
            "Region": "Asia",
            "Country": COUNTRY,
            "State/Province": "Nowhere",
            "Estimated Project Start Date": "01 Jan 2020",
            "Crediting Period Duration Start Date": "01 Jan 2020" if number else "",
            "Crediting Period Duration End Date": "31 Dec 2059" if number else "",
            "Crediting Period Term": "1",
            "Project Registration Date": "06 May 2021" if number else "",
            "Status": "Registered" if number else "Late to Verify",
        }
        for number in range(4)
    ]


def gold_standard_projects() -> list[Row]:
    kinds = ("Listed", "Gold Standard Certified Design", "Gold Standard Certified Project")
    return [
        {
            "GSID": str(990101 + number),
            # As real names do, it begins with another project's number.
            "Project Name": f"GS990199-VPA-{number} {name_of('GS', number)}",
            "Project Developer Name": DEVELOPER,
            "Status": kinds[number % 3],
            "Sustainable Development Goals": "5,13,3",
            "Project Type": "A/R",
            "Country": COUNTRY,
            "Description": "SAMPLE – first line\nsecond line, with a comma",
            "Estimated Annual Credits": str(37055 * number),
            "Size": "Small Scale",
            "Programme of Activities": "VPA" if number else "Standalone",
            "POA GSID": "990199.0" if number else "",
        }
        for number in range(4)
    ]


#: Layout → its rows.
ROWS: dict[str, Callable[[], list[Row]]] = {
    "acr-issuances": apx.acr_issuances,
    "acr-retirements": apx.acr_retirements,
    "acr-cancellations": apx.acr_cancellations,
    "acr-projects": apx.acr_projects,
    "car-issuances": apx.car_issuances,
    "car-retirements": apx.car_retirements,
    "car-cancellations": apx.car_cancellations,
    "car-projects": apx.car_projects,
    "art-issuances": apx.art_issuances,
    "art-retirements": apx.art_retirements,
    "art-cancellations": apx.art_cancellations,
    "art-projects": apx.art_projects,
    "arb-issuances": apx.arb_issuances,
    "cercarbono-issuances": cercarbono_issuances,
    "cercarbono-retirements": cercarbono_retirements,
    "cercarbono-projects": cercarbono_projects,
    "isometric-issuances": isometric_issuances,
    "isometric-retirements": isometric_retirements,
    "isometric-projects": isometric_projects,
    "gold-standard-holdings": lambda: _batch_holdings(
        "GS Serial Numbers",
        "990106",
        "GS1-1-ZZ-GS{}-22-2024-990001-{}-{}",
        "Emission Removal; Not Applicable",
    ),
    "acr-holdings": lambda: _batch_holdings(
        "ACR Serial Numbers",
        "990011",
        "ACR-ZZ-{}-2024-9901-{} to {}",
        "CCP Approved: Yes; ARB Eligible: No",
    ),
    "car-holdings": lambda: _batch_holdings(
        "CAR Serial Numbers",
        "990021",
        "CAR-1-ZZ-{}-31-983-SS-2024-9901-{} to {}",
        "Reduction/Removal: Removal; CCP Approved: Yes",
    ),
    "art-holdings": lambda: _batch_holdings(
        "ART Serial Numbers", "9931", "ART-ZZ-{}-2024-21-{} to {}", "CORSIA Eligible: Yes"
    ),
    "puro-holdings": puro_holdings,
    "ccer-holdings": lambda: _text_holdings("CCER"),
    "phcer-holdings": lambda: _text_holdings("PHCER"),
    "verra-projects": verra_projects,
    "verra-projects-2026": verra_projects_2026,
    "gold-standard-projects": gold_standard_projects,
}
