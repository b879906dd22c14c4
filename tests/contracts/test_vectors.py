"""The committed vectors are what the domain says, and what another EIP-712 implementation says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from eth_account._utils.encode_typed_data.encoding_and_hashing import encode_type, hash_struct

from backend.domain import custody, eip712, records, reserve
from backend.domain.serials import Series
from backend.errors import InvalidValue
from scripts import make_vectors
from tests.contracts.world import typed_data, wallet_digest

pytestmark = pytest.mark.unit

PRIMARY = {
    "receipts": "Receipt",
    "retirements": "RegistryRetirement",
    "failures": "RegistryFailure",
    "made-good": "MadeGood",
    "reserve": "ReserveReport",
}
RECORDS = (make_vectors.RECORDS_DOMAIN, records.TYPES)
SIGNED = {
    "receipts": (make_vectors.DOMAIN, custody.TYPES),
    "retirements": RECORDS,
    "failures": RECORDS,
    "made-good": RECORDS,
    "reserve": (make_vectors.RESERVE_DOMAIN, reserve.TYPES),
}
#: As wallets show them: a change here is a change of what people sign.
TYPE_STRINGS = {
    "Receipt": "Receipt(address recipient,CreditClass creditClass,bytes32 account,"
    "Interval[] intervals,bytes32 evidenceHash,bytes32 termsHash,uint64 validUntil)"
    "CreditClass(string programme,string project,uint8 unitType,uint32 vintageStart,"
    "uint32 vintageEnd,bytes32[] cohort)"
    "Interval(Series series,uint64 first,uint64 last)Series(string programme,uint256[] codes)",
    "RegistryRetirement": "RegistryRetirement(uint256 classId,uint64 firstPosition,uint64 tonnes,"
    "Interval[] actual,string registryReference,uint32 registryDate,bytes32 evidenceHash)"
    "Interval(Series series,uint64 first,uint64 last)Series(string programme,uint256[] codes)",
    "RegistryFailure": "RegistryFailure(uint256 classId,uint64 firstPosition,uint64 tonnes,"
    "string reason,uint32 registryDate,bytes32 evidenceHash)",
    "MadeGood": "MadeGood(uint256 classId,uint64 firstPosition,uint64 tonnes,"
    "uint256 substituteClass,Interval[] substitutes,string registryReference,uint32 registryDate,"
    "bytes32 evidenceHash)"
    "Interval(Series series,uint64 first,uint64 last)Series(string programme,uint256[] codes)",
    "ReserveReport": "ReserveReport(uint64 sequence,uint64 asOf,uint64 chainBlock,bytes32 root,"
    "uint64 tonnes,bytes32 liabilitiesRoot,uint128 liabilitiesKilograms,bytes32 evidenceHash)",
}


def committed(name: str) -> Any:
    return orjson.loads((make_vectors.VECTORS / f"{name}.json").read_bytes())


@pytest.mark.parametrize("name", sorted(make_vectors.vectors()))
def test_the_committed_vectors_are_what_the_domain_says_today(name: str) -> None:
    path = make_vectors.VECTORS / f"{name}.json"
    assert path.read_bytes() == make_vectors.written(make_vectors.vectors()[name])


def _wallet_types(name: str) -> dict[str, Any]:
    domain, types = SIGNED[name]
    full = typed_data(domain, types, PRIMARY[name], {})["types"]
    return {one: full[one] for one in full if one in eip712.encode_type(types, PRIMARY[name])}


def _from_json(types: Any, kind: str, value: Any) -> Any:
    """A committed message in the types that eth_account takes."""
    if kind.endswith("[]"):
        return [_from_json(types, kind[:-2], item) for item in value]
    if kind in types:
        return {name: _from_json(types, field, value[name]) for name, field in types[kind]}
    if kind.startswith("uint"):
        return int(value)
    if kind.startswith("bytes"):
        return bytes.fromhex(value[2:])
    return value


@pytest.mark.parametrize("name", sorted(PRIMARY))
def test_l5_digests_are_those_of_eth_account(name: str) -> None:
    primary, content = PRIMARY[name], committed(name)
    domain, types = SIGNED[name]
    assert content["type"] == TYPE_STRINGS[primary]
    assert encode_type(primary, _wallet_types(name)) == TYPE_STRINGS[primary]
    for vector in content["vectors"]:
        message = _from_json(types, primary, vector["message"])
        full = typed_data(domain, types, primary, message)
        assert "0x" + wallet_digest(full).hex() == vector["digest"]
        struct = hash_struct(primary, _wallet_types(name), message)
        assert "0x" + bytes(struct).hex() == vector["structHash"]


def test_l5_a_digest_binds_chain_and_trust() -> None:
    message = _from_json(custody.TYPES, "Receipt", committed("receipts")["vectors"][0]["message"])
    other = "0x00000000000000000000000000000000C0FFEE02"
    domains = [
        custody.signing_domain(chain, trust)
        for chain in (1, 31337)
        for trust in (make_vectors.DOMAIN.contract, other)
    ]
    digests = {eip712.digest(one, custody.TYPES, "Receipt", message) for one in domains}
    assert len(digests) == len(domains)


def test_l2_the_domain_refuses_the_series_that_the_contract_refuses() -> None:
    refused = committed("series")["refused"]
    assert refused
    for entry in refused:
        with pytest.raises(InvalidValue):
            Series(entry["programme"], tuple(map(int, entry["codes"])))
