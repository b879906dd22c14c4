"""`/v1/sandbox`: faucets and triggers for developers. On a local chain alone: see backend.sandbox.

An act states what shall be so and changes nothing where it is so, or it names a `request` that has
the effect of once. So each may be sent again when no answer came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool

from backend.api.errors import responses
from backend.api.parameters import Address, AddressPath, ClassIdPath, Hash, whole
from backend.sandbox import faucets, triggers
from backend.sandbox.effects import Effect
from backend.sandbox.faucets import Faucets
from backend.sandbox.sandbox import Sandbox
from backend.sandbox.triggers import Triggers

router = APIRouter(prefix="/v1/sandbox", tags=["sandbox"])


_DIGITS: Final[dict[str, Any]] = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,19})$"}
_Digits = WithJsonSchema(_DIGITS)
Wei = Annotated[int, whole(1, faucets.MOST_WEI), _Digits]
Units = Annotated[int, whole(1, faucets.MOST_MONEY), _Digits]
Tonnes = Annotated[int, whole(1, faucets.MOST_TONNES), _Digits]
Short = Annotated[int, whole(0, faucets.MOST_TONNES), _Digits]
Second = Annotated[int, whole(1, 2**40), _Digits]
Seconds = Annotated[int, whole(1, triggers.LONGEST_MAINTENANCE), _Digits]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GasAsked(_Asked):
    at_least: Wei = Field(10**18, description="Wei: 10^18 are one of the chain's.")


class AdmissionAsked(_Asked):
    tier: Literal["none", "retail", "professional", "institution"] = "professional"
    jurisdiction: str = Field(default="HK", pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")


class _Once(_Asked):
    request: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$",
        description="Your own name of this request: the same again has the effect of once.",
        examples=["first-money"],
    )
    to: Address


class MoneyAsked(_Once):
    asset: Literal["HKD", "CNH", "USD"]
    amount: Units = Field(description="Base units of the asset.")


class CreditsAsked(_Once):
    tonnes: Tonnes = Field(description="Whole tonnes.")


class RegistryAsked(_Asked):
    mode: Literal[
        "normal", "slow", "failing", "refusing", "queueing", "other-serials", "maintenance"
    ]
    seconds: Seconds = Field(600, description="Of maintenance alone: how long.")


class RecipientAsked(_Asked):
    answer: Literal["accept", "reject", "wait"]


class HoldAsked(_Asked):
    held: bool


class ReserveAsked(_Asked):
    short_tonnes: Short = Field(description="Tonnes that shall be short; 0 is none.")


class ReportAsked(_Asked):
    stale: bool


class TimeAsked(_Asked):
    at_least: Second = Field(description="Unix seconds.")


class ReorganisationAsked(_Asked):
    from_hash: Hash = Field(
        description="The oldest chain block to replace, by its hash; one that is not on the chain"
        " any more was replaced already."
    )


class EffectModel(BaseModel):
    """What an act did, or found done."""

    changed: bool = Field(description="False when it was so already.")
    state: str = Field(description="`done`, or how far what it began is.", examples=["done"])
    transaction: str | None = Field(description="Hash of the transaction that did it.")
    values: dict[str, Any] = Field(description="What is so now; integers as strings.")


class EffectAnswer(BaseModel):
    data: EffectModel


class SandboxModel(BaseModel):
    """What is set now."""

    chain_id: str
    head: dict[str, str] = Field(description="Number and hash of the newest chain block.")
    time: str = Field(description="The chain's clock, Unix seconds.")
    registry: dict[str, str] = Field(description="The simulated registry: its mode and clock.")
    halted_classes: list[str]


class SandboxAnswer(BaseModel):
    data: SandboxModel


def _box(request: Request) -> Sandbox:
    box: Sandbox = request.app.state.sandbox
    return box


def _answer(done: Effect) -> Response:
    data = {
        "changed": done.changed,
        "state": done.state,
        "transaction": done.transaction,
        "values": done.values,
    }
    return JSONResponse({"data": data}, headers={"Cache-Control": "no-store"})


async def _give(request: Request, act: Callable[[Faucets], Effect]) -> Response:
    return _answer(await run_in_threadpool(_box(request).give, act))


async def _trigger(request: Request, act: Callable[[Triggers], Effect]) -> Response:
    return _answer(await run_in_threadpool(_box(request).trigger, act))


@router.get("", response_model=SandboxAnswer, responses=responses())
async def get_sandbox(request: Request) -> Response:
    """What is set now: the chain's clock, the registry's mode, halted classes."""
    data = await run_in_threadpool(_box(request).state)
    return JSONResponse({"data": data}, headers={"Cache-Control": "no-store"})


# ── faucets ──────────────────────────────────────────────────────────────────────────────────


@router.put("/gas/{address}", response_model=EffectAnswer, responses=responses())
async def put_gas(request: Request, address: AddressPath, body: GasAsked) -> Response:
    """The account can pay gas: it has at least so much."""
    return await _give(request, lambda faucet: faucet.gas(address, body.at_least))


@router.put("/admissions/{address}", response_model=EffectAnswer, responses=responses())
async def put_admission(request: Request, address: AddressPath, body: AdmissionAsked) -> Response:
    """The account is admitted to a tier until the end of next year; `none` ends it."""
    return await _give(
        request, lambda faucet: faucet.admission(address, body.tier, body.jurisdiction)
    )


@router.post("/money", response_model=EffectAnswer, responses=responses(409))
async def post_money(request: Request, body: MoneyAsked) -> Response:
    """Test money of no value, into a wallet."""
    return await _give(
        request, lambda faucet: faucet.money(body.request, body.to, body.asset, body.amount)
    )


@router.post("/credits", response_model=EffectAnswer, responses=responses(403, 409))
async def post_credits(request: Request, body: CreditsAsked) -> Response:
    """Sample credits into trust and their tokens into a wallet; again: how far it is."""
    return await _give(request, lambda faucet: faucet.credits(body.request, body.to, body.tonnes))


# ── triggers ─────────────────────────────────────────────────────────────────────────────────


@router.put("/registry", response_model=EffectAnswer, responses=responses())
async def put_registry(request: Request, body: RegistryAsked) -> Response:
    """The simulated registry is normal, slow, failing, refusing, queueing, closed, or chooses
    serials itself."""
    return await _trigger(request, lambda on: on.registry(body.mode, body.seconds))


@router.put("/recipients/{account}", response_model=EffectAnswer, responses=responses())
async def put_recipient(
    request: Request,
    account: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$")],
    body: RecipientAsked,
) -> Response:
    """A registry account that accepts, rejects or leaves open what is delivered to it."""
    return await _trigger(request, lambda on: on.recipient(account, body.answer))


@router.put("/holds/{class_id}", response_model=EffectAnswer, responses=responses(404, 409))
async def put_hold(request: Request, class_id: ClassIdPath, body: HoldAsked) -> Response:
    """The programme holds a class or releases it: its instrument halts, or trades again."""
    return await _trigger(request, lambda on: on.hold(class_id, body.held))


@router.put("/reserve/{class_id}", response_model=EffectAnswer, responses=responses(404))
async def put_reserve(request: Request, class_id: ClassIdPath, body: ReserveAsked) -> Response:
    """So many tonnes of a class lie no more in trust, and a new reserve report says so."""
    return await _trigger(request, lambda on: on.shortfall(class_id, body.short_tonnes))


@router.put("/reserve", response_model=EffectAnswer, responses=responses(409))
async def put_reserve_report(request: Request, body: ReportAsked) -> Response:
    """The reserve report is too old for mints while its registry is closed; or fresh again."""
    return await _trigger(request, lambda on: on.stale_reserve(body.stale))


@router.put("/time", response_model=EffectAnswer, responses=responses())
async def put_time(request: Request, body: TimeAsked) -> Response:
    """The clocks of chain and registry show at least this second. They never go back."""
    return await _trigger(request, lambda on: on.time(body.at_least))


@router.post("/reorganisations", response_model=EffectAnswer, responses=responses())
async def post_reorganisation(request: Request, body: ReorganisationAsked) -> Response:
    """A chain block and all above it are replaced; what was sent in them is sent again."""
    return await _trigger(request, lambda on: on.reorganise(body.from_hash))
