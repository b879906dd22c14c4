"""What a programme asks of a retirement instruction, checked before the holder signs.

After the signature it is too late: the tokens are burnt, the certificate's text never changes, and
some registries never change a retirement either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from backend.domain.instructions import (
    NO_SALT,
    BeneficiaryKind,
    RetirementInstruction,
    UseCase,
)
from backend.errors import InvalidValue, ProgrammeForbids


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule an instruction breaks: the field, what stands there, what is asked.

    `code` names the kind of rule: a page says it in the reader's language.
    """

    field: str
    value: str
    rule: str
    code: str

    def __str__(self) -> str:
        return f"{self.field}: {self.value!r} {self.rule}"


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme that an obligation is met under, and its periods (none named: any text).

    `filed_from`: units that the registry took before this day cannot be used for the scheme.
    """

    name: str
    periods: tuple[str, ...] = ()
    filed_from: date | None = None


@dataclass(frozen=True, slots=True)
class InstructionRules:
    """The rules of one programme; `sources` says where each is from.

    `reasons`: the codes the registry offers, "" of none: any text up to its length. `use_of`: what
    a code says of the use, where it says it. `countries`: the beneficiary's, empty for any.
    `notices` are shown to the holder before the signature; they bar nothing.
    """

    programme: str
    beneficiary_required: bool
    identifier_required: bool
    kinds: tuple[BeneficiaryKind, ...]
    countries: tuple[str, ...]
    uses: tuple[UseCase, ...]
    reasons: tuple[str, ...]
    use_of: Mapping[str, UseCase]
    schemes: tuple[Scheme, ...]
    claim_required: bool
    private_allowed: bool
    notices: tuple[str, ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        for code in self.use_of:
            if code not in self.reasons:
                raise InvalidValue("use_of", code, "is not one of the reasons")
        for name in ("kinds", "uses", "sources"):
            if not getattr(self, name):
                raise InvalidValue(name, self.programme, "is empty")

    @property
    def plain_reason(self) -> str:
        """The code for a voluntary retirement that nobody gave a reason for."""
        fitting = [one for one in self.reasons if self.use_of.get(one) is not UseCase.COMPLIANCE]
        return "Other" if "Other" in fitting else next(iter(fitting), "")


def breaches(
    rules: InstructionRules,
    instruction: RetirementInstruction,
    on: date,
    filed_on: date | None = None,
) -> tuple[Breach, ...]:
    """Every rule that the instruction breaks, in the order of its fields; empty when none.

    `on`: the day of the retirement; `filed_on`: when the registry took the units, where known.
    """
    found = [
        *_of_beneficiary(rules, instruction),
        *_of_use(rules, instruction, filed_on),
        *_of_claim(rules, instruction, on),
    ]
    if instruction.programme != rules.programme:
        found.insert(
            0,
            Breach("programme", instruction.programme, f"is not {rules.programme}", "not_offered"),
        )
    return tuple(found)


def check_instruction(
    rules: InstructionRules,
    instruction: RetirementInstruction,
    on: date,
    filed_on: date | None = None,
) -> None:
    """Raises ProgrammeForbids with every breach when there is one."""
    found = breaches(rules, instruction, on, filed_on)
    if found:
        raise ProgrammeForbids(
            f"{rules.programme} would not retire this: {'; '.join(map(str, found))}",
            reasons=[str(one) for one in found],
            fields=[one.field for one in found],
            codes=[one.code for one in found],
        )


def _of_beneficiary(rules: InstructionRules, said: RetirementInstruction) -> list[Breach]:
    found = []
    if rules.beneficiary_required and not said.beneficiary.strip():
        rule = "is mandatory, public or private"
        found.append(Breach("beneficiary", said.beneficiary, rule, "missing"))
    if rules.identifier_required and not said.identifier.strip():
        found.append(Breach("identifier", said.identifier, "is mandatory", "missing"))
    if said.kind not in rules.kinds:
        rule = f"is not one of {', '.join(rules.kinds)}"
        found.append(Breach("kind", said.kind, rule, "not_offered"))
    if said.beneficiary.strip() and not said.country:
        rule = "is missing for the beneficiary"
        found.append(Breach("country", said.country, rule, "missing"))
    if rules.countries and said.country not in rules.countries:
        listed = ", ".join(rules.countries)
        found.append(Breach("country", said.country, f"is not one of {listed}", "not_offered"))
    if not said.is_public:
        if not rules.private_allowed:
            found.append(Breach("is_public", "no", "must be yes", "public_only"))
        if said.salt == NO_SALT:
            rule = "must be random for what is not public, or its hash can be guessed"
            found.append(Breach("salt", "0", rule, "missing"))
    return found


def _of_use(
    rules: InstructionRules, said: RetirementInstruction, filed_on: date | None
) -> list[Breach]:
    found = []
    if said.use_case not in rules.uses:
        rule = f"is not one of {', '.join(rules.uses)}"
        found.append(Breach("use_case", said.use_case, rule, "not_offered"))
    if rules.reasons and said.reason_code not in rules.reasons:
        listed = ", ".join(rules.reasons)
        rule = f"is not one of {listed}"
        found.append(Breach("reason_code", said.reason_code, rule, "not_offered"))
    means = rules.use_of.get(said.reason_code)
    if means is not None and means is not said.use_case:
        rule = f"means {means} use"
        found.append(Breach("reason_code", said.reason_code, rule, f"means_{means}"))
    if said.use_case is UseCase.VOLUNTARY:
        if said.scheme or said.scheme_period:
            rule = "belongs to a compliance use"
            found.append(Breach("scheme", said.scheme, rule, "compliance_only"))
        return found
    scheme = next((one for one in rules.schemes if one.name == said.scheme), None)
    if scheme is None:
        listed = ", ".join(one.name for one in rules.schemes) or "none"
        found.append(Breach("scheme", said.scheme, f"is not one of: {listed}", "not_offered"))
        return found
    if not said.scheme_period.strip():
        found.append(Breach("scheme_period", said.scheme_period, "is missing", "missing"))
    elif scheme.periods and said.scheme_period not in scheme.periods:
        listed = ", ".join(scheme.periods)
        rule = f"is not one of {listed}"
        found.append(Breach("scheme_period", said.scheme_period, rule, "not_offered"))
    if scheme.filed_from is not None and (filed_on is None or filed_on < scheme.filed_from):
        rule = f"takes only units filed from {scheme.filed_from} on, these: {filed_on or 'unknown'}"
        found.append(Breach("scheme", said.scheme, rule, "filed_too_early"))
    return found


def _of_claim(rules: InstructionRules, said: RetirementInstruction, on: date) -> list[Breach]:
    found = []
    if rules.claim_required and said.claim_start is None:
        found.append(Breach("claim_start", "", "is mandatory", "missing"))
    if said.claim_start is not None and said.claim_start > on:
        rule = f"begins after the retirement ({on}): what was not yet emitted cannot be claimed"
        found.append(Breach("claim_start", said.claim_start.isoformat(), rule, "not_begun"))
    return found
