"""The one exception tree. Every leaf carries the values that explain it; HTTP lives in `api/`.

CausewayError
├── RuleError                 a rule of the registry was broken by the input
│   ├── InvalidValue          one value breaks one rule; names the field, the value and the rule
│   ├── TooLarge              a request is longer than its route takes
│   ├── UnknownLayout         a file whose header no adapter knows
│   ├── UnmappedLabel         a label the vocabulary does not map: the row cannot be tokenized
│   ├── SerialsOverlap        two intervals of one series share a serial number        (L2)
│   ├── ProgrammeForbids      a programme, or the terms of a trust account, do not allow it
│   ├── NotEnough             more asked than there is                                 (L1)
│   ├── Conflict              the same identifier presented with other content         (L10)
│   ├── Contradiction         two registry exports cannot both be true
│   ├── DuplicateOpen         a project may be credited twice: a person has to decide first
│   └── NotAuthorised         a signature or a role is missing                         (L5)
│       └── NotSignedIn       a session is missing, has ended or is another account's
├── NotFound                  nothing has this identifier
├── ServiceError              something outside this process failed
│   ├── ChainUnavailable      the RPC endpoint does not answer
│   ├── ChainRejected         the chain refused a call or a transaction; carries the decoded reason
│   ├── ChainBehind           the chain is older than what the database recorded
│   │   └── ChainReplaced     it holds chain blocks that were replaced, and cannot take them back
│   ├── DeploymentMismatch    the chain does not hold the contracts the deployment file names
│   ├── IndexBehind           the chain index has not reached the chain block that was asked for
│   │   └── MarketBehind      a market's read models have not reached the entry that was asked for
│   ├── IndexInconsistent     the read models contradict a law or the events they come from
│   ├── DatabaseUnavailable   Postgres does not answer
│   ├── RegistryUnavailable   a programme's registry does not answer, or is closed
│   ├── SignerUnavailable     the signing service does not answer, or answers no signature
│   ├── BusUnavailable        NATS does not answer
│   ├── VenueUnavailable      a venue has no leader that takes commands: nothing was accepted
│   ├── OutcomeUnknown        no answer came in time: the same command again gets the first answer
│   ├── LeadershipLost        this process leads no more, or cannot know: it has to end
│   └── JournalInconsistent   a journal contradicts itself or what replaying it gives           (L9)
└── LocalError                the services embedded on this machine could not be run
"""

from __future__ import annotations

from typing import Any


class CausewayError(Exception):
    """Root of the tree. `values` are the facts behind the message, JSON-serialisable."""

    #: Stable identifier of the kind of error, the last part of a problem+json `type`.
    code = "error"

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.values = values


class RuleError(CausewayError):
    """A rule of the registry was broken by the input."""

    code = "rule-broken"


class InvalidValue(RuleError):
    """One value breaks one rule."""

    code = "invalid-value"

    def __init__(self, field: str, value: object, rule: str, **values: Any) -> None:
        super().__init__(
            f"{field}: {value!r} {rule}", field=field, value=str(value), rule=rule, **values
        )
        self.field = field
        self.value = value
        self.rule = rule


class TooLarge(RuleError):
    """The request is longer than its route takes; `values["most_bytes"]`."""

    code = "too-large"


class UnknownLayout(RuleError):
    """A file whose header no adapter knows."""

    code = "unknown-layout"


class UnmappedLabel(RuleError):
    """A label that the vocabulary does not map."""

    code = "unmapped-label"


class SerialsOverlap(RuleError):
    """Two intervals of one series share a serial number (L2)."""

    code = "serials-overlap"


class ProgrammeForbids(RuleError):
    """A programme, or the terms of a trust account, do not allow it; `values["reasons"]`."""

    code = "programme-forbids"


class NotEnough(RuleError):
    """More was asked than there is (L1)."""

    code = "not-enough"


class Conflict(RuleError):
    """The same identifier was presented with other content (L10)."""

    code = "conflict"


class Contradiction(RuleError):
    """Two registry exports cannot both be true."""

    code = "contradiction"


class DuplicateOpen(RuleError):
    """A project may be credited under another programme or bridge too: nobody has decided."""

    code = "duplicate-open"


class NotAuthorised(RuleError):
    """A signature or a role is missing (L5)."""

    code = "not-authorised"


class NotSignedIn(NotAuthorised):
    """A session is missing, has ended or belongs to another account."""

    code = "not-signed-in"


class NotFound(CausewayError):
    """Nothing has this identifier."""

    code = "not-found"


class ServiceError(CausewayError):
    """Something outside this process failed."""

    code = "service-failed"


class ChainUnavailable(ServiceError):
    """The RPC endpoint does not answer."""

    code = "chain-unavailable"


class ChainRejected(ServiceError):
    """The chain refused a call or a transaction."""

    code = "chain-rejected"


class ChainBehind(ServiceError):
    """The chain is older than what the database recorded."""

    code = "chain-behind"


class ChainReplaced(ChainBehind):
    """A local chain came back with chain blocks that a reorganisation had replaced, and holds no
    state from before them: an older saved state must be loaded."""

    code = "chain-replaced"


class DeploymentMismatch(ServiceError):
    """The chain does not hold the contracts that the deployment file names."""

    code = "deployment-mismatch"


class IndexBehind(ServiceError):
    """The chain index has not reached the chain block that was asked for."""

    code = "index-behind"


class MarketBehind(IndexBehind):
    """A market's read models have not reached the journal entry that was asked for."""

    code = "market-behind"


class IndexInconsistent(ServiceError):
    """The read models contradict a law, or the events they are made from."""

    code = "index-inconsistent"


class DatabaseUnavailable(ServiceError):
    """Postgres does not answer."""

    code = "database-unavailable"


class RegistryUnavailable(ServiceError):
    """A programme's registry does not answer, or is closed for maintenance."""

    code = "registry-unavailable"


class SignerUnavailable(ServiceError):
    """The signing service does not answer, or what it answers is no signature."""

    code = "signer-unavailable"


class BusUnavailable(ServiceError):
    """NATS does not answer."""

    code = "bus-unavailable"


class VenueUnavailable(ServiceError):
    """A venue has no leader that takes commands: nothing was accepted."""

    code = "venue-unavailable"


class OutcomeUnknown(ServiceError):
    """No answer came in time: the same command again gets the first answer."""

    code = "outcome-unknown"


class LeadershipLost(ServiceError):
    """This process leads no more, or cannot know whether it does: it has to end."""

    code = "leadership-lost"


class JournalInconsistent(ServiceError):
    """A journal contradicts itself or what replaying it gives (L9)."""

    code = "journal-inconsistent"


class LocalError(CausewayError):
    """The services embedded on this machine could not be run."""

    code = "local-services"
