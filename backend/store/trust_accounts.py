"""The register of trust accounts, and where the blocks of each receipt stand now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from backend.domain.registry_requests import RegistryAccount
from backend.domain.trusts import Rebinding, TrustAccount
from backend.errors import Conflict
from backend.store.custody_tables import receipt_rebindings, trust_accounts


def _content(trust: TrustAccount) -> dict[str, Any]:
    consent = trust.consent
    return {
        "trustee": trust.trustee,
        "trustee_identifier": trust.trustee_identifier,
        "custodian": trust.custodian,
        "governing_law": trust.governing_law,
        "holder_right": trust.holder_right,
        "text": trust.text,
        "opened_on": trust.opened_on.isoformat(),
        "closed_on": trust.closed_on.isoformat() if trust.closed_on else None,
        "consent": None
        if consent is None
        else {
            "given_by": consent.given_by,
            "document": consent.document,
            "given_on": consent.given_on.isoformat(),
            "until": consent.until.isoformat() if consent.until else None,
            "wind_down_days": consent.wind_down_days,
        },
        "successor": trust.successor,
        "is_sample": trust.is_sample,
    }


def record_trusts(connection: Connection, trusts: Iterable[TrustAccount]) -> int:
    """Keep every version of the accounts that is not kept yet; how many were new.

    A receipt's hash of terms can be looked up for ever, whatever the file says by then.
    """
    new = 0
    for trust in trusts:
        content = _content(trust)
        text = json.dumps({"name": trust.name, **content}, sort_keys=True, ensure_ascii=False)
        row = {
            "account": str(trust.account),
            "account_id": "0x" + trust.account_id.hex(),
            "name": trust.name,
            "terms_hash": "0x" + trust.terms_hash.hex(),
            "content": content,
            # An index over the whole text of long terms would not fit a page.
            "content_hash": "0x" + keccak(text=text).hex(),
        }
        made = connection.execute(
            insert(trust_accounts)
            .values(row)
            .on_conflict_do_nothing(index_elements=["account", "content_hash"])
            .returning(trust_accounts.c.number)
        )
        new += len(made.all())
    return new


def terms_of(connection: Connection, terms_hash: bytes) -> dict[str, Any] | None:
    """Account, name and content of the newest version with this hash of terms."""
    row = connection.execute(
        select(trust_accounts.c.account, trust_accounts.c.name, trust_accounts.c.content)
        .where(trust_accounts.c.terms_hash == "0x" + terms_hash.hex())
        .order_by(trust_accounts.c.number.desc())
        .limit(1)
    ).first()
    return None if row is None else {"account": row.account, "name": row.name, **row.content}


def record_rebinding(connection: Connection, rebinding: Rebinding) -> None:
    """Keep that a receipt's blocks moved. Again the same changes nothing (L10).

    Raises Conflict when they do not stand where it says they came from, or when the registry's
    reference was recorded with something else.
    """
    row = {
        "receipt_id": rebinding.receipt_id,
        "old_account": str(rebinding.old),
        "new_account": str(rebinding.new),
        "terms_hash": "0x" + rebinding.terms_hash.hex(),
        "registry_reference": rebinding.registry_reference,
        "rebound_on": rebinding.on,
    }
    history = rebindings_of(connection, rebinding.receipt_id)
    if rebinding in history:
        return
    now = history[-1].new if history else rebinding.old
    if now != rebinding.old:
        raise Conflict(
            f"the blocks of {rebinding.receipt_id} stand in {now}, not in {rebinding.old}",
            receipt_id=rebinding.receipt_id,
            account=str(now),
        )
    made = connection.execute(
        insert(receipt_rebindings)
        .values(row)
        .on_conflict_do_nothing(index_elements=["receipt_id", "registry_reference"])
        .returning(receipt_rebindings.c.number)
    )
    if made.first() is None:
        raise Conflict(
            f"{rebinding.registry_reference} moved {rebinding.receipt_id} otherwise",
            receipt_id=rebinding.receipt_id,
        )


def rebindings_of(connection: Connection, receipt_id: str) -> list[Rebinding]:
    """Every move of a receipt's blocks, oldest first."""
    columns = receipt_rebindings.c
    rows = connection.execute(
        select(receipt_rebindings).where(columns.receipt_id == receipt_id).order_by(columns.number)
    )
    return [
        Rebinding(
            row.receipt_id,
            RegistryAccount.parse(row.old_account),
            RegistryAccount.parse(row.new_account),
            bytes.fromhex(row.terms_hash.removeprefix("0x")),
            row.registry_reference,
            row.rebound_on,
        )
        for row in rows
    ]
