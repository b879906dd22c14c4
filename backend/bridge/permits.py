"""What programmes, consents and the custody file allow the bridge to do, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from backend.domain.capabilities import (
    Mode,
    bars_to_custody,
    bars_to_delivering,
    bars_to_delivery,
    bars_to_receipt,
    bars_to_retirement,
    bars_to_retiring,
    require,
)
from backend.domain.registry_requests import HeldBlock, RegistryAccount, SerialRange
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

    def custody_bars(self, account: str) -> tuple[str, ...]:
        """Why an account may not take credits in at all, token or not."""
        on = self._today()
        try:
            trust = self._custody.trust(account)
        except NotFound as error:
            return (error.message,)
        return bars_to_custody(self._custody.programme(trust.account.programme, on), trust, on)

    # ── out of trust ─────────────────────────────────────────────────────────────────────────

    def bars_to_delivering(self, programme: str, recipient: str) -> tuple[str, ...]:
        """Why no delivery of a programme's credits to this recipient can come to a good end."""
        found = self._custody.programme(programme, self._today())
        trusts = [one.account for one in self._custody.trusts]
        return bars_to_delivering(found, recipient, trusts)

    def bars_to_delivery(
        self, account: RegistryAccount, recipient: str, serials: SerialRange, block: HeldBlock
    ) -> tuple[str, ...]:
        """Why the registry may not be asked to move these serials out of their block."""
        found = self._custody.programme(account.programme, self._today())
        return bars_to_delivery(found, account, recipient, serials, block)

    def bars_to_retiring(self, programme: str) -> tuple[str, ...]:
        """Why no retirement of a programme's credits can come to a good end."""
        return bars_to_retiring(self._custody.programme(programme, self._today()))

    def bars_to_retirement(
        self, account: RegistryAccount, serials: SerialRange, block: HeldBlock
    ) -> tuple[str, ...]:
        """Why the registry may not be asked to retire these serials out of their block."""
        found = self._custody.programme(account.programme, self._today())
        return bars_to_retirement(found, account, serials, block)

    def require_delivering(self, programme: str, recipient: str) -> None:
        """Before tokens are burnt. Raises ProgrammeForbids with every reason."""
        require(f"delivery to {recipient}", self.bars_to_delivering(programme, recipient))

    def require_retiring(self, programme: str) -> None:
        """Before tokens are burnt. Raises ProgrammeForbids with every reason."""
        require("retirement", self.bars_to_retiring(programme))

    def is_ledger_only(self, programme: str) -> bool:
        """Whether a programme's credits are kept in custody without ever becoming tokens."""
        return self._custody.programme(programme, self._today()).mode is Mode.LEDGER
