"""One scene for the tests of a module: each takes a class and serials of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.domain.capabilities import Capability, Known
from backend.registries import custody_file
from backend.registries.programmes import ProgrammeData, programme_data
from tests.bridge.scene import Desk, Scene
from tests.conftest import AnvilFactory, DatabaseOpener
from tests.indexer.world import World


@pytest.fixture(scope="module")
def scene(
    anvil_factory: AnvilFactory,
    open_database: DatabaseOpener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    directory: Path = tmp_path_factory.mktemp("bridge")
    chain = anvil_factory(log=directory / "anvil.log")
    with open_database() as database:
        world = World(chain.url, directory)
        made = Scene(world, database, directory)
        yield made
        made.close()
        world.rpc.close()


Forbid = Callable[..., None]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Forbid:
    """Make the table of programmes say no to a question, or what it says when asked for None."""

    def one(question: str | None) -> None:
        def data(code: str) -> ProgrammeData:
            found = programme_data(code)
            if question is None:
                return found
            no = Capability(Known.NO, "the programme's new rules")
            answers = {**found.capabilities.answers, question: no}
            return replace(found, capabilities=replace(found.capabilities, answers=answers))

        monkeypatch.setattr(custody_file, "programme_data", data)

    return one


@pytest.fixture
def desk(scene: Scene) -> Iterator[Desk]:
    """A class of the test's own; the registry behaves until the test says otherwise."""
    scene.registry.faults()
    scene.clerk.says, scene.clerk.insists = None, False
    yield scene.desk()
    scene.registry.faults()
    scene.clerk.says, scene.clerk.insists = None, False
