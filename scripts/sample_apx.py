"""Rows of the samples of ACR, CAR, ART and ARB: cells by column, a column left out is empty."""

from __future__ import annotations

Row = dict[str, str]
COUNTRY, CODE = "Sampleland", "ZZ"
_NAMES = ("Quiet Forest", "Deep Mine", "Cold Store", "Long Pasture")
DEVELOPER = "SAMPLE – Developer Ltd."
BUYER = "SAMPLE – Buyer Ltd."
_APX_GOALS = "09: Industry, Innovation and Infrastructure;13: Climate Action"
_PILOT = "Eligible for CORSIA 2021-2023 Compliance Period (Pilot Phase)"
_FIRST = "Eligible for CORSIA 2024-2026 Compliance Period (First Phase)"


#: A place of each programme's own: equal names would be taken for one project listed twice.
_PLACES = {
    "ACR": "Amber Creek",
    "CAR": "Copper Ridge",
    "ART": "Aspen Reach",
    "CERCARBONO": "Cedar Dale",
    "ISOMETRIC": "Iron Shore",
    "PURO": "Pine Gate",
    "CCER": "Crane Marsh",
    "PHCER": "Pearl Heights",
    "VCS": "Velvet Moor",
    "GS": "Golden Hollow",
}


def name_of(programme: str, number: int) -> str:
    return f"SAMPLE – {_NAMES[number % len(_NAMES)]} at {_PLACES[programme]} {number}"


# ── ACR ──────────────────────────────────────────────────────────────────────────────────────


def _acr(number: int) -> Row:
    """Columns of a project's credits that all three reports of ACR have."""
    return {
        "Project ID": f"ACR{990000 + number}",
        "Project Name": name_of("ACR", number),
        "Project Type": "Forest Carbon",
        "Project Methodology/Protocol": "Improved Forest Management (IFM) on Sample Lands",
        "Methodology/Protocol Version": "Version 2.1",
        "Project Site Location": "Somewhere",
        "Project Site State": "SAMPLE STATE",
        "Project Site Country": CODE,
        "ARB Eligible": "Yes" if number % 3 == 0 else "No",
        "Ecology Eligible": "No",
        "CCP Approved": "Yes" if number % 2 else "",
        "Verified Removal": "Yes" if number % 4 == 1 else "",
        "Sustainable Development Goal(s)": _APX_GOALS,
        "Documents": "View",
    }


def acr_issuances() -> list[Row]:
    rows = []
    for number in range(6):
        to_project, to_buffer = 10_000 + 731 * number, 0 if number % 2 else 418
        rows.append(
            _acr(number)
            | {
                "Date Issued (GMT)": f"{number + 3}/24/2026 9:08:01 PM",
                "Vintage": "2025",
                "ReportingPeriodBegin": "1/1/2025",
                "ReportingPeriodEnd": "12/31/2025",
                "Total Credits Issued": str(to_project + to_buffer),
                "Credits Issued to Project": str(to_project),
                "Credits Issued to Buffer Pool": str(to_buffer),
                "Credits Transferred to Buffer Pool": "0",
                "Project Developer": DEVELOPER,
                "Project VVB": "SAMPLE – Verifier Inc.",
                "Project Crediting Period Start Date": "1/1/2020",
            }
        )
    return rows


def _acr_event(number: int, first: int, last: int, joint: str = " to ") -> Row:
    return _acr(number) | {
        "Credit Serial Numbers": (
            f"ACR-{CODE}-{990000 + number}-2025-{9900 + number}-{first}{joint}{last}"
        ),
        "Date Issued (GMT)": f"{number + 3}/24/2026 9:08:01 PM",
        "Vintage": "2025",
        "Vintage Assignment Period Start Date": "1/1/2025",
        "Vintage Assignment Period End Date": "12/31/2025",
        "Quantity of Credits": str(last - first + 1),
        "Account Holder": "SAMPLE – Account Holder",
        "CORSIA Eligible": "Yes" if number == 1 else "No",
        _PILOT: "Yes" if number == 1 else "",
    }


def acr_retirements() -> list[Row]:
    spans = ((0, 1, 500), (0, 501, 900), (1, 1, 1), (2, 100, 4_999), (3, 7, 7_000))
    rows = [
        _acr_event(*span)
        | {
            "fiid": str(990000 + span[0]),
            "Status Effective (GMT)": f"10/{place + 1}/2026 7:17:56 PM",
            "Retired on Behalf of": BUYER if place % 2 else "",
            "Retirement Reason": "Environmental Benefit",
            "Purpose of Retirement": "SAMPLE – emissions of 2025",
            "Numberoffiles": "8.0",
        }
        for place, span in enumerate(spans)
    ]
    older = _acr_event(4, 1, 5_000, "-")
    return [*rows, rows[0] | older | {"Retirement Reason": "On Behalf of Third Party"}]


def acr_cancellations() -> list[Row]:
    kinds = (
        "Convert to ARB offset credits",
        "Convert to Ecology offset credits",
        "Removal of credits from the registry",
    )
    return [
        _acr_event(number, 8_001, 9_000 + number)
        | {
            "ahID": "1",
            "Status Effective  (GMT)": f"12/{number + 1}/2026 12:00:05 AM",
            "Cancellation Type": kinds[number % 3],
            "Cancellation Details": "Premature issuance" if number % 3 == 2 else "",
            "fiid": str(990000 + number),
            "Numberoffiles": "3",
        }
        for number in range(5)
    ]


def acr_projects() -> list[Row]:
    return [
        _acr(number)
        | {
            "Compliance Program ID (ARB or Ecology)": ("", "CAFR99001", "ECYOD99002")[number % 3],
            "Project Developer": DEVELOPER,
            "Initial Crediting Period Start Date": "1/1/2020",
            "Current Crediting Period Start Date": "1/1/2020",
            "Current Crediting Period End Date": "12/31/2039",
            "Voluntary Status": "Registered" if number % 3 == 0 else "",
            "Compliance Program Status (ARB or Ecology)": "ARB Completed",
            "Project Status Date": "1/21/2022 6:27:06 PM",
            "Current VVB": "SAMPLE – Verifier Inc.",
            "Total Number of Credits Registered ": f"{10_418 + number}.0" if number else "",
        }
        for number in range(5)
    ]


# ── CAR ──────────────────────────────────────────────────────────────────────────────────────


def _car(number: int) -> Row:
    return {
        "Project ID": f"CAR{990000 + number}",
        "Project Name": name_of("CAR", number),
        "Project Type": "Forestry - ZZ",
        "Reduction/Removal": "Removal" if number % 2 else "Reduction",
        "Reversible/Non-Reversible": "Reversible" if number == 3 else "",
        "Protocol and Version": "Forestry - ZZ - Version 3.0",
        "Project Site Location": "Somewhere",
        "Project Site State": "SAMPLE STATE",
        "Project Site Country": CODE,
        "Corresponding Adjustment": "No",
        "CCP Approved": "Yes" if number % 2 else "",
        "ARB Eligible": "No",
        "WA ECO Eligible": "Yes" if number == 4 else "No",
    }


def car_issuances() -> list[Row]:
    rows = [
        _car(number)
        | {
            "Date Issued": f"0{number + 1}/10/2026",
            "Project Developer": DEVELOPER,
            "Project Owner": "SAMPLE – Owner Ltd.",
            "Vintage": "2025",
            "Total Offset Credits Issued": str(9_166 + 100 * number),
            "Offset Credits Currently in Reserve Buffer Pool": f"{45 * number}.0" if number else "",
            "Canceled for Compliance": "9366.0" if number == 2 else "",
            "Verification Body": "SAMPLE – Verifier Inc.",
            "Documents": "View",
        }
        for number in range(5)
    ]
    empty = {"Total Offset Credits Issued": "0", "Zero-Credit Reporting Period": "Yes"}
    return [*rows, rows[0] | empty | {"Vintage": "2024"}]


def _car_event(number: int, unit: str, first: int, last: int) -> Row:
    return _car(number) | {
        "Vintage": "2025",
        "Offset Credit Serial Numbers": (
            f"CAR-{unit}-{CODE}-{990000 + number}-31-983-SS-2025"
            f"-{9900 + number + 50 * (unit == 'ROC')}-{first} to {last}"
        ),
        "Quantity of Offset Credits": str(last - first + 1),
        "Status Effective": f"0{number + 3}/20/2026",
    }


def car_retirements() -> list[Row]:
    spans = ((0, 1, 5_000), (0, 5_001, 5_001), (1, 10, 2_000), (3, 1, 70), (4, 8, 80))
    return [
        _car_event(number, "1", first, last)
        | {
            "Account Holder": "SAMPLE – Account Holder",
            "Retirement Reason": "On Behalf of Third Party",
            "Retirement Reason Details": f"Retired on behalf of {BUYER}" if first > 1 else "",
        }
        for number, first, last in spans
    ]


def car_cancellations() -> list[Row]:
    return [
        _car_event(number, "ROC", 1, 900 + number)
        | {"Cancellation Reason": "WA ECO" if number % 3 == 0 else "ARB"}
        for number in range(5)
    ]


def car_projects() -> list[Row]:
    return [
        _car(number)
        | {
            "Compliance Program ID": "CAFR99010" if number % 2 else "",
            "ARB ID": "CAFR99010" if number % 2 else "",
            "WA ECO": "ECYOD99011" if number == 4 else "",
            "Project Developer": DEVELOPER,
            "Project Owner": "SAMPLE – Owner Ltd.",
            "Status": "Registered" if number else "Listed",
            "Total Number of Offset Credits Registered ": "9166.0" if number else "",
            "Project Listed Date": "01/31/2018",
            "Project Registered Date": "10/31/2018" if number else "",
        }
        for number in range(5)
    ]


# ── ART and ARB ──────────────────────────────────────────────────────────────────────────────


def _art(number: int) -> Row:
    fcpf = number % 2
    return {
        "Program ID": f"ART{9900 + number}",
        "Program Name": name_of("ART", number),
        "Program Type": "Forest Carbon",
        "Crediting Program and Standard": (
            "FCPF - Carbon Fund Methodological Framework"
            if fcpf
            else "ART - The REDD+ Environmental Excellence Standard (TREES)"
        ),
        "Standard Version": "Version 1.0" if fcpf else "Version 2.0",
        "Program Jurisdiction(s)": "National",
        "Program  Country": COUNTRY.upper(),
    }


def art_issuances() -> list[Row]:
    return [
        _art(number)
        | {
            "Date Approved": f"0{number + 1}/09/2026",
            "Sovereign Program Developer": DEVELOPER,
            "Vintage": "2023",
            "Total Emission Reductions/Removals": str(109_796 + 5_000 * (1 - number % 2)),
            "Credits Deposited in Buffer": str(5_000 * (1 - number % 2)),
            "Credits Verified": "109796",
            "CORSIA Eligible": "No" if number % 2 else "Yes",
            "Documents": "View",
            "fiID": str(9900 + number),
        }
        for number in range(4)
    ]


def _art_event(number: int, first: int, last: int) -> Row:
    standard = "FCPF" if number % 2 else "ART"
    return _art(number) | {
        "Vintage": "2023",
        "Credit Serial Numbers": (
            f"{standard}-{CODE}-{9900 + number}-2023-{20 + number}-{first} to {last}"
        ),
        "Quantity of Credits": str(last - first + 1),
        "Status Effective": f"0{number + 4}/08/2026",
        _PILOT: "" if number % 2 else "Yes",
        "Date Approved": "3/9/2026 4:16:10 PM",
        "Account Holder": "SAMPLE – Account Holder",
    }


def art_retirements() -> list[Row]:
    return [
        _art_event(number, first, last)
        | {
            "Retired on Behalf of": BUYER if number else "",
            "Retirement Reason": "Contribution Towards Corporate Climate Pledge",
            "Purpose of Retirement": "SAMPLE – travel of 2025",
        }
        for number, first, last in ((0, 1, 1_400), (0, 1_401, 1_408), (1, 1, 46_404), (3, 2, 99))
    ]


def art_cancellations() -> list[Row]:
    return [
        _art_event(number, 50_001, 51_000 + number)
        | {
            _FIRST: "Yes",
            "CORSIA Eligible": "Yes",
            "Cancellation Reason": "CORSIA Compliance",
            "Cancellation Details": "SAMPLE – Airline Ltd.; First Phase: 2024-2026",
        }
        for number in (0, 2)
    ]


def art_projects() -> list[Row]:
    return [
        _art(number)
        | {
            "Sovereign Program Developer": DEVELOPER,
            "Status": "Registered" if number else "Listed",
            "Initial Crediting Period Start Date": "1/1/2023",
            "Documents": "View",
            "Numberoffiles": "3",
        }
        for number in range(4)
    ]


def arb_issuances() -> list[Row]:
    base = {
        "CARB Project ID": "CAFR99001",
        "OPR Project ID": "ACR990001",
        "Project Type": "Forest",
        "Early Action/ Compliance": "COP",
        "Offset Project Name": name_of("ACR", 1),
        "Offset Project Operator": DEVELOPER,
        "State": "SS",
        "Provides DEBS": "DEBS",
        "Section 95989(b) Documentation, if applicable": "–",
    }

    def year(number: int, issued: str, **more: str) -> Row:
        return (
            base
            | {
                "Reporting Period": str(number),
                "Reporting Period Start Date": f"{2019 + number}-01-01",
                "Reporting Period End Date": f"{2019 + number}-12-31",
                "Vintage": f"{2019 + number}.0",
                "ARB Offset Credits Issued": issued,
                "Issuance Date": f"{2020 + number}-06-11",
                "Invalidation Timeframe": "8 years",
                "Start of Invalidation Timeframe": f"{2019 + number}-12-31",
                "CARB Issuance ID": f"CAFR99001-{'ABCDEF'[number - 1]}",
            }
            | more
        )

    bare = {"Vintage": "", "Issuance Date": "", "Start of Invalidation Timeframe": ""}
    return [
        year(1, "79565.0", **{
            "Forest Buffer Account Contribution": "9565.0",
            "Retired 4th Compliance Period (CA)": "20000.0",
            "Retired for Compliance in Quebec": "115.0",
        }),
        year(2, "31850.0", **{"Invalidated or Canceled": "466.0", "Comment": "SAMPLE – 466"}),
        year(3, "", **bare, **{"CARB Issuance ID": "CAFR99001-C-(zero)"}),
        year(4, "", **bare, **{"CARB Issuance ID": "", "Intentional Reversal": "-27150.0"}),
        year(4, "", **bare, **{"CARB Issuance ID": "CAFR99001-(reversal)"}),
        year(5, "reforest defer", **bare),
    ]  # fmt: skip


#: Columns that only some reports of one registry have: what the others drop.
APX_SHARED = frozenset(
    {*_acr(0), *_car(0), *_art(0), "CORSIA Eligible", _PILOT, "Date Approved", "Account Holder"}
)
