"""What a deployment consists of: constructor arguments, wiring, roles and delays. No I/O.

Powers after it: the admin changes rules and adds Causeway contracts after 7 days, signers and
thresholds after 3; the guardian cancels anything the admin has scheduled except its own
replacement (`setRoleGuardian`), so that neither can lock the other out; registrar and fact
recorder act at once and can do nothing else; the guardian can also pause the venue, and only the
admin, after 3 days, can end the pause or change the venue's keys; the deployer keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backend.chain import abi
from backend.chain.compiler import CompiledContract
from backend.chain.manifest import Roles
from backend.chain.rawtx import MAX_TRANSACTION_GAS, created_address
from backend.errors import InvalidValue

#: In the order of their nonces.
CORE: Final = (
    "AccessManager",
    "Participants",
    "LegalOrders",
    "RetirementCertificates",
    "CarbonCredits",
    "Trust",
    "RegistryRecords",
    "Reserve",
    "Deliveries",
    "ProgrammeEvents",
    "Gaps",
    "Exchange",
)
#: What holds credits for others, or gives them out: among the participants for ever.
CAUSEWAY_CONTRACTS: Final = ("Exchange", "Deliveries", "ProgrammeEvents")
#: Test settlement assets: name, decimals.
ASSETS: Final = {
    "HKD": ("Test Hong Kong dollar", 6),
    "CNH": ("Test offshore renminbi", 6),
    "USD": ("Test US dollar", 6),
}
DAY: Final = 86_400
SIGNER_DELAY: Final = 3 * DAY
ADMIN_DELAY: Final = 7 * DAY
LEGAL_ORDER_DELAY: Final = 2 * DAY
#: Seconds a match may wait for its settlement, and may be ahead of the chain.
WINDOW_SECONDS: Final = 600
SKEW_SECONDS: Final = 30
#: Age at which a reserve report refuses mints.
RESERVE_MAX_AGE_SECONDS: Final = 7 * DAY
#: A delivery: request to deadline, begin to the transfer's latest expiry, expiry to the second
#: deadline.
DELIVERY_REQUEST_SECONDS: Final = 10 * DAY
DELIVERY_TRANSFER_SECONDS: Final = 14 * DAY
DELIVERY_GRACE_SECONDS: Final = 7 * DAY
#: The developer's share of the fees, in basis points of them.
DEVELOPER_SHARE_BPS: Final = 2_000

#: Every setting of a deployment: seconds, except the share. Immutables, so they are in its file.
SETTINGS: Final[Mapping[str, int]] = {
    "legal_order_delay": LEGAL_ORDER_DELAY,
    "window_seconds": WINDOW_SECONDS,
    "skew_seconds": SKEW_SECONDS,
    "developer_share_bps": DEVELOPER_SHARE_BPS,
    "reserve_max_age_seconds": RESERVE_MAX_AGE_SECONDS,
    "delivery_request_seconds": DELIVERY_REQUEST_SECONDS,
    "delivery_transfer_seconds": DELIVERY_TRANSFER_SECONDS,
    "delivery_grace_seconds": DELIVERY_GRACE_SECONDS,
}

#: What each constructor takes: contracts by name, settings by theirs.
CONSTRUCTORS: Final[Mapping[str, tuple[str, ...]]] = {
    "Participants": ("AccessManager", "LegalOrders"),
    "LegalOrders": ("AccessManager", "Participants", "CarbonCredits", "legal_order_delay"),
    "RetirementCertificates": ("CarbonCredits",),
    "CarbonCredits": (
        *("AccessManager", "Participants", "RetirementCertificates", "Trust", "LegalOrders"),
        *("Deliveries", "ProgrammeEvents", "Gaps"),
    ),
    "Trust": (
        *("AccessManager", "CarbonCredits", "Reserve", "RegistryRecords"),
        *("Deliveries", "ProgrammeEvents", "Gaps"),
    ),
    "RegistryRecords": ("CarbonCredits", "Trust", "Deliveries", "ProgrammeEvents", "Gaps"),
    "Reserve": ("Trust", "reserve_max_age_seconds"),
    "Deliveries": (
        *("AccessManager", "CarbonCredits", "Trust", "RegistryRecords", "Reserve", "Gaps"),
        *("delivery_request_seconds", "delivery_transfer_seconds", "delivery_grace_seconds"),
    ),
    "ProgrammeEvents": ("CarbonCredits", "Trust", "RegistryRecords", "Gaps"),
    "Gaps": ("CarbonCredits", "Trust", "RegistryRecords", "Deliveries", "ProgrammeEvents"),
    "Exchange": (
        *("AccessManager", "Participants", "CarbonCredits"),
        *("window_seconds", "skew_seconds"),
    ),
}

ADMIN, REGISTRAR, FACTS, SIGNERS_ADMIN, CONTRACTS_ADMIN, GUARDIAN = range(6)
ROLE_LABELS: Final = {
    REGISTRAR: "REGISTRAR",
    FACTS: "FACTS",
    SIGNERS_ADMIN: "SIGNERS_ADMIN",
    CONTRACTS_ADMIN: "CONTRACTS_ADMIN",
    GUARDIAN: "GUARDIAN",
}
#: Contract, functions, role that may call them.
FUNCTION_ROLES: Final[tuple[tuple[str, tuple[str, ...], int], ...]] = (
    ("Participants", ("admit",), REGISTRAR),
    ("Participants", ("addCausewayContract",), CONTRACTS_ADMIN),
    ("CarbonCredits", ("recordFact",), FACTS),
    ("Trust", ("setSigner", "setThresholds"), SIGNERS_ADMIN),
    ("LegalOrders", ("setSigner", "setThresholds"), SIGNERS_ADMIN),
    ("Exchange", ("pause",), GUARDIAN),
    ("Exchange", ("unpause", "setKeys"), SIGNERS_ADMIN),
    ("Exchange", ("setAsset", "setFeePayees"), CONTRACTS_ADMIN),
    ("Deliveries", ("setFee",), CONTRACTS_ADMIN),
    # The manager ignores this for permission (its own functions are the admin's) and uses it to
    # find out who may cancel: the guardian of this role.
    (
        "AccessManager",
        (
            "grantRole",
            "revokeRole",
            "setRoleAdmin",
            "setGrantDelay",
            "setTargetAdminDelay",
            "setTargetClosed",
            "setTargetFunctionRole",
            "updateAuthority",
        ),
        CONTRACTS_ADMIN,
    ),
)
_GUARDED: Final = (REGISTRAR, FACTS, SIGNERS_ADMIN, CONTRACTS_ADMIN)
#: Custodian, Freezer = 1; Attestor, Enforcer = 2 in the contracts' enums.
_FIRST, _SECOND = 1, 2
_CALL_GAS: Final = 400_000
_MANAGER_GAS: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Addresses and constructor arguments of one deployment, known before anything is sent."""

    deployer: str
    first_nonce: int
    roles: Roles
    settings: Mapping[str, int]
    addresses: Mapping[str, str]

    def arguments(self, name: str) -> bytes:
        """ABI-encoded constructor arguments of a contract."""
        values: list[str | int]
        if name in ASSETS:
            title, decimals = ASSETS[name]
            values = [title, name, decimals, self.roles.issuer]
        elif name == "AccessManager":
            values = [self.deployer]
        else:
            known: dict[str, str | int] = {**self.addresses, **self.settings}
            values = [known[one] for one in CONSTRUCTORS[name]]
        constructor = next(e for e in abi.entries(name) if e.kind == "constructor")
        return abi.encode_values(constructor.inputs, values, f"{name} constructor")


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a deployment; `to` None creates the contract `contract`."""

    what: str
    contract: str
    to: str | None
    data: bytes
    gas: int


def draw(
    deployer: str,
    first_nonce: int,
    roles: Roles,
    *,
    test_assets: bool,
    settings: Mapping[str, int],
) -> Blueprint:
    """The blueprint of a deployment whose first transaction has this nonce.

    `settings`: those of `SETTINGS`.
    """
    names = [*CORE, *(ASSETS if test_assets else ())]
    addresses = {
        name: created_address(deployer, first_nonce + index) for index, name in enumerate(names)
    }
    held = {roles.admin, roles.guardian, roles.registrar, roles.facts}
    held |= {roles.sequencer, roles.watcher}
    if deployer in held:
        raise InvalidValue("roles", deployer, "is the deployer, who must keep no role")
    return Blueprint(deployer, first_nonce, roles, dict(settings), addresses)


def creations(blueprint: Blueprint, compiled: Mapping[str, CompiledContract]) -> list[Step]:
    """The transactions that create the contracts, in the order of their nonces."""
    steps = []
    for name in blueprint.addresses:
        contract = compiled[abi.SHARED_ABI.get(name, name)]
        data = contract.bytecode + blueprint.arguments(name)
        steps.append(Step(f"create {name}", name, None, data, _creation_gas(contract, data)))
    return steps


def _creation_gas(contract: CompiledContract, data: bytes) -> int:
    """An upper bound: intrinsic, call data, code deposit, and 1 M for the constructor."""
    calldata = 16 * len(data) + 2 * (len(data) // 32 + 1)
    gas = 53_000 + calldata + 200 * len(contract.deployed_bytecode) + 1_000_000
    if gas >= MAX_TRANSACTION_GAS:
        raise InvalidValue(contract.name, gas, f"is more gas than {MAX_TRANSACTION_GAS} allow")
    return gas


def set_up(blueprint: Blueprint) -> list[Step]:
    """Signers first, while the deployer still may, then roles and delays, then renouncing."""
    roles, thresholds = blueprint.roles, blueprint.roles.thresholds
    steps = []

    def call(contract: str, function: str, *args: object, gas: int = _CALL_GAS) -> None:
        data = abi.encode_call(contract, function, args)
        what = f"{contract}.{function}"
        steps.append(Step(what, contract, blueprint.addresses[contract], data, gas))

    for contract, first, second in (
        ("Trust", roles.custodians, roles.attestors),
        ("LegalOrders", roles.freezers, roles.enforcers),
    ):
        for signer in first:
            call(contract, "setSigner", signer, _FIRST)
        for signer in second:
            call(contract, "setSigner", signer, _SECOND)
    call("Trust", "setThresholds", thresholds.custodians, thresholds.attestors)
    call("LegalOrders", "setThresholds", thresholds.freezers, thresholds.enforcers)
    for name in CAUSEWAY_CONTRACTS:
        call("Participants", "addCausewayContract", blueprint.addresses[name])
    for function, args in venue_set_up(roles, blueprint.settings, blueprint.addresses):
        call("Exchange", function, *args)
    call("AccessManager", "multicall", _manager_calls(blueprint), gas=_MANAGER_GAS)
    call("AccessManager", "renounceRole", ADMIN, blueprint.deployer)
    return steps


def venue_set_up(
    roles: Roles, settings: Mapping[str, int], addresses: Mapping[str, str]
) -> list[tuple[str, tuple[object, ...]]]:
    """Calls that make an Exchange a venue: its keys, its payees, the assets it settles in."""
    payees = (roles.fee_operator, roles.fee_developer, settings["developer_share_bps"])
    listed = [addresses[name] for name in ASSETS if name in addresses]
    return [
        ("setKeys", (roles.sequencer, roles.watcher)),
        ("setFeePayees", payees),
        *(("setAsset", (asset, True)) for asset in listed),
    ]


#: What `Participants` stores of a contract of Causeway, and nobody can change.
CAUSEWAY_CONTRACT: Final[Mapping[str, int | str]] = {
    "tier": 255,
    "jurisdiction": "0x0000",
    "expiry": 2**40 - 1,
    "frozenSince": 0,
    "frozenSeconds": 0,
}


def _manager_calls(blueprint: Blueprint) -> list[bytes]:
    calls = []

    def call(function: str, *args: object) -> None:
        calls.append(abi.encode_call("AccessManager", function, args))

    for role, label in ROLE_LABELS.items():
        call("labelRole", role, label)
    for contract, functions, role in FUNCTION_ROLES:
        selectors = [abi.selector(contract, function) for function in functions]
        call("setTargetFunctionRole", blueprint.addresses[contract], selectors, role)
    for role in _GUARDED:
        call("setRoleGuardian", role, GUARDIAN)
    for role, account, delay in role_holders(blueprint.roles):
        call("grantRole", role, account, delay)
    return calls


def role_holders(roles: Roles) -> list[tuple[int, str, int]]:
    """(role, account, execution delay in seconds) of everybody who holds a role at the end."""
    return [
        (REGISTRAR, roles.registrar, 0),
        (FACTS, roles.facts, 0),
        (GUARDIAN, roles.guardian, 0),
        (SIGNERS_ADMIN, roles.admin, SIGNER_DELAY),
        (CONTRACTS_ADMIN, roles.admin, ADMIN_DELAY),
        (ADMIN, roles.admin, ADMIN_DELAY),
    ]


def guarded_roles() -> tuple[int, ...]:
    """Roles whose scheduled operations the guardian may cancel."""
    return _GUARDED


#: (contract, getter, contract whose address it must give).
WIRING: Final = (
    ("Participants", "authority", "AccessManager"),
    ("Participants", "LEGAL_ORDERS", "LegalOrders"),
    ("LegalOrders", "authority", "AccessManager"),
    ("LegalOrders", "PARTICIPANTS", "Participants"),
    ("LegalOrders", "CREDITS", "CarbonCredits"),
    ("RetirementCertificates", "CREDITS", "CarbonCredits"),
    ("CarbonCredits", "authority", "AccessManager"),
    ("CarbonCredits", "PARTICIPANTS", "Participants"),
    ("CarbonCredits", "CERTIFICATES", "RetirementCertificates"),
    ("CarbonCredits", "TRUST", "Trust"),
    ("CarbonCredits", "LEGAL_ORDERS", "LegalOrders"),
    ("CarbonCredits", "DELIVERIES", "Deliveries"),
    ("CarbonCredits", "EVENTS", "ProgrammeEvents"),
    ("CarbonCredits", "GAPS", "Gaps"),
    ("Trust", "authority", "AccessManager"),
    ("Trust", "CREDITS", "CarbonCredits"),
    ("Trust", "RESERVE", "Reserve"),
    ("Trust", "RECORDS", "RegistryRecords"),
    ("Trust", "DELIVERIES", "Deliveries"),
    ("Trust", "EVENTS", "ProgrammeEvents"),
    ("Trust", "GAPS", "Gaps"),
    ("RegistryRecords", "CREDITS", "CarbonCredits"),
    ("RegistryRecords", "TRUST", "Trust"),
    ("RegistryRecords", "DELIVERIES", "Deliveries"),
    ("RegistryRecords", "EVENTS", "ProgrammeEvents"),
    ("RegistryRecords", "GAPS", "Gaps"),
    ("Reserve", "TRUST", "Trust"),
    ("Deliveries", "authority", "AccessManager"),
    ("Deliveries", "CREDITS", "CarbonCredits"),
    ("Deliveries", "TRUST", "Trust"),
    ("Deliveries", "RECORDS", "RegistryRecords"),
    ("Deliveries", "RESERVE", "Reserve"),
    ("Deliveries", "GAPS", "Gaps"),
    ("ProgrammeEvents", "CREDITS", "CarbonCredits"),
    ("ProgrammeEvents", "TRUST", "Trust"),
    ("ProgrammeEvents", "RECORDS", "RegistryRecords"),
    ("ProgrammeEvents", "GAPS", "Gaps"),
    ("Gaps", "CREDITS", "CarbonCredits"),
    ("Gaps", "TRUST", "Trust"),
    ("Gaps", "RECORDS", "RegistryRecords"),
    ("Gaps", "DELIVERIES", "Deliveries"),
    ("Gaps", "EVENTS", "ProgrammeEvents"),
    ("Exchange", "authority", "AccessManager"),
    ("Exchange", "PARTICIPANTS", "Participants"),
    ("Exchange", "CREDITS", "CarbonCredits"),
)
#: (contract, getter, setting that it must give).
FIXED: Final = (
    ("LegalOrders", "delay", "legal_order_delay"),
    ("Exchange", "WINDOW", "window_seconds"),
    ("Exchange", "SKEW", "skew_seconds"),
    ("Reserve", "maxAge", "reserve_max_age_seconds"),
    ("Deliveries", "REQUEST_PERIOD", "delivery_request_seconds"),
    ("Deliveries", "TRANSFER_PERIOD", "delivery_transfer_seconds"),
    ("Deliveries", "GRACE_PERIOD", "delivery_grace_seconds"),
)
