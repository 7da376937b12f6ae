"""Another process of the interpreter that runs the tests: to the system, the same program as the test itself."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Sends what it is given, prints the answer, and stays until its input ends. Without a proxy, and without our package.
_SCRIPT = """
import json, sys, urllib.error, urllib.request
port, body, headers = sys.argv[1:]
request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/pairings", body.encode(), json.loads(headers))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(request) as response:
        status, text = response.status, response.read()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read()
print(json.dumps({**json.loads(text), "status": status}), flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def another_process(
    port: int, *, name: str, scopes: tuple[str, ...] = ("connection:read",), origin: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Have it request access, and yield the answer with its ``status``. It runs until the context is left."""
    headers = {"Content-Type": "application/json"} | ({} if origin is None else {"Origin": origin})
    body = json.dumps({"name": name, "scopes": scopes})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _SCRIPT, str(port), body, json.dumps(headers),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
