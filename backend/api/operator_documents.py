"""Drafts and tasks as the operator sees them, with what to look at before signing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import NamedTuple

from backend.api.operator_models import DraftModel, SignerModel, TaskAnswerModel, TaskModel
from backend.bridge.drafts import Draft
from backend.bridge.task_answers import misfits
from backend.domain.capabilities import bars_to_receipt
from backend.domain.classes import ClassFlag
from backend.domain.custody_tasks import Proposal, StatementRequest, Task, instructions_of
from backend.domain.registry_requests import SerialRange
from backend.errors import DuplicateOpen
from backend.registries.custody_file import Custody
from backend.store.custody import StoredReceipt
from backend.store.database import Database
from backend.store.duplicates import require_no_duplicates
from backend.store.queries.reading import chain_head
from backend.store.queries.shortfalls import shortfalls_of


class Caution(NamedTuple):
    """What a signer should look at first: a stable code of its kind, and the words."""

    code: str
    text: str


def cautions_of(database: Database, custody: Custody, draft: Draft) -> list[Caution]:
    """What bars a draft, and what a signer should know of it before: empty when nothing does."""
    found = [Caution("stopped", draft.reason)] if draft.reason else []
    if not isinstance(draft.held, StoredReceipt):
        return found
    receipt = draft.held.receipt
    credit_class = receipt.credit_class
    with database.read() as connection:
        now = chain_head(connection).timestamp or 0
        flags = shortfalls_of(connection, [int(credit_class.token_id)])
        try:
            require_no_duplicates(connection, credit_class.programme, credit_class.project)
        except DuplicateOpen as error:
            found.append(Caution("duplicate-open", error.message))
    for one in flags.values():
        if one.flags & ClassFlag.HOLD:
            text = "the class is held by a programme's order: nothing is minted"
            found.append(Caution("held", text))
        if one.flags & ClassFlag.GAP:
            found.append(Caution("short", "the class is short of credits: nothing is minted"))
    if receipt.valid_until < now:
        found.append(Caution("expired", f"validUntil {receipt.valid_until} has passed"))
    return found + _terms(custody, draft.held, datetime.fromtimestamp(now, UTC).date())


def _terms(custody: Custody, held: StoredReceipt, on: date) -> list[Caution]:
    """What the custody file says against it."""
    trust = custody.trust_of(held.receipt.account)
    if trust is None:
        text = "its registry account is no trust account of this deployment's custody file"
        return [Caution("no-trust-account", text)]
    programme = custody.programme(trust.account.programme, on)
    serials = [SerialRange.of(one) for one in held.receipt.intervals]
    found = [Caution("bars", one) for one in bars_to_receipt(programme, trust, serials, on)]
    if trust.terms_hash != held.receipt.terms_hash:
        text = f"it names other terms than those of {trust.name} in the custody file"
        found.append(Caution("other-terms", text))
    return found


def draft_model(draft: Draft, cautions: list[Caution]) -> DraftModel:
    """A draft for a wallet to sign."""
    return DraftModel(
        id=draft.id,
        type=draft.type,
        state=draft.state,
        reason=draft.reason,
        class_id=draft.class_id,
        signed_by=[SignerModel.model_validate(one) for one in draft.approvals],
        cautions=[one.text for one in cautions],
        typed_data=draft.typed_data(),
    )


def task_model(task: Task, now: int) -> TaskModel:
    """A task with every answer; `now`: Unix seconds."""
    return TaskModel(
        reference=task.reference,
        state=task.state.value,
        late=task.is_late(now),
        created_at=task.created_at,
        deadline=task.request.deadline,
        request=task.request.as_json(),
        instructions=dict(instructions_of(task)),
        answers=[_answer(task, one) for one in task.proposals],
    )


def _answer(task: Task, one: Proposal) -> TaskAnswerModel:
    statement = isinstance(task.request, StatementRequest)
    content = dict(one.content)
    if statement:
        content = {"as_of": content["as_of"], "blocks": len(content["blocks"])}
    return TaskAnswerModel(
        number=one.number,
        content=content,
        evidence="0x" + one.evidence.hex(),
        file=one.file_name,
        answered_by=one.answered_by,
        answered_at=one.answered_at,
        reviewed_by=one.reviewed_by or None,
        reviewed_at=one.reviewed_at,
        approved=one.approved,
        note=one.note,
        misfits=misfits(task, one),
    )
