"""The one protocol of a registry: an HTTP service and people at its pages speak it alike."""

from __future__ import annotations

from typing import Protocol

from backend.domain.registry_answers import Answer
from backend.domain.registry_requests import (
    AccountFacts,
    Inventory,
    RegistryAccount,
    RetirementRequest,
    TransferRequest,
)


class RegistryClient(Protocol):
    """Synchronous: the worker runs each step in a thread. Safe to share between threads.

    `retire` and `transfer` are idempotent by `request.reference`: the same request again gives
    what the first came to, however far it is; the same reference with other content raises
    Conflict. They never raise for an outcome that is not known: the answer is UNKNOWN then, and
    `look_up` or the same call again tells later. A caller keeps the request before it calls, and
    passes every answer through `registry_answers.follow`.
    """

    @property
    def programme(self) -> str:
        """Whose registry this is: `VCS`, `GS` …"""

    def account(self, account: RegistryAccount) -> AccountFacts:
        """What the registry says of an account. Raises NotFound, RegistryUnavailable."""

    def inventory(self, account: RegistryAccount) -> Inventory:
        """Every live block of an account, as of a moment. Raises NotFound, RegistryUnavailable."""

    def retire(self, request: RetirementRequest) -> Answer:
        """ACCEPTED, DONE, REFUSED or UNKNOWN."""

    def transfer(self, request: TransferRequest) -> Answer:
        """ACCEPTED (it waits for its recipient), DONE, REFUSED, REJECTED, EXPIRED or UNKNOWN."""

    def look_up(self, reference: str) -> Answer | None:
        """How far the request of this reference of ours is; None when the registry has none.

        None is no promise that a call still on its way will not arrive: repeat the request with
        the same reference instead of making a new one. Raises RegistryUnavailable.
        """
