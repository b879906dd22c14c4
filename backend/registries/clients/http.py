"""The client of a registry that speaks the JSON API of docs/registry-api.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, NoReturn

import httpx
from eth_utils.crypto import keccak

from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import (
    AccountFacts,
    Inventory,
    RegistryAccount,
    RetirementRequest,
    SerialRange,
    TransferRequest,
)
from backend.errors import (
    CausewayError,
    Conflict,
    Contradiction,
    InvalidValue,
    NotAuthorised,
    NotFound,
    RegistryUnavailable,
)
from backend.registries.clients.statement import block_from_json

TIMEOUT_SECONDS = 10.0
_STATES = {
    "queued": AnswerState.ACCEPTED,
    "pending": AnswerState.ACCEPTED,
    "done": AnswerState.DONE,
    "refused": AnswerState.REFUSED,
    "rejected": AnswerState.REJECTED,
    "expired": AnswerState.EXPIRED,
}


class HttpRegistryClient:
    """Implements RegistryClient. `url` is the registry's base; `token` its bearer token, if any."""

    def __init__(
        self,
        programme: str,
        url: str,
        token: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._programme = programme
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_seconds, transport=transport
        )

    @property
    def programme(self) -> str:
        return self._programme

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()

    # ── what is held ─────────────────────────────────────────────────────────────────────────

    def account(self, account: RegistryAccount) -> AccountFacts:
        self._own(account)
        found = self._read(f"/v1/accounts/{account.account}", {})
        try:
            facts = AccountFacts(
                account,
                str(found["holder"]),
                found["is_open"] is True,
                found["holds_for_others"] is True,
                tuple(map(str, found["sub_accounts"])),
                int(found["as_of"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            self._unreadable(error)
        if account.sub_account and account.sub_account not in facts.sub_accounts:
            raise NotFound(f"there is no account {account}", account=str(account))
        return facts

    def inventory(self, account: RegistryAccount) -> Inventory:
        self._own(account)
        path = f"/v1/accounts/{account.account}/blocks"
        found = self._read(path, {"sub_account": account.sub_account})
        try:
            blocks, leaving = (
                tuple(block_from_json(one) for one in found[name]) for name in ("blocks", "leaving")
            )
            return Inventory(account, int(found["as_of"]), blocks, leaving)
        except (KeyError, TypeError, ValueError, InvalidValue) as error:
            self._unreadable(error)

    # ── what is asked ────────────────────────────────────────────────────────────────────────

    def retire(self, request: RetirementRequest) -> Answer:
        self._own(request.account)
        instruction = request.instruction.as_json()
        # Ours alone: it would let the registry prove what the holder chose to keep private.
        del instruction["salt"]
        return self._ask("/v1/retirements", request, {"instruction": instruction})

    def transfer(self, request: TransferRequest) -> Answer:
        self._own(request.account)
        named = {"recipient": request.recipient, "expires_at": request.expires_at}
        return self._ask("/v1/transfers", request, named)

    def look_up(self, reference: str) -> Answer | None:
        found = self._read("/v1/operations", {"reference": reference})
        listed = found.get("operations")
        if not isinstance(listed, list):
            raise RegistryUnavailable(f"{self._where}: the answer lists no operations")
        answers = [self._answer(reference, one, json.dumps(one).encode()) for one in listed]
        unread = [one for one in answers if one.state is AnswerState.UNKNOWN]
        if unread:
            raise RegistryUnavailable(f"{self._where}: {unread[0].reason}", reference=reference)
        # A registry may list an operation twice, once as it was and once as it is.
        final = [one for one in answers if one.state.is_final]
        for one in final[1:]:
            if not one.says_the_same(final[0]):
                raise Contradiction(
                    f"{self._where} lists {reference} as {final[0].state} and as {one.state}",
                    reference=reference,
                )
        return next(iter(final or answers), None)

    def _ask(
        self, path: str, request: RetirementRequest | TransferRequest, more: dict[str, Any]
    ) -> Answer:
        """Post a request; whatever cannot be known is an answer of state UNKNOWN."""
        body = {
            "reference": request.reference,
            "account": request.account.account,
            "sub_account": request.account.sub_account,
            "serials": str(request.serials),
            **more,
        }
        try:
            response = self._http.post(path, json=body)
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"[:250]
            return Answer(request.reference, AnswerState.UNKNOWN, reason=reason)
        if response.status_code in (400, 401, 404, 409):
            raise _refusal(response)
        if response.status_code not in (200, 202):
            reason = f"HTTP {response.status_code}"
            return Answer(request.reference, AnswerState.UNKNOWN, reason=reason)
        try:
            found = response.json()
        except ValueError:
            reason = "the answer is not JSON"
            return Answer(request.reference, AnswerState.UNKNOWN, reason=reason)
        return self._answer(request.reference, found, response.content)

    def _answer(self, reference: str, found: Any, raw: bytes) -> Answer:
        """One operation as the registry shows it; UNKNOWN when it cannot be read."""
        try:
            if found["reference"] != reference:
                raise InvalidValue("reference", found["reference"], f"is not {reference}")
            state = _STATES[found["state"]]
            serials = tuple(SerialRange.parse(text) for text in found["serials"])
            day = found["date"]
            return Answer(
                reference,
                state,
                str(found["registry_reference"]),
                serials if state is AnswerState.DONE else (),
                None if day is None else date.fromisoformat(day),
                str(found["certificate_id"] or ""),
                found["expires_at"],
                str(found["reason"] or "")[:256],
                keccak(raw),
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidValue) as error:
            reason = f"the answer cannot be read: {error}"[:250]
            return Answer(reference, AnswerState.UNKNOWN, reason=reason, evidence=keccak(raw))

    # ── wire ─────────────────────────────────────────────────────────────────────────────────

    @property
    def _where(self) -> str:
        return f"the registry of {self._programme} at {self._http.base_url}"

    def _own(self, account: RegistryAccount) -> None:
        if account.programme != self._programme:
            raise InvalidValue("account", str(account), f"is not at the {self._programme} registry")

    def _read(self, path: str, query: dict[str, str]) -> Mapping[str, Any]:
        try:
            response = self._http.get(path, params=query)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"{self._where} does not answer: {type(error).__name__}: {error}"
            ) from error
        if response.status_code in (400, 401, 404, 409):
            raise _refusal(response)
        if response.status_code != 200:
            raise RegistryUnavailable(
                f"{self._where} answers HTTP {response.status_code}",
                status=response.status_code,
                retry_after=response.headers.get("Retry-After"),
            )
        try:
            found = response.json()
        except ValueError as error:
            self._unreadable(error)
        if not isinstance(found, dict):
            self._unreadable("it is not an object")
        return found

    def _unreadable(self, why: object) -> NoReturn:
        raise RegistryUnavailable(f"{self._where}: the answer cannot be read: {why}")


def _refusal(response: httpx.Response) -> CausewayError:
    """What the registry says is wrong with the request itself: nothing happened."""
    try:
        found = response.json()
        message = str(found["message"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {response.status_code}"
    if response.status_code == 404:
        return NotFound(message)
    if response.status_code == 409:
        return Conflict(message)
    if response.status_code == 401:
        return NotAuthorised(message)
    return InvalidValue("request", message, "was not accepted by the registry")
