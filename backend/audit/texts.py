"""Texts that anybody may publish with a retirement: bytes that need not be UTF-8."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from backend.chain import abi
from backend.chain.manifest import Deployment
from backend.domain.events import ChainEvent
from backend.domain.retirements import NO_HASH

_CONTRACT, _EVENT = "CarbonCredits", "RetirementDetailsPublished"
_TEXTS = ("beneficiary", "purpose", "period")


def decode_published_texts(deployment: Deployment, log: dict[str, Any]) -> ChainEvent | None:
    """The event of a log whose strings are not UTF-8; None where that is not what is wrong.

    The contract takes any bytes, so this is no break. They come back with `surrogateescape`.
    """
    address = deployment.contracts[_CONTRACT].address.lower()
    if log["address"].lower() != address or log["topics"][0] != abi.topic(_CONTRACT, _EVENT):
        return None
    try:
        # A string and the bytes of it are laid out alike.
        data = bytes.fromhex(log["data"].removeprefix("0x"))
        *texts, instruction = decode(["bytes", "bytes", "bytes", "bytes32"], data)
    except (DecodingError, ValueError, OverflowError):
        return None
    args = {
        name: text.decode("utf-8", "surrogateescape")
        for name, text in zip(_TEXTS, texts, strict=True)
    }
    return ChainEvent(
        _CONTRACT,
        _EVENT,
        {
            "certificateId": int(log["topics"][1], 16),
            **args,
            "instructionHash": "0x" + instruction.hex(),
        },
        int(log["blockNumber"], 16),
        log["blockHash"],
        log["transactionHash"],
        int(log["transactionIndex"], 16),
        int(log["logIndex"], 16),
    )


def details_hash(event: ChainEvent) -> str:
    """detailsHash of public texts, over the very bytes that were published."""
    texts = [event.args[name].encode("utf-8", "surrogateescape") for name in _TEXTS]
    instruction = bytes.fromhex(event.args["instructionHash"].removeprefix("0x"))
    types = ["bytes32", "bytes", "bytes", "bytes", "bytes32"]
    return "0x" + keccak(encode(types, [NO_HASH, *texts, instruction])).hex()
