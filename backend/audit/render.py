"""Shows a report to people: one row per law, then every break with its place."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.audit.report import LAWS, AuditReport, Break, Status

_STYLES = {Status.HOLDS: "green", Status.BROKEN: "bold red", Status.NOT_CHECKED: "yellow"}
#: Breaks of one law that are shown to people; `--json` has them all.
MAX_SHOWN = 20


def _figures(figures: object) -> str:
    pairs = dict(figures).items() if isinstance(figures, dict) else ()
    return "\n".join(f"{name.replace('_', ' ')} {value:,}" for name, value in pairs)


def _where(found: Break) -> str:
    if found.transaction is None:
        return "no transaction touched it"
    return f"transaction {found.transaction}, block {found.block}"


def render(report: AuditReport, console: Console) -> None:
    """Print a report."""
    title = f"Audit of chain {report.chain_id} at block {report.block} ({report.block_hash[:18]}…)"
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("Law", "Status", "Why", "Figures"):
        table.add_column(heading, overflow="fold")
    code = report.code
    rows = [("code", "", code.status, code.reason, {"contracts": len(code.contracts)})]
    rows += [
        (name, LAWS[name], law.status, law.reason, dict(law.figures))
        for name, law in report.laws.items()
    ]
    for name, title_of_law, status, reason, figures in rows:
        style = _STYLES[status]
        table.add_row(
            f"{name} {title_of_law}".strip(),
            f"[{style}]{status}[/{style}]",
            escape(reason),
            _figures(figures),
        )
    console.print(table)
    for name, law in report.laws.items():
        for found in law.breaks[:MAX_SHOWN]:
            console.print(f"[bold red]{name}[/bold red] {escape(found.what)}")
            console.print(f"    {_where(found)}")
            if found.serials:
                console.print(f"    serials {', '.join(found.serials)}")
            if found.amounts:
                amounts = ", ".join(f"{key} {value}" for key, value in found.amounts.items())
                console.print(f"    {escape(amounts)}")
        if len(law.breaks) > MAX_SHOWN:
            console.print(f"    … {len(law.breaks) - MAX_SHOWN} more of {name}: see --json")
