"""A trader: builds and signs messages, sends them until their outcome is known, checks answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from backend.chain.keys import Key, sign_digest
from backend.chain.signatures import Verifier
from backend.client.answers import Placed, read_answer
from backend.client.reading import Client, error_of
from backend.domain.commands import (
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    TraderCommand,
)
from backend.domain.orders import (
    MAX_FEE_BPS,
    NO_DETAILS,
    Cancel,
    CancelAll,
    Conditions,
    Message,
    Order,
    SelfTrade,
    Side,
    TimeInForce,
    Withdrawal,
    account_of,
    check_message,
    typed,
)
from backend.domain.sign_in import SignIn, personal_digest
from backend.errors import (
    CausewayError,
    Conflict,
    InvalidValue,
    OutcomeUnknown,
    RuleError,
    ServiceError,
    VenueUnavailable,
)

#: An order lives so long unless it says otherwise.
DEFAULT_LIFE_SECONDS: Final = 86_400
#: Nonces that somebody else may have used since the API was asked.
CONFLICTS: Final = 64
_PAUSE_SECONDS: Final = 0.2
_PATHS: Final = {
    "Order": ("/v1/orders", "order", "orders"),
    "Cancel": ("/v1/cancels", "cancel", "cancels"),
    "CancelAll": ("/v1/cancel-all", "cancel_all", ""),
    "Withdrawal": ("/v1/withdrawals", "withdrawal", "withdrawals"),
}


class Trader:
    """One key at one API.

    A message is sent again under its nonce until its outcome is known, for `patience` seconds;
    that cannot place it twice. Nonces follow the API's account, then count on by themselves.
    """

    def __init__(self, client: Client, key: Key, *, patience: float = 10.0) -> None:
        self.client, self.key, self.patience = client, key, patience
        self.account_id = account_of(key.address)
        self._verifier: Verifier | None = None
        self._next: int | None = None
        self._token: str | None = None
        self._token_ends = 0

    # ── trading ──────────────────────────────────────────────────────────────────────────────

    def place(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        *,
        nonce: int | None = None,
        **conditions: Any,
    ) -> Placed:
        """Place an order of `quantity` tonnes at `price` base units each.

        `conditions`: time_in_force (gtc, ioc, fok), post_only, self_trade (cancel_taker,
        cancel_maker, cancel_both), retire_on_fill with details_hash, max_fee_bps, expires_in or
        expiry, signed_at. Raises InvalidValue naming the field, Conflict when a given nonce is
        used, OutcomeUnknown when even repeating told nothing.
        """
        terms = (side, instrument, asset, quantity, price)
        return self._numbered(lambda number: self.order(*terms, nonce=number, **conditions), nonce)

    def place_many(self, orders: Sequence[PlaceOrder]) -> list[Placed | CausewayError]:
        """Place up to 50 orders (of `order`) at once; per order its answer or what failed."""
        path, _, plural = _PATHS["Order"]
        return self._send_all(path, {plural: [_shown(one) for one in orders]}, orders)

    def order(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        *,
        nonce: int | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        post_only: bool = False,
        self_trade: SelfTrade | str = SelfTrade.CANCEL_TAKER,
        retire_on_fill: bool = False,
        details_hash: bytes = NO_DETAILS,
        max_fee_bps: int = MAX_FEE_BPS,
        expires_in: int = DEFAULT_LIFE_SECONDS,
        expiry: int | None = None,
        signed_at: int | None = None,
    ) -> PlaceOrder:
        """A signed order that is not sent."""
        now = int(time.time()) if signed_at is None else signed_at
        conditions = Conditions(
            _named(TimeInForce, "time_in_force", time_in_force),
            post_only,
            _named(SelfTrade, "self_trade", self_trade),
            retire_on_fill,
        )
        order = Order(
            trader=self.account_id,
            nonce=self.take_nonce() if nonce is None else nonce,
            instrument=instrument,
            asset=_asset_number(asset),
            side=_named(Side, "side", side),
            quantity=quantity,
            price=price,
            max_fee_bps=max_fee_bps,
            signed_at=now,
            expiry=now + expires_in if expiry is None else expiry,
            conditions=conditions.pack(),
            details_hash=details_hash,
            signature_kind=0,
        )
        return PlaceOrder(order, self.sign(order))

    def cancel(self, nonce: int) -> Placed:
        """Cancel the order with this nonce, or use the nonce up before an order has it."""
        message = Cancel(self.account_id, nonce)
        return self._send(PlaceCancel(message, self.sign(message)))[0]

    def cancel_all(self, instrument: int = 0, *, nonce: int | None = None) -> Placed:
        """Cancel every open order, of one instrument or of all."""

        def make(number: int) -> PlaceCancelAll:
            message = CancelAll(self.account_id, number, instrument)
            return PlaceCancelAll(message, self.sign(message))

        return self._numbered(make, nonce)

    def withdraw(self, asset: int | str, amount: int, *, nonce: int | None = None) -> Placed:
        """Move base units (or kilograms of a class) from trading to claimable on chain."""

        def make(number: int) -> PlaceWithdrawal:
            message = Withdrawal(self.account_id, number, _asset_number(asset), amount, 0)
            return PlaceWithdrawal(message, self.sign(message))

        return self._numbered(make, nonce)

    def sign(self, message: Message) -> bytes:
        """The 65-byte signature of a message that keeps its own rules; raises InvalidValue."""
        check_message(message)
        if self._verifier is None:
            self._verifier = Verifier(self.client.domain)
        return sign_digest(self.key.private_key, self._verifier.digest(message))

    def take_nonce(self) -> int:
        """A nonce that this trader has not used: the API's next one, then counted on.

        Raises VenueUnavailable when the API broke off: nothing was sent under any nonce yet.
        """
        if self._next is None:
            try:
                self._next = int(self.account()["next_nonce"])
            except ServiceError as error:
                message = f"no nonce could be asked for: {error.message}"
                raise VenueUnavailable(message, url=self.client.url) from error
        self._next += 1
        return self._next - 1

    # ── reading one's own ────────────────────────────────────────────────────────────────────

    def account(self, **query: Any) -> dict[str, Any]:
        """Balances, the next nonce, open orders."""
        found: dict[str, Any] = self._own("", query)["data"]
        return found

    def orders(self, **query: Any) -> list[dict[str, Any]]:
        """Own orders, the newest first; `state`, `limit` …"""
        return list(self._own("/orders", query)["data"])

    def trades(self, **query: Any) -> list[dict[str, Any]]:
        """Own trades, the newest first."""
        return list(self._own("/trades", query)["data"])

    def statement(self, **query: Any) -> list[dict[str, Any]]:
        """Every change of a balance, the newest first."""
        return list(self._own("/statement", query)["data"])

    def withdrawals(self, **query: Any) -> list[dict[str, Any]]:
        """Own withdrawals, the newest first."""
        return list(self._own("/withdrawals", query)["data"])

    def sign_in(self) -> str:
        """The token of a session, opened when there is none; for `client.get` and streams."""
        if self._token is None or self._token_ends - 60 < time.time():
            given = self.client.get("/v1/session/nonce")
            # What is signed says where this client was told the API is, not where that says it is.
            message = SignIn(
                domain=self.client.authority,
                address=self.key.address,
                uri=self.client.url,
                chain_id=int(given["chain_id"]),
                nonce=given["nonce"],
                issued_at=int(time.time()),
            ).text()
            signature = sign_digest(self.key.private_key, personal_digest(message))
            body = {"message": message, "signature": "0x" + signature.hex()}
            opened = self.client.post("/v1/session", body)
            self._token, self._token_ends = opened["token"], int(opened["expires_at"])
        return self._token

    def sign_out(self) -> None:
        """End the session, if there is one."""
        if self._token is not None:
            self.client.end_session(self._token)
            self._token = None

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _own(self, rest: str, query: dict[str, Any]) -> dict[str, Any]:
        path = f"/v1/venue/accounts/{self.key.address}{rest}"
        return self.client.get(path, query, self.sign_in())

    def _numbered(self, make: Callable[[int], TraderCommand], nonce: int | None) -> Placed:
        """Send under the given nonce, or under the first of the next ones that is free."""
        if nonce is not None:
            return self._send(make(nonce))[0]
        for _ in range(CONFLICTS):
            number = self.take_nonce()
            try:
                placed, attempts = self._send(make(number))
            except Conflict:
                # The API's account was behind, or this key trades elsewhere: nothing was placed.
                continue
            except RuleError as error:
                # Nothing used the nonce; one that is too far ahead comes from a wrong count.
                too_far = error.values.get("code") == "nonce-too-far"
                self._next = None if too_far else number
                raise
            if not placed.repeated or attempts > 1:
                return placed
            # Sent once and answered as a repetition: an equal message placed it before this one.
        raise Conflict(f"{CONFLICTS} nonces in a row were used by others: is this key shared?")

    def _send(self, command: TraderCommand) -> tuple[Placed, int]:
        """The answer, and how many attempts it took."""
        path = _PATHS[typed(command[0])[1]][0]
        results, attempts = self._post(path, _shown(command))
        return self._read(command, results[0]), attempts

    def _send_all(
        self, path: str, body: dict[str, Any], commands: Sequence[TraderCommand]
    ) -> list[Placed | CausewayError]:
        answers: list[Placed | CausewayError] = []
        for command, shown in zip(commands, self._post(path, body)[0], strict=True):
            try:
                answers.append(self._read(command, shown))
            except CausewayError as error:
                answers.append(error)
        return answers

    def _read(self, command: TraderCommand, shown: dict[str, Any]) -> Placed:
        if shown["status"] == "rejected":
            raise error_of(shown["problem"], shown["problem"].get("status", 422))
        return read_answer(command, shown, self.client.check_acknowledgement)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        """The results, asked for until somebody knows them, and how often that was."""
        deadline = time.monotonic() + self.patience
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self.client.post(path, body)
                return list(answer["results"]), attempt
            except (VenueUnavailable, OutcomeUnknown):
                if time.monotonic() > deadline:
                    raise
            except ServiceError as error:
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(error.message, **error.values) from error
            time.sleep(_PAUSE_SECONDS)


def _shown(command: TraderCommand) -> dict[str, Any]:
    """A command as it is posted."""
    message, signature = command
    _, primary, fields = typed(message)
    shown = {
        field: "0x" + value.hex() if isinstance(value, bytes) else str(value)
        for field, value in fields.items()
    }
    return {_PATHS[primary][1]: shown, "signature": "0x" + signature.hex()}


def _named(kind: Any, field: str, value: Any) -> Any:
    """A member of an enumeration by itself or by its name in any case."""
    if isinstance(value, str):
        try:
            return kind[value.upper()]
        except KeyError:
            known = ", ".join(one.name.lower() for one in kind)
            raise InvalidValue(field, value, f"is none of {known}") from None
    return kind(value)


def _asset_number(asset: int | str) -> int:
    return asset if isinstance(asset, int) else int.from_bytes(account_of(asset), "big")
