"""
A program: the client of the `mcp` package makes a list of calls, over HTTP after a sign-in, or over stdio.

It prints one JSON document a line: `{"open": …}` for the user's browser, and at the end what it received. It is a
separate process, as an agent is, and because the package belongs in no other process of this project.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp_types import ElicitResult
from pydantic import AnyUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECONDS = 60


def show(document: object) -> None:
    """Print a document on one line."""
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


class Memory:
    """Keeps what the sign-in results in, as long as the program runs."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._registration: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the registration."""
        return self._registration

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep the registration."""
        self._registration = client_info


class Returned:
    """The listener to which the browser returns."""

    def __init__(self) -> None:
        self._parameters: asyncio.Queue[dict[str, list[str]]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the browser."""
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        self._parameters.put_nowait(parse_qs(urlsplit(target).query))

    async def wait(self) -> AuthorizationCodeResult:
        """Return what the browser brought."""
        async with asyncio.timeout(SECONDS):
            found = {name: value for name, [value] in (await self._parameters.get()).items()}
        return AuthorizationCodeResult(code=found["code"], state=found.get("state"), iss=found.get("iss"))


async def open_browser(url: str) -> None:
    """Have the user open a page."""
    show({"open": url})


@contextlib.asynccontextmanager
async def transport(job: dict[str, Any]) -> AsyncIterator[Any]:
    """Yield what connects to the server."""
    if "command" in job:
        command, *arguments = job["command"]
        yield StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
        return
    returned = Returned()
    async with await asyncio.start_server(returned.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        metadata = OAuthClientMetadata(
            client_name="Python client", redirect_uris=[AnyUrl(f"http://127.0.0.1:{port}/callback")]
        )
        sign_in = OAuthClientProvider(job["url"], metadata, Memory(), open_browser, returned.wait)
        async with httpx2.AsyncClient(auth=sign_in, timeout=SECONDS) as http:
            yield streamable_http_client(job["url"], http_client=http)


async def main(job: dict[str, Any]) -> None:
    """Make the calls."""
    asked: list[str] = []
    answers = job["answers"]

    async def answer(context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        accepted = answers.pop(0) == "accept"
        if not accepted:
            return ElicitResult(action="decline")
        fields = params.requested_schema.get("properties", {})
        return ElicitResult(action="accept", content={name: it.get("enum", [True])[0] for name, it in fields.items()})

    callback = None if answers is None else answer
    results: list[object] = []
    database = ""
    async with (
        transport(job) as server,
        Client(server, mode=job["mode"], elicitation_callback=callback, read_timeout_seconds=SECONDS) as client,
    ):
        for call in job["calls"]:
            filled = {name: database if it == "$database" else it for name, it in call["arguments"].items()}
            result = await client.call_tool(call["tool"], filled)
            database = database or (result.structured_content or {}).get("database_id", "")
            results.append(result.model_dump(mode="json", by_alias=True, exclude_none=True))
        # Last: before the user has approved the agent, there may be none.
        tools = (await client.list_tools()).tools
        version = client.protocol_version
    listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    show({"version": version, "tools": listed, "results": results, "asked": asked})


if __name__ == "__main__":
    asyncio.run(main(json.loads(os.environ["JOB"])))
