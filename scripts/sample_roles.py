"""Which column of each layout plays which part: what the bad inputs are made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Roles:
    """Columns of a layout by what they hold; "" where it has none.

    `span` finds the two numbers of a serial as groups 1 and 2; `bounds` are the columns of first
    and last where they stand apart. `project_in` and `vintage_in` say that the serial names them
    too. `dates` may be empty unless they are in `required`. `amounts` are further numbers.
    `row` is the row of the sample (from 1) that is spoilt: more than one unit, with a serial.
    """

    quantity: str = ""
    project: str = ""
    serial: str = ""
    span: str = ""
    bounds: tuple[str, str] | tuple[()] = ()
    vintage: tuple[str, ...] = ()
    status: str = ""
    dates: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    style: str = "iso"
    amounts: tuple[str, ...] = ()
    project_in: bool = False
    vintage_in: bool = False
    #: Texts that name something in no grammar: Causeway's own layouts.
    free: tuple[str, ...] = ()
    #: The quantity is checked against the serial or against a sum.
    counted: bool = True
    #: A status no one knows is refused; else only an empty one is.
    closed_status: bool = True
    #: An issuance may be of nothing.
    zero: bool = False
    row: int = 1


_TO = r"-(\d+) to (\d+)$"
_TAIL = r"[-_](\d+)-(\d+)$"
_PLAIN = r"^(\d+) - (\d+)$"
_HOLDING_DATES = ("Vintage Start", "Vintage End", "Issuance Date", "Retirement Date")
_ISSUED_GS = ("Issuance Date", "Monitoring Period Start", "Monitoring Period End")
_PERIOD_ACR = ("Vintage Assignment Period Start Date", "Vintage Assignment Period End Date")
_KG = ".credit_kgs"

ROLES: dict[str, Roles] = {
    "verra-vcu-export": Roles(
        quantity="Quantity Issued",
        project="ID",
        serial="Serial Number",
        span=r"^\d+-(\d+)-(\d+)-",
        vintage=("Vintage Start", "Vintage End"),
        dates=("Issuance Date", "Retirement/Cancellation Date"),
        required=("Issuance Date",),
        style="either",
        amounts=("Total Vintage Quantity",),
        project_in=True,
        vintage_in=True,
    ),
    "gold-standard-issuances": Roles(
        quantity="Quantity",
        project="GSID",
        serial="Serial Number",
        span=_TAIL,
        vintage=("Vintage",),
        status="Credit Status",
        dates=_ISSUED_GS,
        required=("Issuance Date",),
        project_in=True,
        vintage_in=True,
    ),
    "gold-standard-retirements": Roles(
        quantity="Quantity",
        project="GSID",
        serial="Serial Number",
        span=_TAIL,
        vintage=("Vintage",),
        status="Credit Status",
        dates=(*_ISSUED_GS, "Retirement Date"),
        required=("Issuance Date", "Retirement Date"),
        project_in=True,
        vintage_in=True,
        row=2,
    ),
    "cdm-issuances": Roles(
        quantity="Total",
        project="Project number",
        serial="SERIAL RANGE",
        span=_PLAIN,
        status="Status",
        dates=("Completion date",),
        required=("Completion date",),
    ),
    "cdm-voluntary-cancellations": Roles(
        quantity="Total",
        project="Project Identifier",
        serial="Serial Range",
        span=_PLAIN,
        status="Status",
        dates=("Completion Date",),
        required=("Completion Date",),
    ),
    "acr-issuances": Roles(
        quantity="Total Credits Issued",
        project="Project ID",
        vintage=("Vintage",),
        dates=(
            "Date Issued (GMT)",
            "ReportingPeriodBegin",
            "ReportingPeriodEnd",
            "Project Crediting Period Start Date",
        ),
        required=("Date Issued (GMT)",),
        style="us",
        amounts=(
            "Credits Issued to Project",
            "Credits Issued to Buffer Pool",
            "Credits Transferred to Buffer Pool",
        ),
    ),
    "acr-retirements": Roles(
        quantity="Quantity of Credits",
        project="Project ID",
        serial="Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        dates=("Date Issued (GMT)", *_PERIOD_ACR, "Status Effective (GMT)"),
        required=("Date Issued (GMT)", "Status Effective (GMT)"),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "acr-cancellations": Roles(
        quantity="Quantity of Credits",
        project="Project ID",
        serial="Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        status="Cancellation Type",
        dates=("Date Issued (GMT)", *_PERIOD_ACR, "Status Effective  (GMT)"),
        required=("Date Issued (GMT)", "Status Effective  (GMT)"),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "acr-projects": Roles(
        project="Project ID",
        dates=(
            "Initial Crediting Period Start Date",
            "Current Crediting Period Start Date",
            "Current Crediting Period End Date",
            "Project Status Date",
        ),
        style="us",
        amounts=("Total Number of Credits Registered ",),
    ),
    "car-issuances": Roles(
        quantity="Total Offset Credits Issued",
        project="Project ID",
        vintage=("Vintage",),
        dates=("Date Issued",),
        required=("Date Issued",),
        style="us",
        amounts=(
            "Offset Credits Currently in Reserve Buffer Pool",
            "Offset Credits Intended for Compliance Buffer Pool",
            "Offset Credits Converted to VCUs",
            "Canceled for Compliance",
            "Canceled",
        ),
        counted=False,
    ),
    "car-retirements": Roles(
        quantity="Quantity of Offset Credits",
        project="Project ID",
        serial="Offset Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        dates=("Status Effective",),
        required=("Status Effective",),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "car-cancellations": Roles(
        quantity="Quantity of Offset Credits",
        project="Project ID",
        serial="Offset Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        status="Cancellation Reason",
        dates=("Status Effective",),
        required=("Status Effective",),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "car-projects": Roles(
        project="Project ID",
        status="Status",
        closed_status=False,
        dates=("Project Listed Date", "Project Registered Date"),
        style="us",
        amounts=("Total Number of Offset Credits Registered ",),
    ),
    "art-issuances": Roles(
        quantity="Total Emission Reductions/Removals",
        project="Program ID",
        vintage=("Vintage",),
        dates=("Date Approved",),
        required=("Date Approved",),
        style="us",
        amounts=("Credits Deposited in Buffer", "Credits Verified"),
    ),
    "art-retirements": Roles(
        quantity="Quantity of Credits",
        project="Program ID",
        serial="Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        dates=("Date Approved", "Status Effective"),
        required=("Date Approved", "Status Effective"),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "art-cancellations": Roles(
        quantity="Quantity of Credits",
        project="Program ID",
        serial="Credit Serial Numbers",
        span=_TO,
        vintage=("Vintage",),
        status="Cancellation Reason",
        dates=("Date Approved", "Status Effective"),
        required=("Date Approved", "Status Effective"),
        style="us",
        project_in=True,
        vintage_in=True,
    ),
    "art-projects": Roles(
        project="Program ID",
        status="Status",
        closed_status=False,
        dates=("Initial Crediting Period Start Date",),
        style="us",
    ),
    "arb-issuances": Roles(
        quantity="ARB Offset Credits Issued",
        project="CARB Project ID",
        vintage=("Vintage",),
        dates=(
            "Reporting Period Start Date",
            "Reporting Period End Date",
            "Issuance Date",
            "Date Invalidation Period Reduced",
            "Start of Invalidation Timeframe",
        ),
        required=("Reporting Period Start Date", "Reporting Period End Date"),
        amounts=(
            "Forest Buffer Account Contribution",
            "Intentional Reversal",
            "Invalidated or Canceled",
            "Retired Voluntarily",
            "Retired 1st Compliance Period (CA)",
            "Retired for Compliance in Quebec",
        ),
        counted=False,
        zero=True,
    ),
    "cercarbono-issuances": Roles(
        quantity="issued_quantity",
        serial="serial",
        vintage=("year",),
        status="is_buffer",
        dates=("issuance_date",),
        required=("issuance_date",),
        counted=False,
    ),
    "cercarbono-retirements": Roles(
        quantity="quantity",
        project="project_id",
        serial="serial",
        bounds=("from", "to"),
        vintage=("vintage",),
        dates=("date",),
        required=("date",),
        project_in=True,
    ),
    "cercarbono-projects": Roles(
        project="id", status="stage", closed_status=False, amounts=("annualEstimated",)
    ),
    "isometric-issuances": Roles(
        quantity=f"credit_batch_size_total{_KG}",
        project="project_id",
        dates=("issued_at",),
        required=("issued_at",),
        amounts=(
            f"supplier_credit_batch_size_total{_KG}",
            f"buffer_pool_credit_batch_size_total{_KG}",
        ),
    ),
    "isometric-retirements": Roles(
        quantity=f"credit_batch_size_total{_KG}",
        project="project_id",
        dates=("retired_at", "sequestered_on"),
        required=("retired_at",),
    ),
    "isometric-projects": Roles(
        project="id",
        status="status",
        closed_status=False,
        dates=("crediting_period_start", "crediting_period_end"),
        amounts=(f"issued_credits_total{_KG}", f"retired_credits_total{_KG}"),
    ),
    "puro-holdings": Roles(
        free=("Project",),
        quantity="Quantity",
        project="Project",
        serial="Certificates",
        span=_TAIL,
        status="Status",
        dates=_HOLDING_DATES,
        required=("Vintage Start", "Vintage End"),
        project_in=True,
    ),
    "ccer-holdings": Roles(
        free=("Project", "CCER Serial Text"),
        quantity="Quantity",
        project="Project",
        bounds=("First Number", "Last Number"),
        status="Status",
        dates=_HOLDING_DATES,
        required=("Vintage Start", "Vintage End"),
    ),
    "phcer-holdings": Roles(
        free=("Project", "PHCER Serial Text"),
        quantity="Quantity",
        project="Project",
        bounds=("First Number", "Last Number"),
        status="Status",
        dates=_HOLDING_DATES,
        required=("Vintage Start", "Vintage End"),
    ),
    "verra-projects": Roles(
        project="ID",
        status="Status",
        closed_status=False,
        dates=(
            "Project Registration Date",
            "Crediting Period Start Date",
            "Crediting Period End Date",
        ),
        amounts=("Estimated Annual Emission Reductions",),
    ),
    "verra-projects-2026": Roles(
        project="Project ID",
        status="Status",
        closed_status=False,
        dates=(
            "Estimated Project Start Date",
            "Crediting Period Duration Start Date",
            "Crediting Period Duration End Date",
            "Project Registration Date",
        ),
        style="worded",
        amounts=("Estimated Average Annual Emission Reductions and Carbon Dioxide Removals",),
    ),
    "gold-standard-projects": Roles(
        project="GSID", status="Status", amounts=("Estimated Annual Credits",)
    ),
}
ROLES |= {
    layout: Roles(
        quantity="Quantity",
        project="Project",
        serial=f"{programme} Serial Numbers",
        span=_TAIL if programme == "GS" else _TO,
        status="Status",
        dates=_HOLDING_DATES,
        required=("Vintage Start", "Vintage End"),
        free=("Project",),
        project_in=True,
    )
    for layout, programme in (
        ("gold-standard-holdings", "GS"),
        ("acr-holdings", "ACR"),
        ("car-holdings", "CAR"),
        ("art-holdings", "ART"),
    )
}
