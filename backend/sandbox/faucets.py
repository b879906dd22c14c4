"""Faucets: gas, admission, test money, sample credits. What is given has no value anywhere."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Final

from backend.bridge.imports import import_export
from backend.bridge.receipts import Terms
from backend.bridge.selection import Lot, lots_of
from backend.chain import abi, calls
from backend.chain.fees import current_fees
from backend.chain.rawtx import sign_transaction
from backend.domain.registry_requests import check_reference
from backend.errors import Conflict, InvalidValue, NotAuthorised, NotEnough, NotFound
from backend.sandbox.effects import Effect
from backend.sandbox.machine import Machine
from backend.sandbox.registry import PROGRAMME, SimulatedRegistry
from backend.store.custody import Custody as CustodyStore
from backend.store.queries import registry

TIERS: Final = {"none": 0, "retail": 1, "professional": 2, "institution": 3}
#: The most that one request may ask for.
MOST_WEI: Final = 100 * 10**18
MOST_MONEY: Final = 10**15
MOST_TONNES: Final = 1_000
SAMPLE: Final = "sample-verra-vcu-export.csv"
#: Sample projects have numbers no real one has; a user's own imports are left alone.
SAMPLE_PROJECTS: Final = 990_000
_TRANSFER_GAS: Final = 21_000
_PATIENCE: Final = 60.0
_PAGE: Final = 500


class Faucets:
    """Each call has the effect of once: it states what shall be so, or names a request."""

    def __init__(self, machine: Machine, simulated: SimulatedRegistry) -> None:
        self._machine, self._registry = machine, simulated

    def gas(self, account: str, at_least: int) -> Effect:
        """The account has at least so much wei to pay gas with."""
        if not 0 < at_least <= MOST_WEI:
            raise InvalidValue("at_least", at_least, f"is not 1 … {MOST_WEI} wei")
        rpc = self._machine.rpc
        balance = int(rpc.call("eth_getBalance", account, "latest"), 16)
        if balance >= at_least:
            return Effect(False, values={"wei": str(balance)})
        # Of an account that the local chain endows and that sends nearly nothing itself. A real
        # transaction: what is only set is lost when a killed chain is brought back.
        payer, fees = self._machine.keys.get("facts"), current_fees(rpc)
        nonce = int(rpc.call("eth_getTransactionCount", payer.address, "pending"), 16)
        digest, raw = sign_transaction(
            payer,
            chain_id=rpc.chain_id(),
            nonce=nonce,
            to=account,
            data=b"",
            gas=_TRANSFER_GAS,
            max_fee_per_gas=fees.max_fee_per_gas,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
            value=at_least - balance,
        )
        rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        return Effect(True, transaction=digest, values={"wei": str(at_least)})

    def admission(self, account: str, tier: str, jurisdiction: str) -> Effect:
        """The account is admitted to a tier until the end of next year."""
        if tier not in TIERS:
            raise InvalidValue("tier", tier, f"is none of {', '.join(TIERS)}")
        machine, now = self._machine, int(time.time())
        expiry = int(datetime(datetime.now(UTC).year + 2, 1, 1, tzinfo=UTC).timestamp()) - 1
        held = machine.contracts.participant(account)
        values = {"tier": tier, "jurisdiction": jurisdiction, "expiry": str(expiry)}
        same = (held.tier, held.jurisdiction) == (TIERS[tier], jurisdiction)
        if same and held.expiry > now:
            return Effect(False, values=values | {"expiry": str(held.expiry)})
        data = calls.admit(account, TIERS[tier], jurisdiction, expiry)
        # What makes it once is that it was not so: a tier may come, go and come again.
        key = f"sandbox:admit:{secrets.token_hex(16)}"
        sent = self._sent(key, "registrar", "Participants", data)
        return Effect(True, transaction=sent, values=values)

    def money(self, request: str, to: str, asset: str, amount: int) -> Effect:
        """Test money, once per request; the same request with other content is a Conflict."""
        check_reference(request)
        if asset not in abi.SHARED_ABI or asset not in self._machine.deployment.contracts:
            raise InvalidValue("asset", asset, "is no test asset: HKD, CNH or USD")
        if not 0 < amount <= MOST_MONEY:
            raise InvalidValue("amount", amount, f"is not 1 … {MOST_MONEY} base units")
        data = calls.issue_asset(asset, to, amount)
        key = f"sandbox:money:{request}"
        known = self._machine.log.get(key) is not None
        sent = self._sent(key, "issuer", asset, data)
        values = {"asset": self._machine.deployment[asset], "amount": str(amount)}
        return Effect(not known, transaction=sent, values=values)

    def credits(self, request: str, to: str, tonnes: int) -> Effect:
        """Sample credits into trust and their tokens, once per request.

        The registry issues them, the worker sees them in trust, custodian and attestor sign, the
        token is minted: `state` says how far that is; the same request again tells it anew.
        """
        check_reference(request)
        if not 0 < tonnes <= MOST_TONNES:
            raise InvalidValue("tonnes", tonnes, f"is not 1 … {MOST_TONNES} t")
        name = f"sandbox-{request}"
        deposits = self._machine.bridge.parts.flows
        try:
            flow, changed = deposits.get("deposit", name), False
        except NotFound:
            if self._machine.contracts.participant(to).tier == 0:
                raise NotAuthorised(
                    f"{to} is not admitted: no credits can be minted to it", account=to
                ) from None
            lot, trust = self._lot(tonnes), self._registry.trust
            self._registry.open_accounts()
            self._registry.issue(lot)
            terms = Terms(trust.account_id, trust.terms_hash)
            flow = self._machine.bridge.deposits.give_notice(
                name, str(trust.account), lot.ranges, to, terms
            )
            changed = True
        if flow.content["recipient"] != to or flow.tonnes != tonnes:
            raise Conflict(f"the request {request} was for others or other credits", key=request)
        values = {"tonnes": str(tonnes), "serials": list(flow.content["serials"])}
        if "receipt" in flow.content:
            held = CustodyStore(self._machine.database).receipt(str(flow.content["receipt"]))
            values["class_id"] = str(held.receipt.credit_class.token_id)
        if flow.reason:
            values["reason"] = flow.reason
        return Effect(changed, state=flow.state, values=values)

    def _lot(self, tonnes: int) -> Lot:
        """Free serials of one sample class; the samples are imported when they are not yet."""
        for attempt in range(2):
            if attempt:
                with as_file(files("backend") / "samples" / SAMPLE) as path:
                    import_export(self._machine.database, path, lambda text: None)
            with self._machine.database.read() as connection:
                known = registry.list_lots(connection, programme=PROGRAMME)
                for one in known:
                    free = one.active_tonnes - one.in_trust_tonnes
                    if int(one.project) < SAMPLE_PROJECTS or one.unmapped or free < tonnes:
                        continue
                    rows = registry.list_blocks(
                        connection,
                        programme=PROGRAMME,
                        project=one.project,
                        tokenizable=True,
                        limit=_PAGE,
                    ).items
                    fitting = [lot for lot in lots_of(rows) if lot.tonnes >= tonnes]
                    if fitting:
                        return lots_of(fitting[0].rows, tonnes)[0]
        raise NotEnough(
            f"no sample class has {tonnes} t outside of trust: `causeway up --fresh` begins anew",
            asked=tonnes,
        )

    def _sent(self, key: str, account: str, contract: str, data: bytes) -> str:
        """Send a call once and wait until it is mined; its hash."""
        machine = self._machine
        machine.sender.submit(key, machine.keys.get(account), machine.deployment[contract], data)
        done = machine.sender.wait(key, _PATIENCE)
        assert done.transaction_hash is not None
        return done.transaction_hash
