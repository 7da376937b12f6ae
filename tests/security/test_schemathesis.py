"""
``/openapi.json`` compared with the daemon's behavior: Schemathesis generates valid and invalid requests from the
document, and checks the responses against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.clock import FakeClock
from tests.support.world import World
from upstash_helper.broker.identity import SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
)  # fmt: skip
SEED, EXAMPLES = "1", "20"

# The Developer API's own answer is passed through, and the sandbox's to an unknown path is 501.
RELAYED = """
[[operations]]
include-path = "/upstash/{path}"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
"""

# One stops the daemon, and the response of the other never ends.
NEVER = ("stopDaemon", "followEvents")
# After these operations all others would fail, so they have a separate run.
ENDING = ("disconnect", "deleteDatabase", "revokeApp", "revokeToken", "rotateToken", "useApiKey")


@contextlib.asynccontextmanager
async def fast_clock(clock: FakeClock) -> AsyncIterator[None]:
    """Advance the clock so fast that no rate limit is reached."""

    async def tick() -> None:
        while True:
            clock.advance(0.3)
            await asyncio.sleep(0.0005)

    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()


async def schemathesis(world: World, folder: Path, token: str, *options: str) -> tuple[int, str]:
    """Run it, and return its exit code and output."""
    address = f"http://127.0.0.1:{world.settings.port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--url", address, "--no-color",
        "--header", f"Authorization:Bearer {token}", "--checks", ",".join(CHECKS), "--seed", SEED,
        "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--continue-on-failure", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    async with asyncio.timeout(170):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def without(*operations: str) -> list[str]:
    """Return the options that exclude operations."""
    return [part for operation in operations for part in ("--exclude-operation-id", operation)]


def only(*operations: str) -> list[str]:
    """Return the options that exclude all other operations."""
    return [part for operation in operations for part in ("--include-operation-id", operation)]


@pytest.fixture
async def described(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A connected daemon with a database, an app, and an attempt, whose ids are passed to Schemathesis."""
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world, fast_clock(clock):
        await world.connect()
        database, app = await world.create("first"), await world.pair("databases:read")
        attempt = await world.start(force=True)
        ids = {"database_id": database["id"], "app_id": app.id, "attempt_id": attempt["attempt_id"], "name": "page.css"}
        lines = [f'"path.{name}" = "{value}"' for name, value in ids.items()]
        (tmp_path / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines, RELAYED]))
        yield world


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "app"])
async def test_responses_conform_to_the_document(described: World, tmp_path: Path, who: str) -> None:
    """
    For the owner and for an app with every scope, there are no internal errors, no undocumented statuses, types, or
    bodies, and no accepted requests that the document forbids.
    """
    token = described.owner if who == "owner" else (await described.pair(*SCOPES, all_databases=True)).token

    code, output = await schemathesis(described, tmp_path, token, *without(*NEVER, *ENDING))

    assert 0 == code, output
    assert re.search(r"Tested: [3-7]\d", output), output


@pytest.mark.slow
async def test_responses_of_one_time_operations_conform_to_the_document(described: World, tmp_path: Path) -> None:
    """Operations that can be done only once conform as well."""
    code, output = await schemathesis(described, tmp_path, described.owner, *only(*ENDING))

    assert 0 == code, output
    assert f"Tested: {len(ENDING)}" in output


async def test_document_has_no_secrets(world: World) -> None:
    """Its examples are invented, and the only fact about this machine or account is the port."""
    before = await world.get("/openapi.json", token=None)
    await world.connect()
    await world.create("mine")
    app = await world.pair(*SCOPES)
    after = await world.get("/openapi.json", token=app.token)

    examples = [value for values in values_of(after.json, "examples") for value in values]
    assert before.body == after.body
    assert examples
    assert not [
        it
        for it in examples
        if re.search(r"uh[oap]_|[A-Za-z0-9_-]{32,}|@(?!beloved-)", msgspec.json.encode(it).decode())
    ]


def values_of(value: Any, name: str) -> list[Any]:
    """Return all values of a key, at any depth."""
    match value:
        case dict():
            here = [value[name]] if isinstance(value.get(name), list) else []
            return here + [one for below in value.values() for one in values_of(below, name)]
        case list():
            return [one for below in value for one in values_of(below, name)]
        case _:
            return []
