"""`causeway reserve`, `causeway breaks`: what backs the tokens, and where things do not agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from backend.chain.abi import topic
from backend.chain.events import decode_logs
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.commands.statements import sign_and_submit
from backend.domain.classes import flag_names
from backend.domain.reserve import Liability, verify_liability
from backend.domain.sum_tree import Node, SumPath
from backend.domain.units import format_kilograms
from backend.errors import Contradiction, NotFound
from backend.store.breaks import Breaks, list_breaks
from backend.store.queries import reserve

reserve_app = typer.Typer(no_args_is_help=True, help="Reserve reports and their proofs.")
breaks_app = typer.Typer(no_args_is_help=True, help="Differences of registry, custody, chain.")
_MOST = 500


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(reserve_app, name="reserve")
    app.add_typer(breaks_app, name="breaks")


@reserve_app.command("show")
def show(as_json: bool = JSON_OPTION) -> None:
    """The newest report on chain: per class what is covered and what is minted."""
    with reporting(as_json), Context.load(as_json) as context:
        with context.database.read() as connection:
            found = reserve.get_reserve(connection)

        def text() -> None:
            say(f"report {found.sequence}, as of {found.as_of}, {found.age} s old")
            rows = [
                (one.class_id, one.minted, one.covered, one.live, one.not_minted, one.shortfall)
                for one in found.classes
            ]
            columns = ("class", "minted t", "covered t", "live t", "not minted t", "shortfall t")
            table("classes", columns, rows)
            halted = [
                (one.class_id, ", ".join(flag_names(one.flags)), one.gap_tonnes, one.uncovered)
                for one in found.halted
            ]
            if halted:
                table("halted", ("class", "by", "gaps t", "uncovered t"), halted)

        emit(as_json, found, text)


@reserve_app.command("report")
def report(
    key: list[str] = typer.Option([], help="Sign with these local keys and submit it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Draft a report over what is live now; with keys it is signed and submitted."""
    with reporting(as_json), Context.load(as_json) as context:
        drafted = context.bridge.reserve.draft()
        done = sign_and_submit(context, drafted, key)
        document = {"report": done.id, "state": done.state.value, "content": dict(done.content)}
        emit(as_json, document, lambda: say(f"reserve report {done.id}: {done.state.value}"))


@reserve_app.command("verify")
def verify(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    holder: str = typer.Argument(help="Address or local key."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Check that the report on chain counts a holder's balance.

    The report is read from the chain; only the path comes from the database.
    """
    with reporting(as_json), Context.load(as_json) as context:
        class_id, address = context.class_id(credit_class), context.address(holder)
        with context.database.read() as connection:
            proof = reserve.liability_proof(connection, address, class_id)
        sequence = context.bridge.reserve.current().sequence
        said = reported_on_chain(context, sequence)
        path = SumPath(
            proof.right_bits,
            tuple(Node(bytes.fromhex(one.hash[2:]), one.sum) for one in proof.siblings),
        )
        entry = Liability(class_id, address, proof.kilograms)
        root = bytes.fromhex(said["liabilitiesRoot"][2:])
        holds = proof.sequence == sequence and verify_liability(
            entry, path, root, said["liabilitiesKilograms"]
        )
        if not holds:
            raise Contradiction(
                f"the proof of {address} does not lead to report {sequence}",
                sequence=sequence,
            )
        text = f"report {proof.sequence} counts {format_kilograms(proof.kilograms)} of {address}"
        document = {"sequence": proof.sequence, "kilograms": proof.kilograms, "holds": True}
        emit(as_json, document, lambda: say(text))


def reported_on_chain(context: Context, sequence: int) -> Mapping[str, Any]:
    """What the event of a report says, from the chain itself; raises NotFound."""
    logs = context.rpc.get_logs(
        [context.deployment["Reserve"]],
        context.deployment.deployed_at_block,
        context.rpc.block_number(),
        [topic("Reserve", "ReserveReported"), f"0x{sequence:064x}"],
    )
    found = decode_logs(logs, context.deployment)
    if not found:
        raise NotFound(f"the chain has no reserve report {sequence}", sequence=sequence)
    return found[-1].args


@breaks_app.command("list")
def show_breaks(
    state: str = typer.Option("open", help="open, resolved or all."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Breaks, the newest first."""
    with reporting(as_json), Context.load(as_json) as context:
        wanted: dict[str, Any] = {} if state == "all" else {"state": state}
        with context.database.read() as connection:
            page = list_breaks(connection, limit=_MOST, **wanted)
        rows = [(one.number, one.kind, one.state, one.detail) for one in page.items]
        columns = ("break", "kind", "state", "what")
        emit(as_json, {"breaks": page.items}, lambda: table("breaks", columns, rows))


@breaks_app.command("resolve")
def resolve(
    number: int = typer.Argument(help="Number of the break."),
    because: str = typer.Option(..., help="What became of it, for the record."),
    restart: str | None = typer.Option(None, help="State to send its flow on from: `planned` …"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Say what became of a break; its flow goes on from a state, or stays ended."""
    with reporting(as_json), Context.load(as_json) as context:
        done = Breaks(context.database).resolve(number, because)
        if restart is not None and done.flow_kind and done.flow:
            context.bridge.parts.flows.reopen(done.flow_kind, done.flow, restart, because)
        emit(as_json, done, lambda: say(f"break {number}: resolved"))
