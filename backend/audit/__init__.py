"""Independent checker: judges every law from the chain and registry exports, without a database."""

from backend.audit.checker import run
from backend.audit.render import render
from backend.audit.report import (
    AuditReport,
    Break,
    CodeReport,
    LawReport,
    Status,
    as_json,
    exit_code,
)

__all__ = [
    "AuditReport",
    "Break",
    "CodeReport",
    "LawReport",
    "Status",
    "as_json",
    "exit_code",
    "render",
    "run",
]
