"""The deployment's custody file: its registries, its trust accounts, what it has in writing.

One JSON document that the setting `custody` names; without one the committed sample holds, whose
texts are marked as samples. `docs/custody-file.md` describes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from backend.domain.capabilities import Known, Programme, Statement
from backend.domain.registry_requests import RegistryAccount
from backend.domain.trusts import Consent, TrustAccount, check_trusts
from backend.errors import InvalidValue, NotFound
from backend.registries.documents import Node
from backend.registries.programmes import programme_data, programmes

VERSION = 1
MAX_FILE_BYTES = 16 * 1024 * 1024


class Channel(StrEnum):
    """How a registry is spoken to."""

    HTTP = "http"
    #: Tasks for people, confirmed with four eyes.
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class RegistryLink:
    """How the registry of one programme is reached. `token_variable`: the environment variable
    that holds the token, never the token; `task_hours`: until when people should have done it;
    `service_hours`: until when its API has done it at the latest, None when nobody promised that.
    `fees_passed_on`: whether holders pay what the programme charges, else the operator does.
    """

    programme: str
    channel: Channel
    url: str = ""
    token_variable: str = ""
    task_hours: int = 72
    service_hours: int | None = None
    fees_passed_on: bool = False

    def latest_hours(self) -> int | None:
        """Hours until what is asked is done at the registry; None when nothing says so."""
        return self.task_hours if self.channel is Channel.MANUAL else self.service_hours


@dataclass(frozen=True, slots=True)
class Custody:
    """Everything of the file, checked."""

    links: Mapping[str, RegistryLink]
    trusts: tuple[TrustAccount, ...]
    statements: tuple[Statement, ...]
    is_sample: bool

    def trust(self, name: str) -> TrustAccount:
        """The trust account of a name, or of a registry account's text. Raises NotFound."""
        for one in self.trusts:
            if name in (one.name, str(one.account)):
                return one
        listed = ", ".join(one.name for one in self.trusts) or "none"
        raise NotFound(f"there is no trust account {name!r}: {listed}", name=name)

    def trust_of(self, account_id: bytes) -> TrustAccount | None:
        """The trust account that a receipt's `account` names."""
        return next((one for one in self.trusts if one.account_id == account_id), None)

    def open_trust(self, programme: str, on: date) -> TrustAccount:
        """The first account of a programme that takes credits in on a day. Raises NotFound."""
        for one in self.trusts:
            if one.account.programme == programme and one.phase(on) == "open":
                return one
        raise NotFound(f"no trust account of {programme} is open on {on}", programme=programme)

    def programme(self, code: str, on: date) -> Programme:
        """What a programme allows, with what this deployment has in writing. Raises NotFound."""
        return programme_data(code).capabilities.with_statements(self.statements, on)

    def link(self, programme: str) -> RegistryLink:
        """How its registry is reached: by people, unless the file says otherwise."""
        return self.links.get(programme) or RegistryLink(programme, Channel.MANUAL)


def parse_custody(document: Any) -> Custody:
    """The file's content, checked. Raises InvalidValue with the place of what is wrong."""
    top = Node(document, "custody")
    if top.number("version") != VERSION:
        raise InvalidValue("custody.version", document["version"], f"is not {VERSION}")
    is_sample = top.flag("sample", False)
    links: dict[str, RegistryLink] = {}
    for node in top.nodes("registries"):
        link = _link(node)
        if link.programme in links:
            raise InvalidValue(node.place, link.programme, "stands there twice")
        links[link.programme] = link
    trusts = tuple(_trust(node, is_sample) for node in top.nodes("trusts"))
    statements = tuple(_statement(node) for node in top.nodes("statements"))
    top.done()
    check_trusts(trusts)
    for one in statements:
        # Refused here rather than on the day it would be needed.
        programme_data(one.programme).capabilities.with_statements([one], date.min)
    return Custody(links, trusts, statements, is_sample)


def load_custody(path: Path | None) -> Custody:
    """The deployment's file, or the sample when it names none. Raises InvalidValue."""
    if path is None:
        return parse_custody(json.loads(sample_text()))
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidValue("CAUSEWAY_CUSTODY", str(path), f"cannot be read: {error}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidValue("CAUSEWAY_CUSTODY", str(path), f"is over {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise InvalidValue("CAUSEWAY_CUSTODY", str(path), f"is not JSON: {error}") from None
    return parse_custody(document)


def sample_text() -> str:
    """The committed sample, to begin a file of one's own with."""
    return (files("backend") / "samples" / "sample-custody.json").read_text(encoding="utf-8")


def _link(node: Node) -> RegistryLink:
    link = RegistryLink(
        _programme_code(node),
        node.member("channel", Channel),
        node.text("url", ""),
        node.text("token_variable", ""),
        node.number("task_hours", 72),
        node.optional_number("service_hours"),
        node.flag("fees_passed_on", False),
    )
    if (link.channel is Channel.HTTP) != bool(link.url):
        raise InvalidValue(f"{node.place}.url", link.url, "is given for http, and only for it")
    for name in ("task_hours", "service_hours"):
        hours = getattr(link, name)
        if hours is not None and not 1 <= hours <= 8_760:
            raise InvalidValue(f"{node.place}.{name}", hours, "is not 1 … 8760")
    if link.channel is Channel.MANUAL and link.service_hours is not None:
        rule = "is given for http alone: people have task_hours"
        raise InvalidValue(f"{node.place}.service_hours", link.service_hours, rule)
    node.done()
    return link


def _programme_code(node: Node) -> str:
    code = node.text("programme")
    if code not in programmes():
        raise InvalidValue(f"{node.place}.programme", code, "is not a programme known here")
    return code


def _trust(node: Node, is_sample: bool) -> TrustAccount:
    consent = node.optional_node("consent")
    try:
        made = TrustAccount(
            node.text("name"),
            RegistryAccount(
                _programme_code(node), node.text("account"), node.text("sub_account", "")
            ),
            node.text("trustee"),
            node.text("trustee_identifier", ""),
            node.text("custodian"),
            node.text("governing_law"),
            node.text("holder_right"),
            node.text("terms"),
            node.day("opened_on"),
            node.optional_day("closed_on"),
            None if consent is None else _consent(consent),
            node.text("successor", ""),
            is_sample,
        )
    except InvalidValue as error:
        if error.field.startswith("custody."):
            raise
        raise InvalidValue(f"{node.place}.{error.field}", error.value, error.rule) from None
    node.done()
    return made


def _consent(node: Node) -> Consent:
    made = Consent(
        node.text("given_by"),
        node.text("document"),
        node.day("given_on"),
        node.optional_day("until"),
        node.number("wind_down_days"),
    )
    node.done()
    return made


def _statement(node: Node) -> Statement:
    made = Statement(
        _programme_code(node),
        node.text("capability"),
        node.member("answer", Known),
        node.text("given_by"),
        node.text("document"),
        node.optional_day("until"),
    )
    node.done()
    return made
