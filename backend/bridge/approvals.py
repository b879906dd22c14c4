"""Signatures of custodians and attestors, and the transaction that carries them (L5, L10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from backend.chain.contracts import Contracts
from backend.chain.keys import Key, recover
from backend.chain.roles import SIGNERS, Role
from backend.chain.sender import Sender
from backend.domain.transactions import TransactionState
from backend.errors import ChainUnavailable, IndexBehind, NotAuthorised
from backend.store.custody import Approval, Custody
from backend.store.database import Connection, Database
from backend.store.queries.reading import chain_head
from backend.store.transactions import PostgresTransactionLog


def take_signature(
    database: Database, subject: str, digest: bytes, signature: bytes, role: Role | None
) -> Approval:
    """Keep a signature over a draft, by whoever the signature says, in the role that the contract
    gives them; the same signer's again changes nothing.

    Raises NotAuthorised for anybody but custodian and attestor, InvalidValue for no signature.
    """
    signer = recover(digest, signature)
    if role is None or role not in SIGNERS.values():
        raise NotAuthorised(f"{signer} is neither custodian nor attestor", signer=signer)
    approval = Approval(signer, role.value, signature)
    Custody(database).approve(subject, approval)
    return approval


@dataclass(frozen=True, slots=True)
class Services:
    """What every part of the bridge works with."""

    database: Database
    contracts: Contracts
    sender: Sender
    log: PostgresTransactionLog
    #: Chain blocks on top of one before it counts as final.
    confirmations: int = 0

    def chain_time(self) -> int:
        """Unix seconds of the newest chain block: our own clock decides nothing on chain."""
        block = self.contracts.rpc.block("latest")
        if block is None:
            raise ChainUnavailable("the chain has no block")
        return block.timestamp

    def chain_day(self) -> date:
        """The day of the newest chain block, in UTC."""
        return datetime.fromtimestamp(self.chain_time(), UTC).date()

    def final_number(self, connection: Connection) -> int:
        """The newest indexed chain block that no reorganisation will take back.

        Counted from the index's own head, and read in one snapshot with what it shall hold for:
        after a reorganisation the chain's head says nothing of rows that the index still has of
        the chain blocks that were replaced. Raises IndexBehind while there is no index.
        """
        indexed = chain_head(connection).number
        if indexed < 0:
            raise IndexBehind("nothing is indexed yet", indexed_number=indexed)
        return max(indexed - self.confirmations, 0)

    @property
    def trust(self) -> str:
        return self.contracts.deployment["Trust"]

    @property
    def records(self) -> str:
        return self.contracts.deployment["RegistryRecords"]

    @property
    def chain_id(self) -> int:
        return self.contracts.deployment.chain_id

    def approve(self, subject: str, digest: bytes, key: Key) -> None:
        """Sign as custodian or attestor, as the contract knows the key."""
        role = SIGNERS.get(self.contracts.read("Trust", "role", key.address))
        signature = key.sign(digest)
        take_signature(self.database, subject, digest, signature, role)

    def is_approved(self, approvals: tuple[Approval, ...]) -> bool:
        """Whether enough of each role signed, by the thresholds that the contract has now."""
        custodians, attestors = self.contracts.thresholds()
        roles = [one.role for one in approvals]
        return roles.count("custodian") >= custodians and roles.count("attestor") >= attestors

    def next_key(self, kind: str, subject: str, last: str | None) -> str:
        """The key of the transaction that is under way, or of the next one after a revert.

        A new transaction for the same subject cannot double anything: the contract takes each
        receipt, statement and position once.
        """
        if last is None:
            return f"{kind}:{subject}"
        sent = self.log.get(last)
        if sent is None or sent.state is not TransactionState.REVERTED:
            return last
        prefix, _, attempt = last.rpartition("#")
        return f"{prefix}#{int(attempt) + 1}" if prefix else f"{last}#2"

    def is_under_way(self, key: str) -> bool:
        """Whether the sender has a transaction of this key: it brings it forward."""
        return self.log.get(key) is not None


def pairs(approvals: tuple[Approval, ...]) -> list[tuple[str, bytes]]:
    """(signer, signature) as the calls take them."""
    return [(one.signer, one.signature) for one in approvals]
