"""What programmes, consents and the custody file allow the bridge to do, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from backend.domain.capabilities import Mode, bars_to_receipt
from backend.domain.registry_requests import SerialRange
from backend.errors import NotFound
from backend.registries.custody_file import Custody


class Permits:
    """Asks the custody file of the deployment; `today` is the chain's day, not this machine's."""

    def __init__(self, custody: Custody, today: Callable[[], date]) -> None:
        self._custody = custody
        self._today = today

    def bars(self, account: str, serials: Sequence[SerialRange]) -> tuple[str, ...]:
        """Why no tokens may be made of these serials in an account; empty when they may."""
        on = self._today()
        try:
            trust = self._custody.trust(account)
        except NotFound as error:
            return (error.message,)
        programme = self._custody.programme(trust.account.programme, on)
        return bars_to_receipt(programme, trust, serials, on)

    def is_ledger_only(self, programme: str) -> bool:
        """Whether a programme's credits are kept in custody without ever becoming tokens."""
        return self._custody.programme(programme, self._today()).mode is Mode.LEDGER
