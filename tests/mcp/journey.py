"""What each client does at the daemon, and what has to come of it: with the same calls, whatever the client is."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from tests.mcp.clients import Call

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mcp.clients import Outcome

READS: Final = {"redis_list_databases", "redis_get_database", "redis_list_regions"}
KEPT: Final = "KEPT=as it was\n"


class Journey:
    """The calls, made for one project of the user."""

    def __init__(self, project: Path) -> None:
        """
        Args:
            project: An empty folder.
        """
        self._env = project / ".env"
        self._env.write_text(KEPT, encoding="utf-8")

    @property
    def calls(self) -> list[Call]:
        """The calls. The user refuses the first deletion, and allows what is asked afterwards."""
        return [
            Call("redis_list_databases"),
            Call("redis_create_database", {"name": "books", "primary_region": "us-east-1"}),
            Call("redis_run_command", {"database_id": "$database", "command": ["SET", "title", "Momo"]}),
            Call("redis_run_command", {"database_id": "$database", "command": ["GET", "title"]}),
            Call("redis_delete_database", {"database_id": "$database"}),
            Call("redis_list_databases"),
            Call("env_write", {"database": "$database", "path": str(self._env)}),
            Call("redis_delete_database", {"database_id": "$database"}),
            Call("redis_list_databases"),
        ]

    answers: Final = (False, True, True)
    """The user's answers, in the order of the questions: delete, write, delete."""

    def credentials(self) -> list[str]:
        """Return the secrets that the project's file should have."""
        found = dict(line.split("=", 1) for line in self._env.read_text(encoding="utf-8").splitlines() if "=" in line)
        return [value.strip("\"'") for name, value in found.items() if name.endswith(("TOKEN", "PASSWORD"))]

    def check(self, outcome: Outcome, questions: list[str]) -> None:
        """
        Check what the client received, and what is there afterwards.

        Args:
            outcome: What it received.
            questions: The questions as they were shown to the user.
        """
        assert {"redis_create_database", "redis_run_command", "redis_delete_database", "env_write", *READS} <= {
            tool["name"] for tool in outcome.tools
        }
        before, created, _, got, refused, still, written, deleted, after = map(structured, outcome.results)
        database = created["database_id"]
        assert [] == [result for result in outcome.results if result.get("isError")]
        assert [[], [database], []] == [
            [it["database_id"] for it in page["databases"]] for page in (before, still, after)
        ]
        assert "Momo" in json.dumps(got)
        assert (False, True) == (refused["done"], deleted["done"])
        assert "did not allow" in refused["message"]
        assert 3 == len(questions)
        assert all("books" in question for question in questions)
        assert str(self._env) in questions[1]

        secrets = self.credentials()
        text = json.dumps(outcome.results) + json.dumps(outcome.tools) + "".join(questions)
        assert secrets
        assert [] == [secret for secret in secrets if secret in text]
        assert self._env.read_text(encoding="utf-8").startswith(KEPT)
        if os.name == "posix":
            assert 0o600 == stat.S_IMODE(self._env.stat().st_mode)
        assert written["written"]


def structured(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result's structured content, which its text repeats for clients that know only text."""
    content: dict[str, Any] = result.get("structuredContent", {})
    texts = [it["text"] for it in result["content"] if it["type"] == "text"]
    assert texts, result
    if content:
        assert content == json.loads(texts[0])
    return content
