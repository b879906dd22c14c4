"""The simulated registry of this machine, as its administrator sees it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import httpx

from backend.bridge.selection import Lot
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval
from backend.domain.trusts import TrustAccount
from backend.errors import InvalidValue, LocalError, ServiceError
from backend.registries.custody_file import Channel, Custody

PROGRAMME: Final = "VCS"
TRUST: Final = "sample-vcs"
#: Buyers at the registry: one accepts what is delivered, one does not.
BUYER: Final = "SAMPLE-9001"
REFUSER: Final = "SAMPLE-9002"
#: Where credits lie that a shortfall has taken out of the trust account.
ASIDE: Final = "SAMPLE-9003"
TIMEOUT_SECONDS: Final = 10.0
#: What the registry can be, as faults of the simulator (per mille of its calls).
MODES: Final[dict[str, dict[str, int]]] = {
    "normal": {},
    "slow": {"slow": 1000, "slow_ms": 3_000},
    "failing": {"fail_before": 500, "fail_after": 250, "cut_after": 250},
    "refusing": {"refuse": 1000},
    "queueing": {"queued": 1000, "queue_seconds": 60},
    "other-serials": {"other_serials": 1000},
    "maintenance": {},
}


class Window(NamedTuple):
    """Maintenance from `start` until before `end`, Unix seconds of the registry's clock."""

    start: int
    end: int


class SimulatedRegistry:
    """Its accounts, its issuances, its faults; raises LocalError where there is none."""

    def __init__(self, custody: Custody) -> None:
        link = custody.link(PROGRAMME)
        if link.channel is not Channel.HTTP:
            raise LocalError(
                "this needs a registry to talk to: `causeway up` starts one beside the chain"
            )
        self._url = link.url.rstrip("/")
        self._custody = custody

    @property
    def trust(self) -> TrustAccount:
        """The trust account that sample credits lie in."""
        return self._custody.trust(TRUST)

    # ── accounts and issuances ───────────────────────────────────────────────────────────────

    def open_accounts(self) -> None:
        """The trust's account and the buyers'; again it changes nothing."""
        account = self.trust.account
        self.open(account.account, [account.sub_account], holds_for_others=True)
        self.open(BUYER, acceptance="accept")
        self.open(REFUSER, acceptance="reject")

    def open(self, account: str, sub_accounts: Sequence[str] = (), **more: Any) -> None:
        """An account, or what it answers from now on."""
        body = {"account": account, "holder": "Sample holder", "sub_accounts": list(sub_accounts)}
        self._asked("POST", "admin/accounts", body | more)

    def issue(self, lot: Lot) -> None:
        """The lot's credits in the trust account, unless they were issued before."""
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
            self._asked("POST", "admin/issuances", body, allowed=409)

    # ── what disturbs it ─────────────────────────────────────────────────────────────────────

    def set_mode(self, mode: str, seconds: int) -> bool:
        """Make it normal, slow …; `seconds` of maintenance. Whether anything changed."""
        if mode not in MODES:
            raise InvalidValue("mode", mode, f"is none of {', '.join(MODES)}")
        faults = self._asked("GET", "admin/faults")
        wanted = {"seed": 1, **MODES[mode]}
        is_open = self.is_open
        changed = bool(faults != self._asked("PUT", "admin/faults", wanted))
        if is_open == (mode == "maintenance"):
            now = self.time
            self.close_in([Window(now, now + seconds)] if is_open else [])
            changed = True
        return changed

    @property
    def windows(self) -> list[Window]:
        """Its maintenance under way and to come."""
        now = self.time
        found = self._asked("GET", "admin/maintenance")["windows"]
        return [one for one in (Window(*ends) for ends in found) if one.end > now]

    def close_in(self, windows: Sequence[Window]) -> None:
        """Its maintenance is in these windows and no other: none opens it."""
        self._asked("PUT", "admin/maintenance", {"windows": [list(one) for one in windows]})

    def choose_serials(self, itself: bool) -> None:
        """Whether the registry retires serials of its own choice rather than those named."""
        self.set_mode("other-serials" if itself else "normal", 0)

    @property
    def mode(self) -> str:
        """What it is now; `mixed` when its faults are of no mode."""
        if not self.is_open:
            return "maintenance"
        faults = self._asked("GET", "admin/faults")
        on = {name: rate for name, rate in faults.items() if type(rate) is int and rate}
        on.pop("seed", None)
        return next((name for name, wanted in MODES.items() if on == wanted), "mixed")

    @property
    def is_open(self) -> bool:
        return bool(self._asked("GET", "v1/health")["open"])

    @property
    def time(self) -> int:
        """Unix seconds of its clock."""
        return int(self._asked("GET", "v1/health")["time"])

    def advance_to(self, second: int) -> None:
        """Its clock shows at least this second."""
        ahead = second - self.time
        if ahead > 0:
            self._asked("POST", "admin/clock", {"seconds": ahead})

    # ── credits that leave the trust account, and come back ──────────────────────────────────

    def held(self, aside: bool) -> list[Interval]:
        """Serials in the trust account, or those set aside."""
        account = self.trust.account
        path, query = account.account, {"sub_account": account.sub_account}
        if aside:
            self.open(ASIDE, acceptance="accept")
            path, query = ASIDE, {}
        found = self._asked("GET", f"v1/accounts/{path}/blocks", query=query)
        return [SerialRange.parse(one["serials"]).interval for one in found["blocks"]]

    def move(self, serials: Interval, *, aside: bool) -> None:
        """Out of the trust account, or back into it."""
        account = self.trust.account
        here, there = (account.account, account.sub_account), (ASIDE, "")
        source, target = (here, there) if aside else (there, here)
        body = {
            "reference": f"sandbox-{secrets.token_hex(8)}",
            "account": source[0],
            "sub_account": source[1],
            "serials": str(SerialRange.of(serials)),
            "recipient": "/".join(filter(None, target)),
        }
        done = self._asked("POST", "v1/transfers", body, allowed=202)
        if done["state"] == "pending":
            self._asked("POST", f"v1/transfers/{done['registry_reference']}/accept", {})

    def _asked(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        allowed: int = 200,
        query: dict[str, str] | None = None,
    ) -> Any:
        try:
            answer = httpx.request(
                method,
                f"{self._url}/{path}",
                json=body,
                params=query,
                timeout=TIMEOUT_SECONDS,
                trust_env=False,
                # Plain HTTP on this machine: a store of certificates takes longer than the call.
                verify=False,
            )
        except httpx.HTTPError as error:
            raise ServiceError(f"the simulated registry does not answer: {error}") from error
        if answer.status_code not in (200, allowed):
            raise ServiceError(f"the simulated registry: {answer.status_code} {answer.text}")
        return answer.json()
