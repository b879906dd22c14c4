"""What a stale reserve report closes at the registry, what opens again, what stays closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.errors import ChainUnavailable, InvalidValue
from backend.registries.custody_file import parse_custody, sample_text
from backend.sandbox.registry import PROGRAMME, SimulatedRegistry
from backend.sandbox.triggers import LONGEST_JUMP, Triggers
from tests.registries.simulator_process import SimulatorProcess

pytestmark = pytest.mark.integration

MAX_AGE = 86_400


class _Chain:
    """A clock that the jump moves, or a node that has just gone."""

    def __init__(self, second: int) -> None:
        self.second, self.is_gone = second, False

    def block(self, number: str) -> Any:
        if self.is_gone:
            raise ChainUnavailable("the node does not answer")
        return SimpleNamespace(timestamp=self.second)

    def call(self, method: str, *params: Any) -> None:
        if method == "evm_setNextBlockTimestamp":
            [self.second] = params


class _Reserve:
    def __init__(self, as_of: int) -> None:
        self.as_of, self.longest = as_of, MAX_AGE

    def current(self) -> Any:
        return SimpleNamespace(sequence=1, as_of=self.as_of)

    def max_age(self) -> int:
        return self.longest


class _Played:
    """Triggers on a simulated registry that runs, and a reserve report of this second."""

    def __init__(self, url: str) -> None:
        document = json.loads(sample_text())
        for link in document["registries"]:
            if link["programme"] == PROGRAMME:
                link |= {"channel": "http", "url": url}
        self.registry = SimulatedRegistry(parse_custody(document))
        self.chain = _Chain(self.registry.time)
        self.reserve = _Reserve(self.registry.time)
        services = SimpleNamespace(chain_time=lambda: self.chain.second)
        bridge = SimpleNamespace(reserve=self.reserve, services=services)
        machine = SimpleNamespace(rpc=self.chain, bridge=bridge)
        self.triggers = Triggers(cast(Any, machine), self.registry)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    started = SimulatorProcess(tmp_path_factory.mktemp("registry"), admin_token="")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def played(process: SimulatorProcess) -> _Played:
    process.admin("PUT", "maintenance", {"windows": []})
    return _Played(process.url)


def test_a_stale_report_closes_the_registry_and_a_fresh_one_opens_it(played: _Played) -> None:
    triggers, registry = played.triggers, played.registry
    assert triggers.stale_reserve(True).changed
    assert not triggers.stale_reserve(True).changed
    assert not registry.is_open
    fresh = triggers.stale_reserve(False)
    assert (fresh.changed, fresh.state, registry.is_open) == (True, "due", True)
    assert not triggers.stale_reserve(False).changed


def test_a_jump_that_fails_leaves_the_registry_open(played: _Played) -> None:
    played.chain.is_gone = True
    with pytest.raises(ChainUnavailable):
        played.triggers.stale_reserve(True)
    assert played.registry.is_open
    played.chain.is_gone = False
    played.reserve.longest = LONGEST_JUMP + 60
    with pytest.raises(InvalidValue, match="ahead"):
        played.triggers.stale_reserve(True)
    assert played.registry.is_open


def test_fresh_opens_what_stale_closed_though_the_report_is_young(played: _Played) -> None:
    assert played.triggers.stale_reserve(True).changed
    played.reserve.as_of = played.chain.second
    fresh = played.triggers.stale_reserve(False)
    assert (fresh.changed, fresh.state, played.registry.is_open) == (True, "done", True)


def test_maintenance_that_was_asked_for_stays_through_both_and_through_a_failure(
    played: _Played,
) -> None:
    triggers, registry = played.triggers, played.registry
    played.reserve.longest = 60
    assert triggers.registry("maintenance", 3_600).changed
    asked = registry.windows
    assert triggers.stale_reserve(True).changed
    assert registry.windows != asked
    assert triggers.stale_reserve(False).changed
    assert registry.windows == asked
    assert not triggers.stale_reserve(False).changed
    played.chain.is_gone = True
    with pytest.raises(ChainUnavailable):
        triggers.stale_reserve(True)
    assert registry.windows == asked
