"""The demo's side of the registry: its accounts, its issuances, what the buyer answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from backend.bridge.receipts import Terms
from backend.bridge.selection import Lot
from backend.commands.context import Context
from backend.domain.trusts import TrustAccount
from backend.errors import ChainRejected, LocalError, ServiceError
from backend.registries.custody_file import Channel
from backend.store.custody import Custody, StoredReceipt
from backend.store.flows import Flow

PROGRAMME = "VCS"
TRUST = "sample-vcs"
#: Buyers at the registry: one accepts what is delivered, one does not.
BUYER, REFUSER = "SAMPLE-9001", "SAMPLE-9002"
#: How long the demo waits for one flow, in seconds.
PATIENCE = 120.0
TIMEOUT_SECONDS = 10.0


class DemoRegistry:
    """The simulated registry of this machine, as its administrator sees it."""

    def __init__(self, context: Context) -> None:
        link = context.custody.link(PROGRAMME)
        if link.channel is not Channel.HTTP:
            raise LocalError(
                "the demo needs a registry to talk to: `causeway up` starts one beside the chain"
            )
        self._context = context
        self._url = f"{link.url.rstrip('/')}/admin"

    @property
    def trust(self) -> TrustAccount:
        """The trust account that the demo's credits lie in."""
        return self._context.custody.trust(TRUST)

    def open_accounts(self) -> None:
        """The trust's account and the buyers'; again it changes nothing."""
        account = self.trust.account
        self._open(account.account, [account.sub_account], holds_for_others=True)
        self._open(BUYER, [], acceptance="accept")
        self._open(REFUSER, [], acceptance="reject")

    def _open(self, account: str, sub_accounts: list[str], **more: Any) -> None:
        body = {"account": account, "holder": "Sample holder", "sub_accounts": sub_accounts}
        self._admin("POST", "accounts", body | more)

    def issue(self, lot: Lot) -> None:
        """The lot's credits in the trust account, unless an earlier demo put them there."""
        one, account = lot.credit_class, self.trust.account
        for interval in lot.intervals:
            body = {
                "serials": str(interval),
                "account": account.account,
                "sub_account": account.sub_account,
                "project": one.project,
                "vintage_start": one.vintage_start.isoformat(),
                "vintage_end": one.vintage_end.isoformat(),
                "labels": list(lot.rows[0].labels),
            }
            self._admin("POST", "issuances", body, allowed=409)

    def choose_serials(self, itself: bool) -> None:
        """Whether the registry retires serials of its own choice rather than those named."""
        rate = 1000 if itself else 0
        self._admin("PUT", "faults", {"seed": 1, "other_serials": rate})

    def _admin(self, method: str, path: str, body: dict[str, Any], allowed: int = 200) -> None:
        try:
            answer = httpx.request(
                method, f"{self._url}/{path}", json=body, timeout=TIMEOUT_SECONDS, trust_env=False
            )
        except httpx.HTTPError as error:
            raise ServiceError(f"the simulated registry does not answer: {error}") from error
        if answer.status_code not in (200, allowed):
            raise ServiceError(f"the simulated registry: {answer.status_code} {answer.text}")

    # ── flows ────────────────────────────────────────────────────────────────────────────────

    def give_notice(self, lot: Lot, recipient: str, name: str) -> None:
        """Credits into trust and the notice of their deposit; the worker does the rest."""
        self.issue(lot)
        trust = self.trust
        self._context.bridge.deposits.give_notice(
            name,
            str(trust.account),
            lot.ranges,
            recipient,
            Terms(trust.account_id, trust.terms_hash),
        )

    def minted(self, name: str) -> StoredReceipt:
        """The receipt of a deposit once its tokens are minted."""
        flow = self.ended("deposit", name, ("minted",))
        return Custody(self._context.database).receipt(str(flow.content["receipt"]))

    def ended(self, kind: str, flow_id: str, wanted: tuple[str, ...]) -> Flow:
        """A flow of the worker's once it has ended as wanted."""
        return self.reached(kind, flow_id, lambda flow: flow.ended and flow.state in wanted)

    def reached(self, kind: str, flow_id: str, so: Callable[[Flow], bool]) -> Flow:
        """A flow of the worker's once it is so."""
        flows = self._context.bridge.parts.flows
        deadline = time.monotonic() + PATIENCE
        while True:
            known = [one for one in flows.of_kind(kind) if one.id == flow_id]
            if known and so(known[0]):
                return known[0]
            if known and known[0].ended:
                raise ChainRejected(f"{kind} {flow_id} {known[0].state}: {known[0].reason}")
            if time.monotonic() > deadline:
                state = f"{known[0].state}: {known[0].reason}" if known else "not taken up"
                raise ServiceError(f"{kind} {flow_id} is {state} after {PATIENCE:.0f} s")
            time.sleep(0.1)
