"""The operator's pages: what waits for signatures, custodians and decisions, and what is stuck.

They are whole as the server sends them once somebody with a role is signed in; scripts only sign
and send. A stranger sees one page that says which role is needed.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.api.operator_documents import task_model
from backend.api.operators import COOKIE, PATH, person_of_cookie
from backend.api.routes.operator import NumberPath, ReferencePath, file_answer
from backend.api.session import SESSION_SECONDS, account_of_token
from backend.api.site import operator_views as views
from backend.api.site.rendering import page
from backend.bridge.drafts import open_drafts
from backend.bridge.operators import ALLOWED, Act, Person
from backend.chain import blueprint
from backend.chain.roles import MANAGED, SIGNERS
from backend.domain.custody_tasks import TaskState
from backend.errors import NotFound, NotSignedIn
from backend.store.breaks import list_breaks
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from backend.store.queries import duplicates, flows, registry, rejections
from backend.store.queries.reading import Connection
from backend.store.queries.role_holders import role_holders

#: Sections in the order of a day, by their key and path.
TABS: Final = (
    ("today", ""),
    ("signatures", "/signatures"),
    ("tasks", "/tasks"),
    ("imports", "/imports"),
    ("duplicates", "/duplicates"),
    ("classes", "/classes"),
    ("breaks", "/breaks"),
    ("flows", "/flows"),
    ("roles", "/roles"),
)
#: What a role of a contract is called, those beside that open no page here too.
_NAMED: Final = {
    **{("Trust", number): role.value for number, role in SIGNERS.items()},
    **{("AccessManager", number): role.value for number, role in MANAGED.items()},
    ("AccessManager", blueprint.SIGNERS_ADMIN): "signers_admin",
    ("AccessManager", blueprint.CONTRACTS_ADMIN): "contracts_admin",
    ("LegalOrders", 1): "freezer",
    ("LegalOrders", 2): "enforcer",
}
_PAGE: Final = 50
_TASKS: Final = 200
Cursor = Annotated[str | None, Query(max_length=600)]

router = APIRouter(prefix=PATH, include_in_schema=False)


# ── the door ─────────────────────────────────────────────────────────────────────────────────


@router.post("/session", status_code=204)
async def open_pages(request: Request) -> Response:
    """Keep the session of `Authorization` in a cookie that only these pages get."""
    _, token = get_authorization_scheme_param(request.headers.get("authorization"))
    await account_of_token(services_of(request), token)
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_SECONDS,
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.delete("/session", status_code=204)
async def close_pages(request: Request) -> Response:
    """Forget the cookie."""
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
    return answer


async def _within(
    request: Request, show: Callable[[Person], Awaitable[Response]], *, door: bool = False
) -> Response:
    """A page for somebody with a role; others are shown the door, which comes back here."""
    try:
        person = await person_of_cookie(request)
    except NotSignedIn:
        if not door:
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{PATH}?next={quote(here, safe='')}", 303)
        return _private(page(request, "operator_door.html", person=None, allowed=ALLOWED))
    if not person.may(Act.READ):
        answer = page(request, "operator_door.html", person=person, allowed=ALLOWED)
        answer.status_code = 403
        return _private(answer)
    return _private(await show(person))


def _private(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def _desk(
    request: Request,
    person: Person,
    tab: str,
    work: Callable[[Database], dict[str, Any]],
    template: str = "",
) -> Response:
    """One section, rendered from what `work` finds in the database."""
    values = await run_in_threadpool(work, services_of(request).database)
    return page(
        request,
        template or f"operator_{tab}.html",
        tabs=TABS,
        tab=tab,
        person=person,
        acts={act.name.lower(): person.may(act) for act in Act},
        now=int(time.time()),
        **values,
    )


# ── sections ─────────────────────────────────────────────────────────────────────────────────


@router.get("")
async def today_page(request: Request) -> Response:
    """What waits, in figures that lead to it."""

    async def show(person: Person) -> Response:
        return await _desk(request, person, "today", lambda database: views.today(database, person))

    return await _within(request, show, door=True)


@router.get("/signatures")
async def signatures_page(request: Request) -> Response:
    """Receipts, confirmations, reserve reports and statements that wait for signatures."""
    custody = request.app.state.custody

    def work(database: Database) -> dict[str, Any]:
        return {"found": views.drafts(database, custody, open_drafts(database))}

    return await _within(request, lambda person: _desk(request, person, "signatures", work))


@router.get("/tasks")
async def tasks_page(
    request: Request, state: Literal["open", "answered", "done", ""] = "", after: str = ""
) -> Response:
    """What custodians have to do, what waits for a second pair of eyes."""

    def work(database: Database) -> dict[str, Any]:
        wanted = TaskState(state) if state else None
        found = PostgresTaskBook(database).list_tasks(wanted, after, _TASKS)
        following = found[-1].reference if len(found) == _TASKS else None
        rows = [(one, task_model(one, int(time.time()))) for one in found]
        return {"found": rows, "state": state, "following": following}

    return await _within(request, lambda person: _desk(request, person, "tasks", work))


@router.get("/tasks/{reference}")
async def task_page(request: Request, reference: ReferencePath) -> Response:
    """One task: the exact texts to use, every answer, and the form for the next step."""

    def work(database: Database) -> dict[str, Any]:
        found = PostgresTaskBook(database).find_task(reference)
        if found is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        return {"task": found, "shown": task_model(found, int(time.time()))}

    return await _within(
        request, lambda person: _desk(request, person, "tasks", work, "operator_task.html")
    )


@router.get("/tasks/{reference}/{number}/file")
async def task_file(request: Request, reference: ReferencePath, number: NumberPath) -> Response:
    """The evidence of an answer."""

    async def show(person: Person) -> Response:
        book = PostgresTaskBook(services_of(request).database)
        _, content = await run_in_threadpool(book.evidence, reference, number)
        return file_answer(content, "evidence")

    return await _within(request, show)


@router.get("/imports")
async def imports_page(request: Request, cursor: Cursor = None) -> Response:
    """Imported files, the newest first."""

    def work(database: Database) -> dict[str, Any]:
        with database.read() as connection:
            return {"found": registry.list_imports(connection, cursor=cursor, limit=_PAGE)}

    return await _within(request, lambda person: _desk(request, person, "imports", work))


Field = Annotated[str, Query(max_length=256)]
ImportPath = Annotated[int, Path(ge=0, lt=2**63)]


@router.get("/imports/{import_id}")
async def import_page(
    request: Request,
    import_id: ImportPath,
    field: Field = "",
    text: Field = "",
    cursor: Cursor = None,
) -> Response:
    """One import: its figures and the rows it refused, by field and text."""

    def work(database: Database) -> dict[str, Any]:
        with database.read() as connection:
            return {
                "one": registry.get_import(connection, import_id),
                "found": rejections.list_rejected(
                    connection, import_id, field=field, text=text, cursor=cursor, limit=_PAGE
                ),
                "fields": rejections.rejected_fields(connection, import_id),
                "contradictions": registry.list_contradictions(
                    connection, import_id=import_id, limit=_PAGE
                ).items,
                "field": field,
                "text": text,
            }

    return await _within(
        request, lambda person: _desk(request, person, "imports", work, "operator_import.html")
    )


@router.get("/imports/{import_id}/rejected.csv")
async def rejected_file(
    request: Request, import_id: ImportPath, field: Field = "", text: Field = ""
) -> Response:
    """The same rows, all of them, as CSV."""

    async def show(person: Person) -> Response:
        database = services_of(request).database

        def check(connection: Connection) -> None:
            registry.get_import(connection, import_id)

        await services_of(request).read(lambda db, head: check(db))
        lines = _lines(database, import_id, field, text)
        name = f"import-{import_id}-rejected.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)

    return await _within(request, show)


def _lines(database: Database, import_id: int, field: str, text: str) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(("row", "line", "field", "value", "rule"))
    with database.read() as connection:
        for row in rejections.every_rejected(connection, import_id, field, text):
            writer.writerow([_cell(one) for one in row])
            if buffer.tell() > 65_536:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def _cell(value: int | str) -> int | str:
    """A cell that no spreadsheet runs as a formula: what strangers wrote begins with a quote."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


@router.get("/duplicates")
async def duplicates_page(
    request: Request,
    state: Literal["open", "duplicate", "distinct", "noted", "all"] = "open",
    cursor: Cursor = None,
) -> Response:
    """Projects that may be credited twice: evidence, score, decisions."""

    def work(database: Database) -> dict[str, Any]:
        wanted = None if state == "all" else state
        with database.read() as connection:
            found = duplicates.list_cases(connection, state=wanted, cursor=cursor, limit=_PAGE)
        return {"found": found, "state": state, "states": (*duplicates.STATES, "all")}

    return await _within(request, lambda person: _desk(request, person, "duplicates", work))


@router.get("/classes")
async def classes_page(request: Request) -> Response:
    """Classes that neither mint nor trade, why and since when; how old the reserve report is."""
    return await _within(request, lambda person: _desk(request, person, "classes", views.halted))


@router.get("/breaks")
async def breaks_page(
    request: Request, state: Literal["open", "resolved", "all"] = "open", cursor: Cursor = None
) -> Response:
    """Where registry, custody and chain do not agree."""

    def work(database: Database) -> dict[str, Any]:
        wanted = None if state == "all" else state
        with database.read() as connection:
            found = list_breaks(connection, state=wanted, cursor=cursor, limit=_PAGE)
        return {"found": found, "state": state}

    return await _within(request, lambda person: _desk(request, person, "breaks", work))


@router.get("/flows")
async def flows_page(
    request: Request, which: Literal["stuck", "all"] = "stuck", cursor: Cursor = None
) -> Response:
    """What is under way: why it does not go on, and when it is tried again."""

    def work(database: Database) -> dict[str, Any]:
        with database.read() as connection:
            found = flows.list_flows(
                connection,
                now=int(time.time()),
                stuck=which == "stuck",
                cursor=cursor,
                limit=_PAGE,
            )
        return {"found": found, "which": which}

    return await _within(request, lambda person: _desk(request, person, "flows", work))


@router.get("/roles")
async def roles_page(request: Request) -> Response:
    """Who has which role on the chain, and what each may do here."""

    def work(database: Database) -> dict[str, Any]:
        with database.read() as connection:
            found = role_holders(connection)
        return {"found": found, "named": _NAMED, "allowed": ALLOWED}

    return await _within(request, lambda person: _desk(request, person, "roles", work))
