"""One key's trading as flows: builds and signs messages, sends them until known, checks answers.

The nonce of a signed message is its idempotency key: the same message again has the effect of
once and gets the first answer, so every message is sent until its outcome is known. No I/O.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from backend.chain.keys import Key
from backend.chain.signatures import Verifier
from backend.client.answers import Placed, read_answer
from backend.client.calls import Calls
from backend.client.flows import Flow, repeated
from backend.client.problems import error_of
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
    NotSignedIn,
    OutcomeUnknown,
    RuleError,
    ServiceError,
    VenueUnavailable,
)

#: An order lives so long unless it says otherwise.
DEFAULT_LIFE_SECONDS: Final = 86_400
#: Nonces that somebody else may have used since the API was asked.
CONFLICTS: Final = 64
#: A session is opened anew so many seconds before it ends.
_SESSION_MARGIN: Final = 60
_PATHS: Final = {
    "Order": ("/v1/orders", "order", "orders"),
    "Cancel": ("/v1/cancels", "cancel", "cancels"),
    "CancelAll": ("/v1/cancel-all", "cancel_all", ""),
    "Withdrawal": ("/v1/withdrawals", "withdrawal", "withdrawals"),
}


class Desk:
    """One key at one API, with its count of nonces and its session; see Trader.

    Any number of flows may be under way at once: what is remembered changes between two steps only.
    """

    def __init__(self, calls: Calls, key: Key, patience: float) -> None:
        self._calls, self._key, self._patience = calls, key, patience
        self.account_id = account_of(key.address)
        self._verifier: Verifier | None = None
        self._next: int | None = None
        #: Numbers that were taken and used by nothing, and those whose fate is still open.
        self._given_back: list[int] = []
        self._under_way: set[int] = set()
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
        nonce: int | None,
        conditions: Mapping[str, Any],
    ) -> Flow[Placed]:
        terms = (side, instrument, asset, quantity, price)

        def make(number: int) -> Flow[PlaceOrder]:
            return self.order(*terms, nonce=number, **conditions)

        return self._numbered(make, nonce)

    def place_many(self, orders: Sequence[PlaceOrder]) -> Flow[list[Placed | CausewayError]]:
        path, _, plural = _PATHS["Order"]
        shown, _ = yield from self._post(path, {plural: [posted(one) for one in orders]})
        answers: list[Placed | CausewayError] = []
        for order, result in zip(orders, shown, strict=True):
            try:
                answers.append((yield from self._read(order, result)))
            except CausewayError as error:
                answers.append(error)
        return answers

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
    ) -> Flow[PlaceOrder]:
        now = int(time.time()) if signed_at is None else signed_at
        conditions = Conditions(
            _named(TimeInForce, "time_in_force", time_in_force),
            post_only,
            _named(SelfTrade, "self_trade", self_trade),
            retire_on_fill,
        )
        order = Order(
            trader=self.account_id,
            nonce=(yield from self.take_nonce()) if nonce is None else nonce,
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
        return PlaceOrder(order, (yield from self.sign(order)))

    def cancel(self, nonce: int) -> Flow[Placed]:
        message = Cancel(self.account_id, nonce)
        command = PlaceCancel(message, (yield from self.sign(message)))
        return (yield from self.send(command))[0]

    def cancel_all(self, instrument: int, nonce: int | None) -> Flow[Placed]:
        def make(number: int) -> Flow[PlaceCancelAll]:
            message = CancelAll(self.account_id, number, instrument)
            return PlaceCancelAll(message, (yield from self.sign(message)))

        return self._numbered(make, nonce)

    def withdraw(self, asset: int | str, amount: int, nonce: int | None) -> Flow[Placed]:
        def make(number: int) -> Flow[PlaceWithdrawal]:
            message = Withdrawal(self.account_id, number, _asset_number(asset), amount, 0)
            return PlaceWithdrawal(message, (yield from self.sign(message)))

        return self._numbered(make, nonce)

    def sign(self, message: Message) -> Flow[bytes]:
        check_message(message)
        if self._verifier is None:
            self._verifier = Verifier((yield from self._calls.domain()))
        return self._key.sign(self._verifier.digest(message))

    def take_nonce(self) -> Flow[int]:
        if self._given_back:
            return heapq.heappop(self._given_back)
        if self._next is None:
            try:
                known = int((yield from self.own("", {}))["data"]["next_nonce"])
            except ServiceError as error:
                message = f"no nonce could be asked for: {error.message}"
                raise VenueUnavailable(message, **error.values) from error
            # Another flow may have asked in the meantime, and counted on since.
            self._next = known if self._next is None else self._next
        while self._next in self._under_way:
            self._next += 1
        self._next += 1
        return self._next - 1

    # ── reading one's own ────────────────────────────────────────────────────────────────────

    def own(self, rest: str, query: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        token = yield from self.sign_in()
        try:
            return (yield from self._calls.get(self.path(rest), query, token))
        except NotSignedIn:
            # Ended from elsewhere: once more with a session of its own.
            if self._token == token:
                self._token = None
        return (yield from self._calls.get(self.path(rest), query, (yield from self.sign_in())))

    def own_data(self, rest: str, query: Mapping[str, Any]) -> Flow[Any]:
        return (yield from self.own(rest, query))["data"]

    def path(self, rest: str) -> str:
        return f"/v1/venue/accounts/{self._key.address}{rest}"

    def sign_in(self) -> Flow[str]:
        if self._token is None or self._token_ends - _SESSION_MARGIN < time.time():
            opened, _ = yield from repeated(self._open_session, self._calls.patience)
            self._token, self._token_ends = opened["token"], int(opened["expires_at"])
        return self._token

    def sign_out(self) -> Flow[None]:
        if self._token is not None:
            token, self._token = self._token, None
            yield from self._calls.end_session(token)

    def _open_session(self) -> Flow[dict[str, Any]]:
        given = yield from self._calls.get("/v1/session/nonce")
        # What is signed says where this client was told the API is, not where that says it is.
        message = SignIn(
            domain=self._calls.authority,
            address=self._key.address,
            uri=self._calls.url,
            chain_id=int(given["chain_id"]),
            nonce=given["nonce"],
            issued_at=int(time.time()),
        ).text()
        signature = self._key.sign(personal_digest(message))
        body = {"message": message, "signature": "0x" + signature.hex()}
        opened: dict[str, Any] = yield from self._calls.post("/v1/session", body)
        return opened

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _numbered(
        self, make: Callable[[int], Flow[TraderCommand]], nonce: int | None
    ) -> Flow[Placed]:
        """Send under the given nonce, or under the first of the next ones that is free."""
        if nonce is not None:
            return (yield from self.send((yield from make(nonce))))[0]
        for _ in range(CONFLICTS):
            number = yield from self.take_nonce()
            self._under_way.add(number)
            try:
                placed, attempts = yield from self.send((yield from make(number)))
            except Conflict:
                # The API's account was behind, or this key trades elsewhere: nothing was placed.
                continue
            except RuleError as error:
                self._give_back(number, error)
                raise
            finally:
                self._under_way.discard(number)
            if not placed.repeated or attempts > 1:
                return placed
            # Sent once and answered as a repetition: an equal message placed it before this one.
        raise Conflict(f"{CONFLICTS} nonces in a row were used by others: is this key shared?")

    def _give_back(self, number: int, error: RuleError) -> None:
        """A nonce that nothing used, unless the error is about an answer to it."""
        if error.values.get("code") == "nonce-too-far":
            # It comes from a wrong count: ask anew.
            self._next, self._given_back = None, []
        elif "answered" not in error.values:
            heapq.heappush(self._given_back, number)

    def send(self, command: TraderCommand) -> Flow[tuple[Placed, int]]:
        """The answer, and how many attempts it took."""
        path = _PATHS[typed(command[0])[1]][0]
        results, attempts = yield from self._post(path, posted(command))
        return (yield from self._read(command, results[0])), attempts

    def _read(self, command: TraderCommand, shown: dict[str, Any]) -> Flow[Placed]:
        if shown["status"] == "rejected":
            raise error_of(shown["problem"], shown["problem"].get("status", 422))
        try:
            claim = read_answer(command, shown)
            signer = yield from self._calls.check_acknowledgement(claim.acknowledgement)
        except RuleError as error:
            error.values["answered"] = str(command[0].nonce)
            raise
        return claim.signed_by(signer)

    def _post(self, path: str, body: dict[str, Any]) -> Flow[tuple[list[dict[str, Any]], int]]:
        """The results, asked for until somebody knows them, and how often that was."""
        try:
            answer, attempts = yield from repeated(
                lambda: self._calls.post(path, body), self._patience
            )
        except (VenueUnavailable, OutcomeUnknown):
            raise
        except ServiceError as error:
            raise OutcomeUnknown(error.message, **error.values) from error
        return list(answer["results"]), attempts


def posted(command: TraderCommand) -> dict[str, Any]:
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
