"""What people do at the operator's pages: who may, by the roles that the chain gives them, and how.

Nothing here holds a key: a signature comes from the person's own wallet and is looked at as the
commands look at theirs; everything else is done under the address that is signed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.bridge.approvals import take_signature
from backend.bridge.drafts import Draft, get_draft
from backend.bridge.task_answers import Said, answer_of
from backend.chain.keys import recover
from backend.chain.roles import Role, roles_of
from backend.chain.rpc import Rpc
from backend.domain.custody_tasks import Task
from backend.errors import Conflict, InvalidValue, NotAuthorised, NotFound
from backend.store.breaks import Breaks, StoredBreak
from backend.store.custody import StoredReceipt
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from backend.store.duplicates import decide, require_no_duplicates
from backend.store.queries.duplicates import DuplicateCase


class Act(StrEnum):
    """What somebody may do at the operator's pages."""

    READ = "read"
    SIGN = "sign"
    ANSWER = "answer a task"
    REVIEW = "approve an answer"
    DECIDE = "decide"


#: Who may. What is signed is the contract's signers'. An answer to a task may be brought by others,
#: too, and one of these signers approves it: what stands for a registry's word, in reports and
#: confirmations, was seen by one of them. What is decided about projects and breaks is the
#: registrar's, or of whom the admin made an operator.
ALLOWED: Final[Mapping[Act, frozenset[Role]]] = {
    Act.READ: frozenset(Role),
    Act.SIGN: frozenset({Role.CUSTODIAN, Role.ATTESTOR}),
    Act.ANSWER: frozenset({Role.CUSTODIAN, Role.REGISTRAR, Role.OPERATOR}),
    Act.REVIEW: frozenset({Role.CUSTODIAN, Role.ATTESTOR}),
    Act.DECIDE: frozenset({Role.REGISTRAR, Role.OPERATOR}),
}


def acts_of(roles: frozenset[Role]) -> frozenset[Act]:
    """Everything that these roles allow."""
    return frozenset(act for act, wanted in ALLOWED.items() if wanted & roles)


@dataclass(frozen=True, slots=True)
class Person:
    """An address that is signed in, with the roles that the chain gives it now."""

    account: str
    roles: frozenset[Role]

    def may(self, act: Act) -> bool:
        return bool(ALLOWED[act] & self.roles)

    def require(self, act: Act) -> None:
        """Raises NotAuthorised that says which roles would do and which there are."""
        if self.may(act):
            return
        wanted = sorted(ALLOWED[act])
        held = sorted(self.roles)
        raise NotAuthorised(
            f"{self.account} has {'the role ' + ', '.join(held) if held else 'no role'}:"
            f" to {act} needs one of {', '.join(wanted)}",
            account=self.account,
            roles=list(held),
            needs=list(wanted),
        )


@dataclass(frozen=True, slots=True)
class Operators:
    """The acts, over one database and the contracts of one deployment by name."""

    database: Database
    chain: Rpc
    addresses: Mapping[str, str]

    def person(self, account: str) -> Person:
        """Who an address is now. Raises ChainUnavailable when nobody can say."""
        return Person(account, roles_of(self.chain, self.addresses, account))

    def sign(self, person: Person, draft_id: str, signature: bytes) -> Draft:
        """Take a person's signature over a draft; the same person's again changes nothing.

        Raises NotAuthorised for a signature of another key or without the role, Conflict when the
        draft waits for nobody any more or is of another deployment, DuplicateOpen as the commands.
        """
        person.require(Act.SIGN)
        draft = get_draft(self.database, draft_id)
        signer = recover(draft.digest, signature)
        if signer != person.account:
            raise NotAuthorised(
                f"the signature is {signer}'s, the session {person.account}'s", signer=signer
            )
        if any(one.signer == signer for one in draft.approvals):
            return draft
        if not draft.waits:
            raise Conflict(f"{draft.type} {draft_id} is {draft.state}: nothing is left to sign")
        if draft.domain.contract not in self.addresses.values():
            raise Conflict(f"{draft.type} {draft_id} is of another deployment")
        if isinstance(draft.held, StoredReceipt):
            wanted = draft.held.receipt.credit_class
            with self.database.read() as connection:
                require_no_duplicates(connection, wanted.programme, wanted.project)
        role = next(one for one in (Role.CUSTODIAN, Role.ATTESTOR) if one in person.roles)
        take_signature(self.database, draft_id, draft.digest, signature, role)
        return get_draft(self.database, draft_id)

    def answer(
        self, person: Person, reference: str, said: Said, now: int, file_name: str, file: bytes
    ) -> Task:
        """Bring what a registry said of a task; it counts when another person approves it."""
        person.require(Act.ANSWER)
        task = self.task(reference)
        content = answer_of(task, said, file)
        return self._tasks.answer(reference, content, person.account, now, file_name, file)

    def review(
        self, person: Person, reference: str, number: int, approve: bool, note: str, now: int
    ) -> Task:
        """Approve another person's answer, or send it back."""
        person.require(Act.REVIEW)
        return self._tasks.review(reference, number, person.account, approve, note, now)

    def task(self, reference: str) -> Task:
        """One task; raises NotFound."""
        found = self._tasks.find_task(reference)
        if found is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        return found

    def decide(
        self,
        person: Person,
        case_id: int,
        decision: str,
        why: str,
        keep: str | None,
        evidence: str,
    ) -> DuplicateCase:
        """Decide a case of duplicates on the evidence that the person saw."""
        person.require(Act.DECIDE)
        with self.database.begin() as connection:
            return decide(connection, case_id, decision, person.account, why, keep, evidence)

    def resolve(self, person: Person, number: int, because: str) -> StoredBreak:
        """Say what became of a break. Whether its flow goes on, a command decides."""
        person.require(Act.DECIDE)
        if not because.strip():
            raise InvalidValue("because", because, "is empty: a resolution names a reason")
        return Breaks(self.database).resolve(number, f"{because.strip()} ({person.account})")

    @property
    def _tasks(self) -> PostgresTaskBook:
        return PostgresTaskBook(self.database)
