"""The command line: every name means one thing."""

from __future__ import annotations

import pytest
import typer
from typer.main import get_command_name

from backend.cli import app

pytestmark = pytest.mark.unit


def names(group: typer.Typer) -> list[str]:
    """Names of a group's commands and sub-groups, as they are typed."""
    commands = [
        one.name or get_command_name(one.callback.__name__)
        for one in group.registered_commands
        if one.callback
    ]
    return commands + [one.name for one in group.registered_groups if one.name]


def test_no_two_commands_share_a_name() -> None:
    waiting = [app]
    while waiting:
        group = waiting.pop()
        found = names(group)
        assert len(found) == len(set(found)), sorted(x for x in found if found.count(x) > 1)
        waiting += [one.typer_instance for one in group.registered_groups if one.typer_instance]
