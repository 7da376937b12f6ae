"""``doctor`` on the configuration of agents."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.examined import Examined
from upstash_helper.cli.agents.catalog import AGENTS, Computer
from upstash_helper.cli.agents.wanted import wanted
from upstash_helper.cli.doctor import agents
from upstash_helper.service.context import this_platform

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.cli.doctor.check import CheckResult


class Home:
    """A home folder with an agent, as ``doctor`` sees it."""

    def __init__(self, examined: Examined, folder: Path) -> None:
        self._examined = examined
        self.folder = folder
        self.helper = {"UPSTASH_HELPER_HOME": str(examined.home)}

    def cursor(self, entry: dict[str, Any] | str) -> None:
        file = self.folder / ".cursor" / "mcp.json"
        file.parent.mkdir(parents=True)
        content = entry if isinstance(entry, str) else json.dumps({"mcpServers": {"upstash": entry}})
        file.write_text(content, encoding="utf-8")

    def check(self) -> CheckResult:
        computer = Computer(platform=this_platform(), home=self.folder, environ={})
        (found,) = self._examined.all(partial(agents.agents, computer=computer))
        return found


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    return Home(Examined(monkeypatch, tmp_path / "helper"), tmp_path / "home")


def test_no_agent_is_ok(home: Home) -> None:
    """
    Nobody needs one.
    """
    assert ("ok", "none found") == (home.check().state, home.check().detail)


@pytest.mark.parametrize("content", ["{}", '{"mcpServers": {"upstash": {"url": "https://mcp.example.com"}}}'])
def test_agent_without_our_entry_is_ok(home: Home, content: str) -> None:
    """
    Also with the hosted server under the same name.
    """
    home.cursor(content)

    assert "ok" == home.check().state
    assert "found, but none is set up; to set them up: upstash-helper setup" == home.check().detail


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_agent_that_is_set_up_is_named(home: Home, transport: str) -> None:
    """
    With the address or the command.
    """
    goal = wanted(None, {**home.helper, "PATH": ""})
    target = {str(name): target for name, target in goal.targets.items()}[transport]
    home.cursor(AGENTS["cursor"].fields(target))

    assert ("ok", "set up: Cursor") == (home.check().state, home.check().detail)


@pytest.mark.parametrize(
    ("entry", "detail"),
    [
        (
            {"command": "/gone/upstash-helper", "args": ["mcp"]},
            "Cursor is configured to start another upstash-helper: /gone/upstash-helper",
        ),
        (
            {"command": "/gone/bin/python", "args": ["-P", "-m", "upstash_helper", "mcp"]},
            "Cursor is configured to start another upstash-helper: /gone/bin/python",
        ),
        ({"url": "http://localhost:3999/mcp"}, "but this helper uses http://localhost:3000/mcp"),
    ],
)
def test_agent_with_another_helper_is_a_warning(home: Home, entry: dict[str, Any], detail: str) -> None:
    """
    With the command that sets it up again.
    """
    home.cursor(entry)

    found = home.check()

    assert "warning" == found.state
    assert detail in found.detail
    assert "Set it up again: upstash-helper setup cursor" == found.fix


def test_invalid_file_is_a_warning(home: Home) -> None:
    """
    The agent cannot read it either.
    """
    home.cursor("{,}")

    found = home.check()

    assert ("warning", True) == (found.state, "is not valid JSON: line 1, column 2" in found.detail)
