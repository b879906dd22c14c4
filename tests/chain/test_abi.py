"""Calls, results, errors and events survive the way to bytes and back, for every ABI entry."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.chain import abi, calls
from backend.chain.abi import Entry, Parameter
from backend.chain.events import EventDecoder
from backend.chain.keys import named_key
from backend.chain.manifest import DeployedContract, Deployment, Roles
from backend.domain.events import ChainEvent
from backend.errors import InvalidValue, NotFound

pytestmark = pytest.mark.unit

ADDRESSES = [named_key("k", bytes(31) + bytes([number])).address for number in range(1, 20)]


def values(parameter: Parameter, kind: str) -> st.SearchStrategy[Any]:
    """Values in the decoded form for one ABI type."""
    if kind.endswith("]"):
        inner, _, size = kind[:-1].rpartition("[")
        bounds = {"min_size": int(size), "max_size": int(size)} if size else {"max_size": 3}
        return st.lists(values(parameter, inner), **bounds)
    if parameter.components:
        return st.fixed_dictionaries(
            {part.name: values(part, part.type) for part in parameter.components}
        )
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind.startswith("int"):
        bits = int(kind[3:])
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if kind == "bytes":
        return st.binary(max_size=70).map(lambda raw: "0x" + raw.hex())
    if kind.startswith("bytes"):
        size = int(kind[5:])
        return st.binary(min_size=size, max_size=size).map(lambda raw: "0x" + raw.hex())
    return {
        "address": st.sampled_from(ADDRESSES),
        "bool": st.booleans(),
        "string": st.text(max_size=40),
    }[kind]


def arguments(parameters: tuple[Parameter, ...]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(*(values(part, part.type) for part in parameters)).map(list)


ALL = [(contract, entry) for contract in abi.contract_names() for entry in abi.entries(contract)]
FUNCTIONS = [(contract, entry) for contract, entry in ALL if entry.kind == "function"]
ERRORS = [entry for _, entry in ALL if entry.kind == "error"]
EVENTS = [(contract, entry) for contract, entry in ALL if entry.kind == "event"]


@given(st.sampled_from(FUNCTIONS), st.data())
def test_a_call_of_any_function_decodes_to_what_was_encoded(
    chosen: tuple[str, Entry], data: st.DataObject
) -> None:
    contract, entry = chosen
    given_args = data.draw(arguments(entry.inputs))
    encoded = abi.encode_call(contract, entry.signature, given_args)
    name, decoded = abi.decode_call(contract, encoded)
    assert name == entry.name
    assert list(decoded.values()) == given_args
    assert list(decoded) == [part.name for part in entry.inputs]


@given(st.sampled_from(FUNCTIONS), st.data())
def test_a_result_of_any_function_decodes(chosen: tuple[str, Entry], data: st.DataObject) -> None:
    contract, entry = chosen
    returned = data.draw(arguments(entry.outputs))
    encoded = abi.encode_values(entry.outputs, returned, "test")
    decoded = abi.decode_result(contract, entry.signature, encoded)
    assert (list(decoded.values()) if len(returned) != 1 else [decoded]) == returned


@given(st.sampled_from(ERRORS), st.data())
def test_any_custom_error_decodes_to_its_name_and_values(entry: Entry, data: st.DataObject) -> None:
    args = data.draw(arguments(entry.inputs))
    decoded = abi.decode_error(entry.id + abi.encode_values(entry.inputs, args, "test"))
    assert decoded is not None
    assert decoded[0] == entry.name
    assert list(decoded[1].values()) == args


def test_names_of_errors_are_unique_across_the_contracts() -> None:
    by_name: dict[str, set[bytes]] = {}
    for entry in ERRORS:
        by_name.setdefault(entry.name, set()).add(entry.id)
    assert [name for name, ids in by_name.items() if len(ids) > 1] == []


def test_solidity_errors_and_strangers_decode_or_are_left_alone() -> None:
    text = bytes.fromhex("08c379a0") + abi.encode_values(
        (Parameter("m", "string", (), False),), ["no"], "test"
    )
    assert abi.decode_error(text) == ("Error", {"message": "no"})
    panic = bytes.fromhex("4e487b71") + bytes(31) + b"\x11"
    assert abi.decode_error(panic) == ("Panic", {"code": 17})
    assert abi.decode_error(text[:20]) is None
    assert abi.decode_error(b"\x01\x02\x03\x04") is None
    assert abi.decode_error(b"") is None


# ------------------------------------------------------------------- events


def deployment_of_everything() -> Deployment:
    """A deployment file in which every contract has an address; nothing is on any chain."""
    names = [name for name in abi.contract_names() if name != "TestSettlementAsset"]
    contracts = {
        name: DeployedContract(address, "0x", 1, "0x")
        for name, address in zip([*names, "HKD", "CNH", "USD"], ADDRESSES, strict=False)
    }
    one, two, three, four, five, *_ = ADDRESSES
    signers = ((one,), (two,), (three,), (four,))
    roles = Roles(one, two, three, four, five, *signers, one, two, three, four)
    return Deployment(31337, "0x", 1, contracts, roles, one, "0x", {})


DEPLOYMENT = deployment_of_everything()
DECODER = EventDecoder(DEPLOYMENT)


def as_log(contract: str, entry: Entry, args: dict[str, Any]) -> dict[str, Any]:
    """The log that a node gives for an event, encoded by eth_abi alone."""
    topics = ["0x" + entry.id.hex()]
    for part in entry.inputs:
        if part.indexed:
            topics.append("0x" + abi.encode_values([part], [args[part.name]], "test").hex())
    plain = [part for part in entry.inputs if not part.indexed]
    data = abi.encode_values(plain, [args[part.name] for part in plain], "test")
    return {
        "address": DEPLOYMENT[contract].lower(),
        "topics": topics,
        "data": "0x" + data.hex(),
        "blockNumber": "0x10",
        "blockHash": "0xb1",
        "transactionHash": "0x71",
        "transactionIndex": "0x2",
        "logIndex": "0x1f",
    }


@settings(max_examples=200)
@given(st.sampled_from(EVENTS), st.data())
def test_any_event_decodes_to_its_values(chosen: tuple[str, Entry], data: st.DataObject) -> None:
    contract, entry = chosen
    contract = "HKD" if contract == "TestSettlementAsset" else contract
    drawn = data.draw(arguments(entry.inputs))
    args = {part.name: value for part, value in zip(entry.inputs, drawn, strict=True)}
    indexed = [part for part in entry.inputs if part.indexed]
    assert all(part.type not in ("string", "bytes") and not part.components for part in indexed)
    [decoded] = DECODER.decode([as_log(contract, entry, args)])
    assert decoded == ChainEvent(contract, entry.name, decoded.args, 16, "0xb1", "0x71", 2, 31)
    assert decoded.args == args


def test_logs_of_others_and_unknown_topics_are_left_out() -> None:
    entry = abi.event("CarbonCredits", "ApprovalForAll")
    args = {"account": ADDRESSES[0], "operator": ADDRESSES[1], "approved": True}
    log = as_log("CarbonCredits", entry, args)
    foreign = log | {"address": ADDRESSES[-1]}
    unknown = log | {"topics": ["0x" + "00" * 32]}
    anonymous = log | {"topics": []}
    otherwise_indexed = log | {"topics": log["topics"][:2]}
    assert DECODER.decode([foreign, unknown, anonymous, otherwise_indexed]) == []
    assert [event.name for event in DECODER.decode([unknown, log])] == ["ApprovalForAll"]


# -------------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("Trust", "nothing", []), "takes no 0 arguments"),
        (("Trust", "receiptStatus", []), "takes no 0 arguments"),
        (("Trust", "receiptStatus", ["0x12345"]), "does not fit the ABI"),
        (("Trust", "receiptStatus", [b"\1" * 33]), "does not fit the ABI"),
        (("CarbonCredits", "balanceOf", ["0x12", 1]), "does not fit the ABI"),
        (("CarbonCredits", "totalSupply", [-1]), "does not fit the ABI"),
        (("CarbonCredits", "totalSupply", [2**256]), "does not fit the ABI"),
        (("CarbonCredits", "totalSupply", ["7"]), "does not fit the ABI"),
        (("Trust", "hashSeries", [{"programme": "VCS"}]), "needs exactly"),
        (("Trust", "hashSeries", [{"programme": "VCS", "code": []}]), "needs exactly"),
    ],
)
def test_a_call_that_does_not_fit_names_the_function(call: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        abi.encode_call(*call)


def test_unknown_contracts_functions_and_data_are_errors() -> None:
    with pytest.raises(NotFound, match="no contract is called Bazaar"):
        abi.entries("Bazaar")
    with pytest.raises(NotFound, match="no function 0x01020304"):
        abi.decode_call("Trust", b"\1\2\3\4")
    with pytest.raises(InvalidValue, match="ambiguous"):
        abi.function("RetirementCertificates", "safeTransferFrom")
    with pytest.raises(InvalidValue, match="is unknown"):
        abi.event("Trust", "Nothing")
    with pytest.raises(InvalidValue, match="is not \\(bytes32\\)"):
        abi.decode_call("Trust", abi.selector("Trust", "receiptStatus") + b"\1")


def test_signatures_are_ordered_by_signer_and_none_counts_twice() -> None:
    pairs = [(address, bytes([index])) for index, address in enumerate(ADDRESSES)]
    ordered = calls.ordered_signatures(reversed(pairs))
    expected = sorted(pairs, key=lambda pair: pair[0].lower())
    assert ordered == [signature for _, signature in expected]
    with pytest.raises(InvalidValue, match="signed twice"):
        calls.ordered_signatures([*pairs, (ADDRESSES[3].lower(), b"x")])


@pytest.mark.parametrize("code", ["hk", "HKG", "H1", "", "ÄÄ"])
def test_a_jurisdiction_is_two_capitals(code: str) -> None:
    with pytest.raises(InvalidValue, match="jurisdiction"):
        calls.admit(ADDRESSES[0], 1, code, 0)


def test_roles_refuse_one_party_in_both_roles_of_l5() -> None:
    one, two, *_ = ADDRESSES
    good = {field.name: one for field in fields(Roles)[:5]} | {"guardian": two}
    good |= {"sequencer": one, "watcher": two, "fee_operator": one, "fee_developer": one}
    good |= {"custodians": (one,), "attestors": (two,), "freezers": (one,), "enforcers": (two,)}
    assert Roles(**good).custodians == (one,)
    for change, message in (
        ({"attestors": (one.lower(),)}, "are attestors too"),
        ({"enforcers": (two, one)}, "are enforcers too"),
        ({"custodians": (one, one.lower())}, "names an address twice"),
        ({"custodians": ()}, "is outside 1 … 0"),
        ({"guardian": one}, "the admin it must watch"),
        ({"watcher": one.lower()}, "the sequencer it watches"),
        ({"facts": "0x12"}, "is not an address"),
    ):
        with pytest.raises(InvalidValue, match=message):
            Roles(**(good | change))
