"""What a request may say: every parameter's type, its rule, and the query of each route."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from eth_utils.address import is_checksum_formatted_address, to_checksum_address
from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.domain.credits import Status
from backend.domain.units import MAX_SERIAL
from backend.store.queries.reading import DEFAULT_LIMIT, MAX_LIMIT
from backend.store.queries.upcoming import MOST_KILOGRAMS

_CLASS_ID = re.compile(r"[0-9]{1,78}|0x[0-9a-fA-F]{1,64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
#: Text of a filter: no control characters, which Postgres and logs do not want.
_TEXT = r"^[^\x00-\x1f\x7f]+$"


def _class_id(value: Any) -> Any:
    if not isinstance(value, str) or not _CLASS_ID.fullmatch(value):
        raise ValueError("is not a token id: a decimal number or 0x and up to 64 hex digits")
    return int(value, 16) if value.startswith("0x") else int(value)


def _address(value: Any) -> Any:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError("is not an address: 0x and 40 hex digits")
    address = to_checksum_address(value)
    if is_checksum_formatted_address(value) and value != address:
        raise ValueError("has a wrong checksum (EIP-55): one of its characters is mistyped")
    return address


def _hash(value: Any) -> Any:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError("is not a hash: 0x and 64 hex digits")
    return value.lower()


_WHOLE = re.compile(r"0|[1-9][0-9]{0,19}")


def whole(smallest: int, largest: int) -> BeforeValidator:
    rule = f"is not a whole number in decimal digits, {smallest} … {largest}"

    def check(value: Any) -> Any:
        # A default or a value that was checked before comes as an int.
        if isinstance(value, str):
            if not _WHOLE.fullmatch(value):
                raise ValueError(rule)
            value = int(value)
        if not smallest <= value <= largest:
            raise ValueError(rule)
        return value

    return BeforeValidator(check)


def _digits(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", "examples": [example]})


#: Below 2^63 and 2^64, up to the last few values that no short pattern tells apart.
_BELOW_2_63 = "[1-9][0-9]{0,17}|[1-8][0-9]{18}|9[01][0-9]{17}"
_BELOW_2_64 = "0|[1-9][0-9]{0,18}|1[0-7][0-9]{18}"

_CLASS_EXAMPLE = "0xd5055702f6546ec4f2c10d8a8beefbe4fe95ed9dd967fd4ae13bab4cffae380a"
_ADDRESS_EXAMPLE = "0x976EA74026E726554dB657fA54763abd0C3a0aa9"
_HASH_EXAMPLE = "0x" + "5d" * 32

ClassId = Annotated[
    int,
    BeforeValidator(_class_id),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^([0-9]{1,78}|0x[0-9a-fA-F]{1,64})$",
            "examples": [_CLASS_EXAMPLE],
        }
    ),
]
Address = Annotated[
    str,
    BeforeValidator(_address),
    WithJsonSchema({"type": "string", "format": "evm-address", "examples": [_ADDRESS_EXAMPLE]}),
]
Hash = Annotated[
    str,
    BeforeValidator(_hash),
    WithJsonSchema(
        {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$", "examples": [_HASH_EXAMPLE]}
    ),
]
BlockNumber = Annotated[int, whole(0, 2**63 - 1), _digits(f"0|{_BELOW_2_63}", "1200")]
SerialNumber = Annotated[int, whole(1, MAX_SERIAL), _digits(_BELOW_2_63, "9000055205")]
CertificateId = Annotated[int, whole(0, 2**64 - 1), _digits(_BELOW_2_64, "4294967298")]
ImportId = Annotated[int, whole(0, 2**63 - 1), _digits(f"0|{_BELOW_2_63}", "1")]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]
Year = Annotated[int, Field(ge=1900, le=2200)]

ClassIdPath = Annotated[ClassId, Path(description="Token id, decimal or 0x hexadecimal.")]
AddressPath = Annotated[Address, Path(description="EVM address; EIP-55 is checked if mixed.")]
ReceiptIdPath = Annotated[Hash, Path(description="EIP-712 digest of the receipt.")]
ConversionIdPath = Annotated[Hash, Path(description="EIP-712 digest of the conversion.")]
CertificateIdPath = Annotated[CertificateId, Path(description="Token id of the certificate.")]
SerialPath = Annotated[SerialNumber, Path(description="Serial number in the series.")]
ImportIdPath = Annotated[ImportId, Path(description="Number of the import.")]
DeliveryIdPath = Annotated[ImportId, Path(description="Number of the delivery.")]
DuplicateIdPath = Annotated[ImportId, Path(description="Number of the case.")]
SeriesPath = Annotated[
    str,
    Path(
        description="Series: `VCS:2`, `GS:11603:2025:30256`, `CDM:RW`, or its hash on chain.",
        max_length=80,
        pattern=r"^(VCS:[12]|(GS|ACR|CAR|ART):(0|[1-9][0-9]{0,8}):(0|[1-9][0-9]{0,3})"
        r":(0|[1-9][0-9]{0,8})|CDM:[A-Z]{2}|0x[0-9a-fA-F]{64})$",
        examples=["VCS:1"],
    ),
]


class Query(BaseModel):
    """What every read accepts. A parameter that the route does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_block: BlockNumber | None = Field(
        default=None,
        description="Answer only with this chain block indexed: waits at most one second, then"
        " 409 says how far behind the index is.",
    )


class PageQuery(Query):
    """A list: pages by cursor."""

    cursor: str | None = Field(
        default=None,
        max_length=600,
        description="`next_cursor` of the page before; opaque.",
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items a page.")


class UpcomingQuery(Query):
    """How much would be retired."""

    kilograms: int = Field(ge=1, le=MOST_KILOGRAMS, description="Of the class, all together.")


class ClassesQuery(PageQuery):
    programme: Text | None = Field(default=None, description="`VCS`, `GS` …")
    project: Text | None = Field(default=None, description="The registry's project number.")
    label: Text | None = Field(default=None, description="Code every credit carries: `ccp`.")
    vintage: Year | None = Field(default=None, description="A year that the vintage touches.")


class RetirementsQuery(PageQuery):
    class_id: ClassId | None = None
    account: Address | None = Field(
        default=None, description="Holder, certificate owner or operator."
    )


class MovementsQuery(PageQuery):
    class_id: ClassId | None = None


class ReceiptsQuery(PageQuery):
    state: Literal["drafted", "approved", "submitted", "minted", "cancelled", "failed"] | None = (
        None
    )
    class_id: ClassId | None = None
    recipient: Address | None = None


class BlocksQuery(PageQuery):
    programme: Text | None = None
    project: Text | None = None
    status: Status | None = None
    vintage: Year | None = Field(default=None, description="A year that the vintage touches.")
    tokenizable: bool | None = Field(default=None, description="Whether any of it can be minted.")
    in_trust: bool | None = Field(default=None, description="Whether a receipt names any of it.")
    import_id: ImportId | None = None


class LotsQuery(Query):
    programme: Text | None = None
    project: Text | None = None


class ContradictionsQuery(PageQuery):
    import_id: ImportId | None = None


class DuplicatesQuery(PageQuery):
    state: Literal["open", "duplicate", "distinct", "noted"] | None = None
    programme: Text | None = Field(default=None, description="Of either side.")
    project: Text | None = Field(default=None, description="Of either side.")


class DeliveriesQuery(PageQuery):
    holder: Address | None = None
    class_id: ClassId | None = None
    state: (
        Literal[
            "requested",
            "begun",
            "dispatched",
            "rejected",
            "finalised",
            "refunded",
            "refunded_disputed",
        ]
        | None
    ) = None


class ConversionsQuery(PageQuery):
    class_id: ClassId | None = Field(default=None, description="The old class or the new one.")


class BreaksQuery(PageQuery):
    state: Literal["open", "resolved"] | None = None
    kind: Text | None = Field(default=None, description="`shortfall`, `contradiction` …")
    class_id: ClassId | None = None
