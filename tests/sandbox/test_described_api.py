"""
The Developer API compared with Upstash's description of it: Schemathesis generates valid and invalid requests for every
operation, and checks the responses.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.sandbox.callers import Caller, unique_email
from tests.sandbox.described_api import document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "ignored_auth",
)  # fmt: skip
SEED, EXAMPLES = "1", "3"

# Each valid request starts a database server, so only invalid ones are generated. The other tests send the valid ones.
EXPENSIVE = "POST /v2/redis/database"
# After these operations all others would be refused with 404, so they are the last.
ENDING = tuple(
    f"{method} {path}"
    for path, operations in document()["paths"].items()
    for method in map(str.upper, operations)
    if path.endswith(("move-to-team", "/transfer")) or (method == "DELETE" and path.endswith("_id}"))
)


async def resources(caller: Caller) -> dict[str, str]:
    """Create one resource of each kind, and return the values of the path parameters that name them."""

    async def created(path: str, body: Any) -> dict[str, Any]:
        response = await caller.call("POST", path, body)
        assert response.status == 200, response.body
        value: dict[str, Any] = response.json
        return value

    database = await caller.create()
    backup = await caller.call("POST", f"create-backup/{database['database_id']}", {"name": "before"})
    assert backup.status == 200, backup.body
    backups = (await caller.call("GET", f"list-backup/{database['database_id']}")).json
    team = await created("/v2/team", {"team_name": "Librarians", "copy_cc": False})
    member = {"team_id": team["team_id"], "member_email": unique_email(), "member_role": "dev"}
    await created("/v2/teams/member", member)
    vector = {"name": "v", "region": "us-east-1", "similarity_function": "COSINE", "dimension_count": 3}
    return {
        "database_id": database["database_id"],
        "backup_id": backups[0]["backup_id"],
        "team_id": team["team_id"],
        "vector_id": (await created("/v2/vector/index", vector))["id"],
        "search_id": (await created("/v2/search", {"name": "s", "region": "eu-west-1", "type": "free"}))["id"],
        "qstash_id": (await caller.call("GET", "/v2/qstash/users")).json[0]["id"],
        "bucket_id": (await created("/v2/blob/bucket", {"name": "b"}))["id"],
    }


async def schemathesis(caller: Caller, folder: Path, *options: str) -> tuple[int, str]:
    """Run it, and return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", caller.sandbox.api_url, "--no-color",
        "--auth", f"{caller.email}:{caller.api_key}", "--checks", ",".join(CHECKS), "--seed", SEED,
        "--max-examples", EXAMPLES, "--phases", "coverage,fuzzing", "--continue-on-failure", "--warnings", "off",
        *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    async with asyncio.timeout(170):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def with_(kind: str, *operations: str) -> list[str]:
    """Return the options that include or exclude operations."""
    return [part for operation in operations for part in (f"--{kind}-operation-id", operation)]


async def test_responses_conform_to_the_description(sandbox: Sandbox, caller: Caller, tmp_path: Path) -> None:
    """
    Whatever is requested, there is no internal error, every response has the described format, what the description
    forbids is refused, and every refusal has an error.
    """
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    lines = [f'"path.{name}" = "{value}"' for name, value in (await resources(caller)).items()]
    (tmp_path / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines, ""]))
    described = document()
    (tmp_path / "openapi.json").write_bytes(msgspec.json.encode(described))
    operations = [operation["operationId"] for it in described["paths"].values() for operation in it.values()]

    runs = [
        await schemathesis(caller, tmp_path, *with_("exclude", EXPENSIVE, *ENDING)),
        await schemathesis(caller, tmp_path, *with_("include", EXPENSIVE), "--mode", "negative"),
        await schemathesis(caller, tmp_path, *with_("include", *ENDING)),
    ]

    assert len(operations) == 62
    assert [0] * len(runs) == [code for code, _ in runs], "\n".join(output for _, output in runs)
    tested = [int(number) for _, output in runs for number in re.findall(r"Tested: (\d+)", output)]
    assert len(operations) == sum(tested), "\n".join(output for _, output in runs)
