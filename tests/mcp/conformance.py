"""The protocol's conformance suite (`@modelcontextprotocol/conformance`), with a token, which it has no option for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.mcp.packages import CONFORMANCE, FOLDER, environment, newer_node
from tests.support.npm import PROGRAMS
from tests.support.world import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mcp.user import User

SECONDS: Final = 120
CURRENT: Final = "2026-07-28"
HANDSHAKE: Final = "2025-11-25"
_TO_OPEN: Final = re.compile(r"^(https?://\S+/oauth/authorize\?\S+)$")


@dataclass(frozen=True)
class Report:
    """The end of a run."""

    code: int
    text: str
    checks: dict[str, list[dict[str, Any]]]
    """The checks of each scenario."""

    def by_status(self, status: str) -> list[str]:
        """Return what has a status, as ``scenario:check message``."""
        return [
            f"{scenario}:{check['id']} {check.get('errorMessage', '')}"
            for scenario, checks in sorted(self.checks.items())
            for check in checks
            if check["status"] == status
        ]

    @property
    def failed(self) -> list[str]:
        """What has failed."""
        return self.by_status("FAILURE")

    @property
    def passed(self) -> set[str]:
        """The scenarios in which nothing failed and something was checked."""
        return {
            scenario
            for scenario, checks in self.checks.items()
            if {check["status"] for check in checks} & {"SUCCESS"}
            and not any(it["status"] == "FAILURE" for it in checks)
        }


async def requirements(url: str, folder: Path, version: str) -> Report:
    """Run everything that a version requires of a server without authorization, with our list of expected failures."""
    listed = ("--expected-failures", str(_list_of(version)))
    return await _run("server", "--url", url, "--requirements", version, *listed, folder=folder)


def required(version: str) -> set[str]:
    """Return the scenarios that a version requires of a server, as the suite lists them."""
    listed = (CONFORMANCE.parents[1] / f"requirements/{version}.yaml").read_text(encoding="utf-8")
    return set(_entries(listed.split("\nserver:\n")[1].split("\nclient:\n")[0]))


def expected_failures(where: str) -> list[str]:
    """Return the entries of our list for a version of the endpoint, or for the daemon."""
    return _entries(_list_of(where).read_text(encoding="utf-8"))


def _entries(text: str) -> list[str]:
    return re.findall(r"^ +- (.+?)(?: +#.*)?$", text, re.MULTILINE)


def _list_of(where: str) -> Path:
    return FOLDER / f"expected_failures_{where}.yml"


async def scenario(url: str, token: str, folder: Path, version: str, name: str) -> Report:
    """Run one scenario at the daemon, with our list of expected failures if it is in there."""
    command = ["server", "--url", url, "--scenario", name, "--spec-version", version]
    if any(it.partition(":")[0] == name for it in expected_failures("daemon")):
        command += ["--expected-failures", str(_list_of("daemon"))]
    return await _run(*command, folder=folder, url=url, token=token)


async def authorization(issuer: str, folder: Path, user: User) -> Report:
    """
    Run the scenarios for authorization servers. The suite's Node registers, because the daemon gives tokens only to
    the program that did; ``user`` opens the page that the suite names.
    """
    port = free_port()
    client = {"client_name": "Conformance", "redirect_uris": [f"http://127.0.0.1:{port}/callback"]}
    variables = {"REGISTER_AT": f"{issuer}/oauth/register", "CLIENT": json.dumps(client)}
    process = await asyncio.create_subprocess_exec(
        await newer_node(), str(PROGRAMS / "register_client.js"), env={**environment(folder), **variables},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    client_id = json.loads((await process.communicate())[0])["client_id"]
    command = ("--url", issuer, "--client-id", client_id, "--resource", f"{issuer}/mcp", "--port", str(port))
    return await _run("authorization", *command, folder=folder, user=user)


async def _run(*arguments: str, folder: Path, url: str = "", token: str = "", user: User | None = None) -> Report:
    node = await newer_node()
    folder.mkdir(exist_ok=True)
    preload = ("--import", (PROGRAMS / "with_bearer.js").as_uri()) if token else ()
    process = await asyncio.create_subprocess_exec(
        node, *preload, str(CONFORMANCE), *arguments, "--output-dir", str(folder / "results"),
        env={**environment(folder), "BEARER_FOR": url, "BEARER": token}, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    lines: list[str] = []
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            async for line in process.stdout:
                lines.append(line.decode(errors="replace"))
                named = _TO_OPEN.match(lines[-1].strip())
                if user is not None and named:
                    await user.browse(named[1])
            await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    checks = await asyncio.to_thread(_checks, folder / "results")
    return Report(process.returncode or 0, "".join(lines), checks)


def _checks(results: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(results.rglob("checks.json")):
        name = re.sub(r"^(server|authorization-server)-|-\d{4}-\d{2}-\d{2}T.*$", "", file.parent.name)
        found[name] = json.loads(file.read_text(encoding="utf-8"))
    return found
