"""What registries have retired, or may have, that the chain does not show yet.

A registry that chooses serials takes others than those it was asked for; until a confirmation
exchanges them, the chain expects live what is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.domain.registry_answers import Answer, AnswerState
from backend.store.database import Database
from backend.store.flows import UNCONFIRMED, Flow, flows_at
from backend.store.registry_requests import RegistryRequests


def retired(database: Database, class_id: int, *, recorded: bool = False) -> list[Answer]:
    """Answers that say retired, of retirements of a class whose confirmation is under way;
    `recorded`: and of those that the chain has, or had before a reorganisation took it back.
    """
    states = (*UNCONFIRMED, "confirmed") if recorded else UNCONFIRMED
    return [
        answer
        for _, answer in _asked(database, class_id, states)
        if answer is not None and answer.state is AnswerState.DONE
    ]


def unanswered_tonnes(database: Database, class_id: int) -> int:
    """Tonnes that a registry was asked to retire and may have, without our having heard it."""
    return sum(
        flow.tonnes or 0
        for flow, answer in _asked(database, class_id, UNCONFIRMED)
        if answer is None or not answer.state.is_final
    )


def _asked(
    database: Database, class_id: int, states: Sequence[str]
) -> Iterator[tuple[Flow, Answer | None]]:
    with database.read() as connection:
        flows = flows_at(connection, "retirement", class_id, states)
    requests = RegistryRequests(database)
    for flow in flows:
        # One that a person recorded was asked of nobody.
        if "reference" in flow.content:
            yield flow, requests.get(str(flow.content["reference"])).answer
