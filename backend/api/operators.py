"""Who is at the operator's pages and API: a session whose account has a role on the chain.

The API takes the session's token in `Authorization` alone. Pages, which a browser opens by itself,
take it from a cookie that goes to them only, that no script reads and no other site sends, and with
which nothing can be changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.api.session import account_of_token, session_account
from backend.bridge.operators import Act, Operators, Person
from backend.errors import ChainUnavailable
from backend.store.queries.reading import deployment

COOKIE = "operator"
PATH = "/operator"

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


async def operators_of(request: Request) -> Operators:
    """The acts over this process's services. Raises ChainUnavailable without a chain."""
    services = services_of(request)
    if services.chain is None:
        raise ChainUnavailable("no chain is configured: nobody can say who has a role")
    chain = services.chain
    _, addresses = await services.read(lambda db, head: deployment(db))
    return Operators(services.database, chain, addresses)


async def person_of(request: Request, account: str) -> Person:
    """Who an account is, as the chain says now."""
    operators = await operators_of(request)
    return await run_in_threadpool(operators.person, account)


async def require_person(
    request: Request, account: Annotated[str, Depends(session_account)]
) -> Person:
    """The person of the request's session; NotAuthorised unless the chain gives them a role."""
    person = await person_of(request, account)
    person.require(Act.READ)
    return person


async def person_of_cookie(request: Request) -> Person:
    """The person whose session the cookie of the pages opens; roles may be none."""
    account = await account_of_token(services_of(request), request.cookies.get(COOKIE))
    return await person_of(request, account)


async def done(request: Request, act: Callable[[Operators], T]) -> T:
    """Run an act in a thread."""
    operators = await operators_of(request)
    return await run_in_threadpool(act, operators)


async def body_of(request: Request, model: type[M]) -> M:
    """The request's JSON, read once the person is known.

    Raises RequestValidationError naming each field, TooLarge.
    """
    raw = await request.body()
    try:
        return model.model_validate(json.loads(raw))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            broken: list[Any] = [
                {**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)
            ]
        else:
            rule = "is no JSON"
            broken = [{"type": "json", "loc": ("body",), "msg": rule, "input": raw[:200]}]
        raise RequestValidationError(broken) from None


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """What a route whose body is read by `body_of` declares in OpenAPI."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
