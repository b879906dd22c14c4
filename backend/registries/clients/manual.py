"""The client of a registry that only people can use: each request becomes a task, done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from backend.domain.custody_tasks import StatementRequest, Task, TaskRequest
from backend.domain.registry_answers import Answer
from backend.domain.registry_requests import (
    AccountFacts,
    Inventory,
    RegistryAccount,
    RetirementRequest,
    TransferRequest,
)
from backend.errors import InvalidValue, NotFound, RegistryUnavailable
from backend.registries.clients.statement import statement_from_json
from backend.registries.custody_file import Custody

#: A statement older than this is asked for anew.
STATEMENT_SECONDS = 24 * 3600


class TaskBook(Protocol):
    """Where tasks are kept: `backend.store.custody_tasks` has it in Postgres."""

    def open_task(self, request: TaskRequest, now: int, until: int | None = None) -> Task:
        """The task of a request, opened when there is none; `until` is its deadline when the
        request names none. Raises Conflict for other content.
        """

    def find_task(self, reference: str) -> Task | None:
        """The task of a reference."""

    def newest_statement(self, account: RegistryAccount) -> Mapping[str, Any] | None:
        """The approved statement of an account with the newest date."""


class ManualRegistryClient:
    """Implements RegistryClient. `clock` gives Unix seconds."""

    def __init__(
        self, programme: str, custody: Custody, book: TaskBook, clock: Callable[[], int]
    ) -> None:
        self._programme = programme
        self._custody = custody
        self._book = book
        self._clock = clock

    @property
    def programme(self) -> str:
        return self._programme

    def account(self, account: RegistryAccount) -> AccountFacts:
        """What the deployment's custody file says: nobody asks a registry for this by hand."""
        self._own(account)
        trust = self._custody.trust_of(account.id)
        if trust is None:
            raise NotFound(f"{account} is not in the custody file", account=str(account))
        subs = tuple(
            one.account.sub_account
            for one in self._custody.trusts
            if one.account.account == account.account and one.account.sub_account
        )
        return AccountFacts(account, trust.trustee, True, True, subs, self._clock())

    def inventory(self, account: RegistryAccount) -> Inventory:
        """The newest approved statement, as of its own date; when it is older than a day a task
        asks for the next one. Raises RegistryUnavailable while there is none at all.
        """
        self._own(account)
        now = self._clock()
        found = self._book.newest_statement(account)
        if found is None or now - found["as_of"] > STATEMENT_SECONDS:
            task = self._ask_statement(account, found["as_of"] if found else 0)
            if found is None:
                raise RegistryUnavailable(
                    f"no statement of {account} has been brought and approved: task "
                    f"{task.reference} asks for it",
                    reference=task.reference,
                )
        return statement_from_json(found)

    def retire(self, request: RetirementRequest) -> Answer:
        self._own(request.account)
        return self._open(request).answer

    def transfer(self, request: TransferRequest) -> Answer:
        self._own(request.account)
        return self._open(request).answer

    def look_up(self, reference: str) -> Answer | None:
        found = self._book.find_task(reference)
        return None if found is None else found.answer

    def _open(self, request: TaskRequest) -> Task:
        now = self._clock()
        until = now + self._custody.link(self._programme).task_hours * 3600
        return self._book.open_task(request, now, until)

    def _ask_statement(self, account: RegistryAccount, newest: int) -> Task:
        """One open task at a time: the next is asked for when a newer statement stands."""
        reference = f"statement:{account.id.hex()[:16]}:{newest}"
        return self._open(StatementRequest(reference, account))

    def _own(self, account: RegistryAccount) -> None:
        if account.programme != self._programme:
            raise InvalidValue("account", str(account), f"is not at the {self._programme} registry")
