"""One simulated registry for the module, with no faults at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from tests.registries.simulator_process import SimulatorProcess

_numbers = count(1)
INSTRUCTION = RetirementInstruction(
    "VCS",
    "Sample Beneficiary Ltd",
    BeneficiaryKind.ENTITY,
    "HK",
    UseCase.VOLUNTARY,
    "Environmental Benefit",
    note="sample",
)


@pytest.fixture(scope="module")
def running_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """The process."""
    process = SimulatorProcess(tmp_path_factory.mktemp("registry"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def simulator(running_simulator: SimulatorProcess) -> SimulatorProcess:
    """The process, open and without faults."""
    running_simulator.admin("PUT", "maintenance", {"windows": []})
    running_simulator.faults()
    return running_simulator


@pytest.fixture
def number() -> int:
    """Another one for each test: accounts and serials of its own in the shared registry."""
    return next(_numbers)
