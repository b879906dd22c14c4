"""A sandbox is on the local chain of one machine, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.api.app import create_app
from backend.chain.rpc import Rpc
from backend.errors import ChainRejected, LocalError
from backend.sandbox.guard import LOCAL_CHAIN_ID, check_chain, is_possible, is_wanted
from backend.sandbox.sandbox import Sandbox
from backend.settings import Settings
from backend.store.database import Database

pytestmark = pytest.mark.unit

LOCAL = Settings(sandbox=True, chain_url="http://127.0.0.1:8545", database_url=None, nats_url=None)


def machine(settings: Settings) -> Any:
    return SimpleNamespace(settings=settings)


@pytest.mark.parametrize(
    "other",
    [
        {"chain_id": 1},
        {"chain_id": 11_155_111},
        {"chain_url": "http://node.example:8545"},
        {"chain_url": "http://127.0.0.1.example:8545"},
        {"api_host": "0.0.0.0"},
    ],
)
def test_anywhere_else_it_does_not_begin(other: dict[str, Any]) -> None:
    settings = LOCAL.model_copy(update=other)
    with pytest.raises(LocalError, match="leave CAUSEWAY_SANDBOX unset"):
        Sandbox(machine(settings))


def test_it_is_there_only_when_it_was_asked_for() -> None:
    assert not Settings(chain_url="http://127.0.0.1:8545").sandbox
    assert not is_wanted(LOCAL.model_copy(update={"sandbox": False}))
    with pytest.raises(LocalError):
        Sandbox(machine(LOCAL.model_copy(update={"sandbox": False})))
    assert is_wanted(LOCAL)
    assert is_possible(LOCAL)
    assert not is_possible(LOCAL.model_copy(update={"chain_id": 5}))


@pytest.fixture
def database() -> Iterator[Database]:
    # Nothing connects: the schema alone is asked for.
    opened = Database("postgresql://nobody@127.0.0.1:1/none")
    yield opened
    opened.close()


def test_without_it_there_are_no_routes(database: Database) -> None:
    for playground in (None, Sandbox(machine(LOCAL))):
        settings = LOCAL.model_copy(update={"chain_url": None})
        schema = create_app(settings, database=database, playground=playground).openapi()
        found = [path for path in schema["paths"] if path.startswith("/v1/sandbox")]
        assert bool(found) == (playground is not None)


class _Node:
    """Says what chain it is, and whether it is an Anvil."""

    def __init__(self, chain: int, is_anvil: bool) -> None:
        self._chain, self._is_anvil = chain, is_anvil

    def chain_id(self) -> int:
        return self._chain

    def call(self, method: str, *params: Any) -> Any:
        if not self._is_anvil:
            raise ChainRejected(f"the method {method} does not exist")
        return {}


@pytest.mark.parametrize(("chain", "is_anvil"), [(1, True), (LOCAL_CHAIN_ID, False)])
def test_a_node_that_is_not_the_local_chain_is_refused_at_every_act(
    chain: int, is_anvil: bool
) -> None:
    with pytest.raises(LocalError):
        check_chain(cast(Rpc, _Node(chain, is_anvil)))
    check_chain(cast(Rpc, _Node(LOCAL_CHAIN_ID, True)))
