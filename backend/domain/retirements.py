"""The words of a retirement: who benefits, why, for which period, and the hash that binds them."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.domain.instructions import RetirementInstruction
from backend.errors import InvalidValue

MAX_TEXT_BYTES = 256
NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class RetirementDetails:
    """Texts of a certificate, each at most 256 bytes of UTF-8; `salt` 0 when they are public."""

    beneficiary: str
    purpose: str
    period: str
    instruction_hash: bytes = NO_HASH
    salt: bytes = NO_HASH

    def __post_init__(self) -> None:
        for name in ("beneficiary", "purpose", "period"):
            text: str = getattr(self, name)
            if len(text.encode()) > MAX_TEXT_BYTES:
                raise InvalidValue(name, text, f"is longer than {MAX_TEXT_BYTES} bytes")
            if any(ord(character) < 32 or ord(character) == 127 for character in text):
                raise InvalidValue(name, text, "holds a control character")
        for name in ("instruction_hash", "salt"):
            if len(getattr(self, name)) != 32:
                raise InvalidValue(name, getattr(self, name), "is not 32 bytes")

    @property
    def is_public(self) -> bool:
        return self.salt == NO_HASH

    @property
    def hash(self) -> bytes:
        """keccak256(abi.encode(salt, beneficiary, purpose, period, instructionHash))."""
        return keccak(
            encode(
                ["bytes32", "string", "string", "string", "bytes32"],
                [self.salt, self.beneficiary, self.purpose, self.period, self.instruction_hash],
            )
        )


def details_of(instruction: RetirementInstruction, salt: bytes = NO_HASH) -> RetirementDetails:
    """The certificate's words that follow from an instruction, and its hash in them.

    `salt` is the certificate's own: random when the instruction is not public, so that neither
    of the two hashes can be guessed from the other.
    """
    if instruction.is_public == (salt != NO_HASH):
        wanted = "no salt" if instruction.is_public else "a salt"
        raise InvalidValue("salt", salt.hex(), f"does not fit: such a certificate needs {wanted}")
    purpose = f"{instruction.scheme} {instruction.scheme_period}".strip()
    start, end = instruction.claim_start, instruction.claim_end
    return RetirementDetails(
        instruction.beneficiary,
        purpose or instruction.reason_code,
        f"{start} to {end}" if start and end else "",
        instruction.hash,
        salt,
    )


#: What `closeOpenTonne` writes on its certificate: the contract has the same words.
CLOSING = RetirementDetails("", "Closing of an opened tonne", "")
