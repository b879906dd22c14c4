"""`/v1/operator`: what custodians, attestors and the operator's people see and decide.

A session opens it whose account has a role on the chain; each act needs the role that it is about.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from backend.api.answers import many, one, respond, services_of
from backend.api.bridge_models import BreakModel
from backend.api.duplicate_models import DuplicateCaseModel
from backend.api.errors import responses
from backend.api.models import Answer, PageAnswer
from backend.api.operator_documents import cautions_of, draft_model, task_model
from backend.api.operator_models import (
    DecisionRequest,
    DraftAnswer,
    DraftsAnswer,
    FlowModel,
    FlowsQuery,
    PersonAnswer,
    PersonModel,
    RejectedModel,
    RejectedQuery,
    ResolutionRequest,
    ReviewRequest,
    SignatureRequest,
    TaskAnswer,
    TaskAnswerRequest,
    TasksAnswer,
    TasksQuery,
)
from backend.api.operators import body_of, done, person_of, require_person, takes
from backend.api.parameters import DuplicateIdPath, Hash, ImportId, ImportIdPath
from backend.api.parameters import Query as Plain
from backend.api.session import session_account
from backend.bridge.drafts import get_draft, open_drafts
from backend.bridge.operators import Person, acts_of
from backend.bridge.task_answers import Said
from backend.domain.custody_tasks import TaskState
from backend.errors import InvalidValue
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.queries import flows
from backend.store.queries.reading import ChainHead, Connection, Page
from backend.store.queries.registry import get_import
from backend.store.queries.rejections import Rejected
from backend.store.queries.rejections import list_rejected as rejected_rows

router = APIRouter(prefix="/v1/operator", tags=["operator"])
Somebody = Annotated[Person, Depends(require_person)]
DraftIdPath = Annotated[Hash, Path(description="EIP-712 digest of the draft.")]
ReferencePath = Annotated[
    str,
    Path(
        description="Reference of the task.",
        max_length=120,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$",
        examples=["statement:9f86d081884c7d65:0"],
    ),
]
NumberPath = Annotated[ImportId, Path(description="Number, from 1.")]
_PROBLEMS = responses(401, 403)
_CHANGES = responses(400, 401, 403, 404)


@router.get("/person", response_model=PersonAnswer, responses=responses(401))
async def get_person(
    request: Request, account: Annotated[str, Depends(session_account)]
) -> Response:
    """Whose session it is, the roles that the chain gives them, and what they may do here."""
    person = await person_of(request, account)
    found = PersonModel(
        account=account,
        roles=sorted(role.value for role in person.roles),
        may=sorted(act.value for act in acts_of(person.roles)),
    )
    return respond(request, PersonAnswer(data=found), private=True)


# ── signatures ───────────────────────────────────────────────────────────────────────────────


@router.get("/drafts", response_model=DraftsAnswer, responses=_PROBLEMS)
async def list_drafts(request: Request, person: Somebody) -> Response:
    """Everything that waits for signatures of custodian and attestor, with what bars it."""
    database, custody = services_of(request).database, request.app.state.custody

    def read() -> DraftsAnswer:
        found = open_drafts(database)
        return DraftsAnswer(
            data=[draft_model(one, cautions_of(database, custody, one)) for one in found]
        )

    return respond(request, await run_in_threadpool(read), private=True)


@router.get("/drafts/{draft_id}", response_model=DraftAnswer, responses=responses(401, 403, 404))
async def get_one_draft(request: Request, person: Somebody, draft_id: DraftIdPath) -> Response:
    """One of them, with the typed data that a wallet signs."""
    database, custody = services_of(request).database, request.app.state.custody

    def read() -> DraftAnswer:
        found = get_draft(database, draft_id)
        return DraftAnswer(data=draft_model(found, cautions_of(database, custody, found)))

    return respond(request, await run_in_threadpool(read), private=True)


@router.post(
    "/drafts/{draft_id}/signatures",
    response_model=DraftAnswer,
    responses=_CHANGES,
    openapi_extra=takes(SignatureRequest),
)
async def sign_draft(request: Request, person: Somebody, draft_id: DraftIdPath) -> Response:
    """Sign as custodian or attestor; with enough signatures the worker submits it."""
    said = await body_of(request, SignatureRequest)
    signature = bytes.fromhex(said.signature[2:])
    found = await done(request, lambda acts: acts.sign(person, draft_id, signature))
    return respond(request, DraftAnswer(data=draft_model(found, [])), private=True)


# ── custodians' tasks ────────────────────────────────────────────────────────────────────────


@router.get("/tasks", response_model=TasksAnswer, responses=_PROBLEMS)
async def list_tasks(
    request: Request, person: Somebody, query: Annotated[TasksQuery, Query()]
) -> Response:
    """What has to be done at registries' own pages, with the exact texts to use."""
    book = PostgresTaskBook(services_of(request).database)
    state = None if query.state is None else TaskState(query.state)

    def read() -> TasksAnswer:
        found = book.list_tasks(state, query.after, query.limit)
        following = found[-1].reference if len(found) == query.limit else None
        return TasksAnswer(data=[task_model(one, _now()) for one in found], next_after=following)

    return respond(request, await run_in_threadpool(read), private=True)


@router.get("/tasks/{reference}", response_model=TaskAnswer, responses=responses(401, 403, 404))
async def get_task(request: Request, person: Somebody, reference: ReferencePath) -> Response:
    """One task with every answer that was brought."""
    found = await done(request, lambda acts: acts.task(reference))
    return respond(request, TaskAnswer(data=task_model(found, _now())), private=True)


@router.post(
    "/tasks/{reference}/answers",
    response_model=TaskAnswer,
    responses=_CHANGES,
    openapi_extra=takes(TaskAnswerRequest),
)
async def answer_task(request: Request, person: Somebody, reference: ReferencePath) -> Response:
    """Bring what the registry said, with its evidence; it counts when another person approves."""
    given = await body_of(request, TaskAnswerRequest)
    file = _file(given.file)
    said = Said(
        given.state,
        given.registry_reference,
        given.serials,
        given.date,
        given.certificate,
        given.expires,
        given.reason,
        given.as_of,
    )
    found = await done(
        request, lambda acts: acts.answer(person, reference, said, _now(), given.file_name, file)
    )
    return respond(request, TaskAnswer(data=task_model(found, _now())), private=True)


@router.post(
    "/tasks/{reference}/answers/{number}/review",
    response_model=TaskAnswer,
    responses=_CHANGES,
    openapi_extra=takes(ReviewRequest),
)
async def review_answer(
    request: Request, person: Somebody, reference: ReferencePath, number: NumberPath
) -> Response:
    """Approve another person's answer, or send it back: four eyes."""
    said = await body_of(request, ReviewRequest)
    found = await done(
        request,
        lambda acts: acts.review(person, reference, number, said.approve, said.note, _now()),
    )
    return respond(request, TaskAnswer(data=task_model(found, _now())), private=True)


@router.get(
    "/tasks/{reference}/answers/{number}/file",
    response_class=Response,
    responses={
        **responses(401, 403, 404),
        200: {"content": {"application/octet-stream": {}}, "description": "The file's bytes."},
    },
)
async def get_evidence(
    request: Request, person: Somebody, reference: ReferencePath, number: NumberPath
) -> Response:
    """The file that came with an answer."""
    book = PostgresTaskBook(services_of(request).database)
    _, content = await run_in_threadpool(book.evidence, reference, number)
    return file_answer(content, "evidence")


def file_answer(content: bytes, name: str) -> Response:
    """Bytes of a stranger: saved, never shown, whatever they are."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return Response(content, media_type="application/octet-stream", headers=headers)


# ── decisions ────────────────────────────────────────────────────────────────────────────────


@router.post(
    "/duplicates/{case_id}/decisions",
    response_model=Answer[DuplicateCaseModel],
    responses=_CHANGES,
    openapi_extra=takes(DecisionRequest),
)
async def decide_duplicate(
    request: Request, person: Somebody, case_id: DuplicateIdPath
) -> Response:
    """Decide whether two listings are one project; new evidence opens the case again."""
    said = await body_of(request, DecisionRequest)
    found = await done(
        request,
        lambda acts: acts.decide(
            person, case_id, said.decision, said.why, said.keep, said.evidence
        ),
    )
    return await one(request, Plain(), DuplicateCaseModel, lambda db, head: found, private=True)


@router.post(
    "/breaks/{number}/resolution",
    response_model=Answer[BreakModel],
    responses=_CHANGES,
    openapi_extra=takes(ResolutionRequest),
)
async def resolve_break(request: Request, person: Somebody, number: NumberPath) -> Response:
    """Say what became of a break, for the record."""
    said = await body_of(request, ResolutionRequest)
    found = await done(request, lambda acts: acts.resolve(person, number, said.because))
    return await one(request, Plain(), BreakModel, lambda db, head: found, private=True)


# ── what is stuck, what was refused ──────────────────────────────────────────────────────────


@router.get("/flows", response_model=PageAnswer[FlowModel], responses=_PROBLEMS)
async def list_flows(
    request: Request, person: Somebody, query: Annotated[FlowsQuery, Query()]
) -> Response:
    """Flows that failed again and again or are late: why, and when they are tried again."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        FlowModel,
        lambda db, head: flows.list_flows(db, now=_now(), **wanted),
        private=True,
    )


@router.get(
    "/imports/{import_id}/rejected",
    response_model=PageAnswer[RejectedModel],
    responses=responses(401, 403, 404),
)
async def list_rejected(
    request: Request,
    person: Somebody,
    import_id: ImportIdPath,
    query: Annotated[RejectedQuery, Query()],
) -> Response:
    """Every row that an import refused, with field, value and rule; a report lists the first."""
    wanted = query.model_dump(exclude={"min_block"})

    def read(db: Connection, head: ChainHead) -> Page[Rejected]:
        get_import(db, import_id)
        return rejected_rows(db, import_id, **wanted)

    return await many(request, query, RejectedModel, read, private=True)


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue("file", text[:40], "is not base64") from None


def _now() -> int:
    return int(time.time())
