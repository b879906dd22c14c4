"""`causeway capabilities`, `causeway trusts`: what programmes allow, whose trusts there are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import typer

from backend.bridge.move_flow import MOVE
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.domain.capabilities import QUESTIONS, Known, Mode, Programme
from backend.domain.trusts import TrustAccount
from backend.errors import InvalidValue
from backend.registries.custody_file import Custody, load_custody
from backend.registries.programmes import programme_data, programmes
from backend.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("capabilities")(capabilities)
    app.command("trusts")(trusts)
    app.command("change-custodian")(change_custodian)


def parse_day(text: str | None, field: str = "on") -> date:
    """A day YYYY-MM-DD; today in UTC when none is given."""
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidValue(field, text, "is not a day in the form YYYY-MM-DD") from None


def capabilities(
    programme: str | None = typer.Argument(None, help="One programme, with sources and rules."),
    on: str | None = typer.Option(None, help="As of this day, YYYY-MM-DD; default today."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What each programme allows: the committed table and what this deployment has in writing."""
    with reporting(as_json):
        day = parse_day(on)
        custody = load_custody(Settings.from_environment().custody)
        codes = [programme] if programme else list(programmes())
        found = [custody.programme(code, day) for code in codes]
        document = {"on": day, "programmes": [_document(one) for one in found]}
        emit(as_json, document, lambda: _say(found, in_full=programme is not None))


def _document(found: Programme) -> dict[str, Any]:
    rules = programme_data(found.programme).rules
    return {
        "programme": found.programme,
        "name": found.name,
        "mode": found.mode,
        "mode_reason": found.mode_reason,
        "answers": {
            name: {"answer": one.answer, "source": one.source}
            for name, one in found.answers.items()
        },
        "retirement": {
            "beneficiary_required": rules.beneficiary_required,
            "identifier_required": rules.identifier_required,
            "kinds": rules.kinds,
            "countries": rules.countries,
            "uses": rules.uses,
            "reasons": rules.reasons,
            "schemes": [
                {"name": one.name, "periods": one.periods, "filed_from": one.filed_from}
                for one in rules.schemes
            ],
            "claim_required": rules.claim_required,
            "private_allowed": rules.private_allowed,
            "notices": rules.notices,
            "sources": rules.sources,
        },
    }


def _say(found: list[Programme], in_full: bool) -> None:
    if in_full:
        for one in found:
            _say_one(one)
        return
    for mode, title in (
        (Mode.TOKEN, "tokens may be made, with what else is asked"),
        (Mode.LEDGER, "a ledger only: custody, serials and retirements, no token"),
    ):
        those = [one for one in found if one.mode is mode]
        rows = [
            (question.replace("_", " "), *(_SHORT.get(one.answer(question), "?") for one in those))
            for question in QUESTIONS
        ]
        table(title, ("", *(one.programme for one in those)), rows)
    say("?: not known, which counts as a no until the custody file states it; sub: in sub-accounts")


_SHORT = {Known.YES: "yes", Known.NO: "no", Known.SUB_ACCOUNTS: "sub"}


def _say_one(found: Programme) -> None:
    say(f"{found.programme}, {found.name}: {found.mode}, {found.mode_reason}")
    for name, question in QUESTIONS.items():
        one = found.answers[name]
        say(f"  {question}? {one.answer} ({one.source})")
    rules = programme_data(found.programme).rules
    say("of a retirement:")
    asked = [
        name
        for name, wanted in (
            ("beneficiary", rules.beneficiary_required),
            ("identifier", rules.identifier_required),
            ("claim period", rules.claim_required),
        )
        if wanted
    ]
    say(f"  mandatory: {', '.join(asked) or 'nothing'}")
    where = ", ".join(rules.countries) or "any country"
    say(f"  beneficiaries: {', '.join(rules.kinds)} of {where}")
    say(f"  reasons: {', '.join(rules.reasons) or 'any text'}")
    say(f"  schemes: {', '.join(one.name for one in rules.schemes) or 'none'}")
    for notice in rules.notices:
        say(f"  note: {notice}")
    for source in rules.sources:
        say(f"  source: {source}")


def trusts(
    check: Path | None = typer.Option(None, help="Check this file instead of the one in force."),
    name: str | None = typer.Option(None, help="One trust account, with its terms."),
    on: str | None = typer.Option(None, help="As of this day, YYYY-MM-DD; default today."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The trust accounts of this deployment: who holds, under which terms, until when."""
    with reporting(as_json):
        day = parse_day(on)
        custody = load_custody(check or Settings.from_environment().custody)
        found = [custody.trust(name)] if name else list(custody.trusts)
        document = {
            "on": day,
            "sample": custody.is_sample,
            "trusts": [trust_document(one, day) for one in found],
        }
        emit(as_json, document, lambda: _say_trusts(custody, found, day, name is not None))


def change_custodian(
    name: str = typer.Argument(help="Name of the trust account that is given up."),
    execute: bool = typer.Option(False, "--execute", help="Plan the moves; default: only show."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Move every live block of a trust account to its successor, one transfer for each block.

    The worker carries the moves out; the same command again shows how far they are.
    """
    with reporting(as_json), Context.load(as_json) as context:
        trust = context.custody.trust(name)
        successor = context.custody.trust(trust.successor) if trust.successor else None
        if execute:
            context.bridge.moves.plan(name)
        moves = [
            {"id": one.id, "state": one.state, "reason": one.reason, **one.content["request"]}
            for one in context.bridge.parts.flows.of_kind(MOVE)
            if one.content["request"]["account"] == str(trust.account)
        ]
        document = {
            "account": str(trust.account),
            "successor": None if successor is None else str(successor.account),
            "moves": moves,
        }
        rows = [(one["serials"], one["state"], one["reason"] or "") for one in moves]
        title = f"{trust.account} to {document['successor'] or 'no successor'}"
        emit(as_json, document, lambda: table(title, ("serials", "state", ""), rows))


def trust_document(trust: TrustAccount, on: date) -> dict[str, Any]:
    """One trust account for `--json`."""
    return {
        "name": trust.name,
        "account": str(trust.account),
        "account_id": trust.account_id,
        "terms_hash": trust.terms_hash,
        "trustee": trust.trustee,
        "trustee_identifier": trust.trustee_identifier,
        "custodian": trust.custodian,
        "governing_law": trust.governing_law,
        "holder_right": trust.holder_right,
        "terms": trust.text,
        "phase": trust.phase(on),
        "opened_on": trust.opened_on,
        "ends_on": trust.ends_on(),
        "wound_down_on": trust.wound_down_on(),
        "consent": trust.consent,
        "successor": trust.successor or None,
        "sample": trust.is_sample,
    }


def _say_trusts(custody: Custody, found: list[TrustAccount], on: date, in_full: bool) -> None:
    if custody.is_sample:
        say("these are SAMPLES: no rights arise from them; CAUSEWAY_CUSTODY names your own file")
    for one in found:
        end = one.ends_on()
        say(f"{one.name}: {one.account}, {one.phase(on)}" + (f", until {end}" if end else ""))
        say(f"  trustee {one.trustee}, custodian {one.custodian}, law of {one.governing_law}")
        if one.consent:
            say(f"  consent of {one.consent.given_by}: {one.consent.document}")
        say(f"  account 0x{one.account_id.hex()}")
        say(f"  terms   0x{one.terms_hash.hex()}")
        if in_full:
            say(f"  right   {one.holder_right}")
            say(f"  {one.text}")
