"""L5: who appointed the signers. Replays AccessManager: roles, delays and scheduled operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.report import Findings
from backend.audit.venue_powers import Venue
from backend.chain import abi, blueprint
from backend.domain.events import ChainEvent
from backend.errors import CausewayError

_MANAGER: Final = "AccessManager"
#: Shortest execution delay in seconds with which a role may be held; others act at once.
DELAYS: Final[Mapping[int, int]] = {
    blueprint.ADMIN: blueprint.ADMIN_DELAY,
    blueprint.CONTRACTS_ADMIN: blueprint.ADMIN_DELAY,
    blueprint.SIGNERS_ADMIN: blueprint.SIGNER_DELAY,
}
#: Of the manager itself: everybody has it, nobody is granted it.
PUBLIC_ROLE: Final = (1 << 64) - 1
_LABELS: Final = {blueprint.ADMIN: "ADMIN", **blueprint.ROLE_LABELS}
_SIGNERS = ("SignerSet", "LegalSignerSet")
_THRESHOLDS = ("ThresholdsSet", "LegalThresholdsSet")
#: Event: the function that causes it, seconds that must lie between scheduling and execution.
_CAUSES: Final[Mapping[str, tuple[str, int]]] = {
    **dict.fromkeys(_SIGNERS, ("setSigner", blueprint.SIGNER_DELAY)),
    **dict.fromkeys(_THRESHOLDS, ("setThresholds", blueprint.SIGNER_DELAY)),
    "CausewayContractAdded": ("addCausewayContract", blueprint.ADMIN_DELAY),
    "KeysSet": ("setKeys", blueprint.SIGNER_DELAY),
    "VenueUnpaused": ("unpause", blueprint.SIGNER_DELAY),
    "AssetListed": ("setAsset", blueprint.ADMIN_DELAY),
    "FeePayeesSet": ("setFeePayees", blueprint.ADMIN_DELAY),
    "RoleGranted": ("grantRole", blueprint.ADMIN_DELAY),
    "RoleAdminChanged": ("setRoleAdmin", blueprint.ADMIN_DELAY),
    "RoleGuardianChanged": ("setRoleGuardian", blueprint.ADMIN_DELAY),
    "RoleGrantDelayChanged": ("setGrantDelay", blueprint.ADMIN_DELAY),
    "TargetFunctionRoleUpdated": ("setTargetFunctionRole", blueprint.ADMIN_DELAY),
    "TargetAdminDelayUpdated": ("setTargetAdminDelay", blueprint.ADMIN_DELAY),
    "TargetClosed": ("setTargetClosed", blueprint.ADMIN_DELAY),
}
_SCHEDULED, _EXECUTED, _CANCELLED = "OperationScheduled", "OperationExecuted", "OperationCanceled"
_CONTRACTS: Final = (
    _MANAGER, "Trust", "LegalOrders", "Participants", "CarbonCredits", "Exchange",
)  # fmt: skip
#: Powers over what is signed, admitted, listed and paid, and the least delay of who has them.
POWERS: Final[Mapping[tuple[str, str], int]] = {
    ("Trust", "setSigner"): blueprint.SIGNER_DELAY,
    ("Trust", "setThresholds"): blueprint.SIGNER_DELAY,
    ("LegalOrders", "setSigner"): blueprint.SIGNER_DELAY,
    ("LegalOrders", "setThresholds"): blueprint.SIGNER_DELAY,
    ("Exchange", "setKeys"): blueprint.SIGNER_DELAY,
    ("Exchange", "unpause"): blueprint.SIGNER_DELAY,
    ("Exchange", "setAsset"): blueprint.ADMIN_DELAY,
    ("Exchange", "setFeePayees"): blueprint.ADMIN_DELAY,
    ("Exchange", "pause"): 0,
    ("Participants", "addCausewayContract"): blueprint.ADMIN_DELAY,
}
#: Nothing of value happens before the powers are where the file says.
_USE: Final = {
    "ReceiptMinted": "a receipt was minted",
    "BatchSettled": "a batch was settled",
    "Deposited": "something was deposited",
}


def label(role: int) -> str:
    """A role as people call it."""
    return _LABELS.get(role, f"role {role}")


@dataclass(slots=True)
class Manager:
    """Walks the history of powers in chain order; what it saw is in its figures."""

    findings: Findings
    evidence: Evidence
    granted: dict[tuple[int, str], ChainEvent] = field(default_factory=dict)
    revoked: dict[tuple[int, str], ChainEvent] = field(default_factory=dict)
    function_roles: dict[tuple[str, str], tuple[int, ChainEvent]] = field(default_factory=dict)
    guardians: dict[int, tuple[int, ChainEvent]] = field(default_factory=dict)
    #: Operations by id and nonce: scheduled and neither executed nor cancelled.
    scheduled: dict[tuple[str, int], ChainEvent] = field(default_factory=dict)
    signers: dict[tuple[str, str], int] = field(default_factory=dict)
    thresholds: dict[str, tuple[int, ...]] = field(default_factory=dict)
    venue: Venue = field(default_factory=Venue)
    #: The event that ended the deployer's powers; everything before it is the set-up.
    renounced: ChainEvent | None = None
    operations: int = 0
    changes: int = 0

    def check(self) -> None:
        """Replay, then compare with what the file says and with what is stored at the block."""
        events = [event for event in self.evidence.events if event.contract in _CONTRACTS]
        relevant = (_SCHEDULED, _EXECUTED)
        self.evidence.times(event.block_number for event in events if event.name in relevant)
        for _, group in groupby(events, key=lambda event: event.transaction_hash):
            executed: list[tuple[ChainEvent, int]] = []
            for event in group:
                self._apply(event, executed)
        if self.renounced is None:
            self._broken(f"the deployer {self._deployer} never renounced its powers", None)
            self._check_set_up(None)
        self._check_held()
        self._check_stored()
        self.findings.count(
            "L5", roles_checked=len(self.granted), function_roles=len(self.function_roles),
            operations=self.operations, changes_after_set_up=self.changes,
        )  # fmt: skip

    @property
    def _deployer(self) -> str:
        return self.evidence.deployment.deployer

    def _broken(self, what: str, event: ChainEvent | None, **amounts: int | str) -> None:
        self.findings.broken("L5", what, event, (), **amounts)

    # ------------------------------------------------------------------ replay

    def _apply(self, event: ChainEvent, executed: list[tuple[ChainEvent, int]]) -> None:
        name, args = event.name, event.args
        if name == _SCHEDULED:
            self.scheduled[args["operationId"], args["nonce"]] = event
        elif name == _CANCELLED:
            self.scheduled.pop((args["operationId"], args["nonce"]), None)
        elif name == _EXECUTED:
            self._execute(event, executed)
        elif name == "AuthorityUpdated":
            if args["authority"] != self.evidence.deployment[_MANAGER]:
                self._broken(f"{event.contract} was put under {args['authority']}", event)
        elif name in _USE and self.renounced is None:
            self._broken(f"{_USE[name]} before the deployer renounced its powers", event)
        elif name in _CAUSES:
            if self.renounced is None:
                self._check_of_set_up(event)
            else:
                self._check_cause(event, executed)
        self._replay(event)

    def _replay(self, event: ChainEvent) -> None:
        name, args = event.name, event.args
        if name == "RoleGranted":
            key = (args["roleId"], args["account"])
            self.granted[key] = event
            self.revoked.pop(key, None)
        elif name == "RoleRevoked":
            key = (args["roleId"], args["account"])
            self.granted.pop(key, None)
            self.revoked[key] = event
            if key == (blueprint.ADMIN, self._deployer) and self.renounced is None:
                self._check_set_up(event)
                self.renounced = event
        elif name == "TargetFunctionRoleUpdated":
            self.function_roles[args["target"], args["selector"]] = (args["roleId"], event)
        elif name == "RoleGuardianChanged":
            self.guardians[args["roleId"]] = (args["guardian"], event)
        elif name in _SIGNERS:
            self.signers[event.contract, args["signer"]] = args["role"]
        elif name in _THRESHOLDS:
            self.thresholds[event.contract] = tuple(args.values())
        self.venue.apply(event)

    def _execute(self, event: ChainEvent, executed: list[tuple[ChainEvent, int]]) -> None:
        self.operations += 1
        args = event.args
        operation = self.scheduled.pop((args["operationId"], args["nonce"]), None)
        if operation is None:
            self._broken(f"operation {args['operationId']} was executed, never scheduled", event)
            return
        times = self.evidence.times(())
        waited = times[event.block_number] - times[operation.block_number]
        executed.append((operation, waited))

    def _check_cause(self, event: ChainEvent, executed: list[tuple[ChainEvent, int]]) -> None:
        """After the set-up whatever shifts powers was scheduled, and long enough before."""
        self.changes += 1
        function, needed = _CAUSES[event.name]
        waits = [
            waited for operation, waited in executed if self._explains(operation, function, event)
        ]
        if not waits:
            self._broken(
                f"{event.contract}: {_told(event)} without a scheduled operation", event,
                needed_seconds=needed,
            )  # fmt: skip
        elif max(waits) < needed:
            self._broken(
                f"{event.contract}: {_told(event)} {max(waits)} s after it was scheduled, "
                f"{needed} s are needed", event, waited_seconds=max(waits), needed_seconds=needed,
            )  # fmt: skip

    def _explains(self, operation: ChainEvent, function: str, event: ChainEvent) -> bool:
        """Whether carrying out this operation emits this event."""
        if operation.args["target"] != self.evidence.deployment[event.contract]:
            return False
        data = bytes.fromhex(operation.args["data"].removeprefix("0x"))
        try:
            called, args = abi.decode_call(event.contract, data)
        except CausewayError:
            return False
        if called != function:
            return False
        if function == "setTargetFunctionRole":
            wanted = event.args
            return bool(
                (args["target"], args["roleId"]) == (wanted["target"], wanted["roleId"])
                and wanted["selector"] in args["selectors"]
            )
        # An event repeats the arguments in their order; what follows is computed.
        return list(event.args.values())[: len(args)] == list(args.values())

    # ------------------------------------------------------------------ set-up

    def _check_of_set_up(self, event: ChainEvent) -> None:
        """Before it renounces, the deployer may do what the file says and nothing else."""
        deployment, args = self.evidence.deployment, event.args
        roles = deployment.roles
        addresses = {name: held.address for name, held in deployment.contracts.items()}
        if event.name in _SIGNERS:
            good = self._signers_of_file().get((event.contract, args["signer"])) == args["role"]
        elif event.name in _THRESHOLDS:
            said = self._thresholds_of_file()[event.contract]
            good = tuple(args.values()) in ((1, 1), said)
        elif event.name == "RoleGranted":
            grant = (args["roleId"], args["account"], args["delay"])
            first = (blueprint.ADMIN, self._deployer, 0)
            good = grant == first or grant in blueprint.role_holders(roles)
        elif event.name == "TargetFunctionRoleUpdated":
            said_role = self._functions_of_file().get((args["target"], args["selector"]))
            good = said_role == args["roleId"]
        elif event.name == "RoleGuardianChanged":
            good = args["guardian"] == blueprint.GUARDIAN
        elif event.name in ("KeysSet", "FeePayeesSet", "AssetListed"):
            calls = blueprint.venue_set_up(roles, deployment.settings, addresses)
            good = (_CAUSES[event.name][0], tuple(args.values())) in calls
        else:
            named = {addresses[name] for name in blueprint.CAUSEWAY_CONTRACTS}
            good = event.name == "CausewayContractAdded" and args.get("account") in named
        if not good:
            self._broken(
                f"{event.contract}: {_told(event)} during the set-up, which the deployment file "
                "does not say", event,
            )  # fmt: skip

    def _check_set_up(self, event: ChainEvent | None) -> None:
        """What the set-up left behind is all that the deployment file says."""
        for (contract, signer), role in self._signers_of_file().items():
            if self.signers.get((contract, signer)) != role:
                self._broken(f"{contract}: the set-up did not make {signer} a signer", event)
        for contract, said in self._thresholds_of_file().items():
            if self.thresholds.get(contract) != said:
                self._broken(f"{contract}: the set-up left other thresholds than {said}", event)
        for role, account, _ in blueprint.role_holders(self.evidence.deployment.roles):
            if (role, account) not in self.granted:
                self._broken(f"the set-up did not give {label(role)} to {account}", event)
        for (target, selector), role in self._functions_of_file().items():
            if self.function_roles.get((target, selector), (None,))[0] != role:
                self._broken(
                    f"the set-up did not reserve {selector} of {target} to {label(role)}", event
                )
        for role in blueprint.guarded_roles():
            if self.guardians.get(role, (None,))[0] != blueprint.GUARDIAN:
                self._broken(f"the set-up left {label(role)} without the guardian", event)
        for problem in self.venue.missing(self.evidence.deployment):
            self._broken(f"Exchange: {problem}", event)

    def _signers_of_file(self) -> dict[tuple[str, str], int]:
        roles = self.evidence.deployment.roles
        return {
            (contract, signer): number
            for contract, number, signers in (
                ("Trust", 1, roles.custodians),
                ("Trust", 2, roles.attestors),
                ("LegalOrders", 1, roles.freezers),
                ("LegalOrders", 2, roles.enforcers),
            )
            for signer in signers
        }

    def _thresholds_of_file(self) -> dict[str, tuple[int, int]]:
        said = self.evidence.deployment.roles.thresholds
        return {
            "Trust": (said.custodians, said.attestors),
            "LegalOrders": (said.freezers, said.enforcers),
        }

    def _functions_of_file(self) -> dict[tuple[str, str], int]:
        return {
            (
                self.evidence.deployment[contract],
                "0x" + abi.selector(contract, function).hex(),
            ): role
            for contract, functions, role in blueprint.FUNCTION_ROLES
            for function in functions
        }

    # --------------------------------------------------------- audited block

    def _check_held(self) -> None:
        """Who holds which role now and with what delay, as the manager published it."""
        for (role, account), event in self.granted.items():
            if account == self._deployer:
                self._broken(f"the deployer {account} holds {label(role)}", event)
            if event.args["delay"] < self._needed(role):
                self._short(role, account, event.args["delay"], event)
        for (contract, signer), number in self.signers.items():
            if signer == self._deployer and number:
                self._broken(f"the deployer {signer} is a signer of {contract}", self.renounced)
        for contract, function in POWERS:
            role, changed = self._role_of(contract, function)
            if role == PUBLIC_ROLE:
                self._broken(f"anybody may call {contract}.{function}", changed)

    def _role_of(self, contract: str, function: str) -> tuple[int, ChainEvent | None]:
        selector = "0x" + abi.selector(contract, function).hex()
        target = self.evidence.deployment[contract]
        return self.function_roles.get((target, selector), (blueprint.ADMIN, None))

    def _needed(self, role: int) -> int:
        """Shortest delay for holding a role: also one that came to such a power later."""
        powers = [needed for power, needed in POWERS.items() if self._role_of(*power)[0] == role]
        return max([DELAYS.get(role, 0), *powers])

    def _short(self, role: int, account: str, delay: int, event: ChainEvent) -> None:
        needed = self._needed(role)
        self._broken(
            f"{account} holds {label(role)} with a delay of {delay} s, {needed} s are needed",
            event, delay=delay, needed=needed,
        )  # fmt: skip

    def _check_stored(self) -> None:
        """What is stored at the audited block is what was published: no log was left out."""
        known = {*_LABELS, *(role for role, _ in [*self.granted, *self.revoked])}
        known |= {role for role, _ in self.function_roles.values()}
        known.discard(PUBLIC_ROLE)
        named = {(role, account) for role, account, _ in self._holders()}
        members = sorted(
            {*self.granted, *self.revoked, *named, *((role, self._deployer) for role in known)}
        )
        views: list[View] = [(_MANAGER, "hasRole", member) for member in members]
        answers = self.evidence.views("roles of AccessManager", views)
        for member, answer in zip(members, answers, strict=True):
            self._compare_member(member, answer)
        functions = sorted({*self.function_roles, *self._functions_of_file()})
        views = [(_MANAGER, "getTargetFunctionRole", function) for function in functions]
        answers = self.evidence.views("functions of AccessManager", views)
        for (target, selector), answer in zip(functions, answers, strict=True):
            published, event = self.function_roles.get((target, selector), (0, None))
            if answer != published:
                self._broken(
                    f"AccessManager stores another role for {selector} of {target} than it "
                    "published", event, stored=_text(answer), published=published,
                )  # fmt: skip
        for problem, said in self.venue.differing(self.evidence):
            self._broken(f"Participants: {problem}", said)

    def _holders(self) -> list[tuple[int, str, int]]:
        return blueprint.role_holders(self.evidence.deployment.roles)

    def _compare_member(self, member: tuple[int, str], answer: Any) -> None:
        role, account = member
        event = self.granted.get(member)
        last = event or self.revoked.get(member)
        if isinstance(answer, ViewFailed):
            self._broken(
                f"AccessManager cannot say who holds {label(role)}: {answer.message}", last
            )
            return
        # A grant or a new delay that begins later is published and not yet stored as such.
        waiting = event is not None and event.args["since"] > self.evidence.block.timestamp
        stored, delay = answer["isMember"], answer["executionDelay"]
        if stored != (event is not None) and not waiting:
            holds = "holds" if stored else "does not hold"
            self._broken(f"{account} {holds} {label(role)}, other than was published", last)
        if stored and event is not None and delay != event.args["delay"]:
            if delay < self._needed(role) <= event.args["delay"]:
                self._short(role, account, delay, event)
            elif not waiting:
                self._broken(
                    f"{account} holds {label(role)} with another delay than was published", event,
                    stored=delay, published=event.args["delay"],
                )  # fmt: skip


def _text(value: Any) -> str:
    return value.message if isinstance(value, ViewFailed) else str(value)


def _told(event: ChainEvent) -> str:
    """An event in words: `SignerSet(signer=0x…, role=1)`."""
    return abi.describe_error(event.name, event.args)
