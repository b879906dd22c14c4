"""Which roles an address has, as the contracts say now: Trust's signers, AccessManager's roles."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from backend.chain import abi, blueprint
from backend.chain.rpc import Rpc
from backend.errors import NotFound


class Role(StrEnum):
    """What the chain can say of an address. OPERATOR guards no function of a contract: it says
    who may work at the operator's pages without holding a power over the chain.
    """

    CUSTODIAN = "custodian"
    ATTESTOR = "attestor"
    REGISTRAR = "registrar"
    FACTS = "facts"
    GUARDIAN = "guardian"
    ADMIN = "admin"
    OPERATOR = "operator"


#: Number of the role in AccessManager; `docs/operating.md` says how the admin grants it.
OPERATOR: Final = 6
#: Trust's enum of signers.
SIGNERS: Final[Mapping[int, Role]] = {1: Role.CUSTODIAN, 2: Role.ATTESTOR}
#: AccessManager's roles, by their numbers.
MANAGED: Final[Mapping[int, Role]] = {
    blueprint.ADMIN: Role.ADMIN,
    blueprint.REGISTRAR: Role.REGISTRAR,
    blueprint.FACTS: Role.FACTS,
    blueprint.GUARDIAN: Role.GUARDIAN,
    OPERATOR: Role.OPERATOR,
}


def roles_of(rpc: Rpc, addresses: Mapping[str, str], account: str) -> frozenset[Role]:
    """The roles of an address at the newest chain block, in one batch of reads.

    `addresses`: the deployment's contracts by name. Raises NotFound when nothing is deployed,
    ChainUnavailable when the node does not answer.
    """
    for contract in ("Trust", "AccessManager"):
        if contract not in addresses:
            raise NotFound(f"no {contract} is indexed yet: there are no roles")
    reads: list[tuple[str, str, tuple[object, ...]]] = [("Trust", "role", (account,))]
    reads += [("AccessManager", "hasRole", (number, account)) for number in MANAGED]
    answers = rpc.batch(
        (
            "eth_call",
            (
                {
                    "to": addresses[contract],
                    "data": "0x" + abi.encode_call(contract, function, args).hex(),
                },
                "latest",
            ),
        )
        for contract, function, args in reads
    )
    signer, *held = (
        abi.decode_result(contract, function, bytes.fromhex(answer[2:]), len(args))
        for (contract, function, args), answer in zip(reads, answers, strict=True)
    )
    found = {role for role, one in zip(MANAGED.values(), held, strict=True) if one["isMember"]}
    if signer in SIGNERS:
        found.add(SIGNERS[signer])
    return frozenset(found)
