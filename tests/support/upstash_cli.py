"""Upstash's published command line, used unchanged except for the address of the Developer API."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, Self

from tests.support.npm import PROGRAMS, installed_packages

if TYPE_CHECKING:
    from pathlib import Path

SECONDS: Final = 60

# A command's name, and whether it has options. A group has none.
_LISTED: Final = re.compile(r"^ {2}([a-z][a-z0-9-]*)( \[options\])?", re.MULTILINE)


class UpstashCli:
    """The command line, with one account's credentials. It notes the commands that were run."""

    def __init__(self, folder: Path, modules: Path, api_url: str, email: str, api_key: str) -> None:
        """
        Args:
            folder: The working folder, and where `login` stores credentials.
            modules: The `node_modules` folder.
            api_url: The Developer API's URL, without ``/v2``.
            email: Of the account.
            api_key: Or what takes its place.
        """
        self.email = email
        self.api_key = api_key
        self.config = folder / "config.json"
        self.commands: set[str] = set()
        preload = PROGRAMS / "upstash_address.js"
        self._program = ("node", "--import", preload.as_uri(), str(modules / "@upstash" / "cli" / "dist" / "cli.js"))
        self._folder = folder
        self._environment = os.environ | {
            "DEVELOPER_API_URL": api_url,
            "UPSTASH_CONFIG_HOME": str(folder),
            "UPSTASH_LEGACY_CONFIG_HOME": str(folder),
        }
        self._tree: dict[str, list[str]] = {}

    @classmethod
    async def new(cls, folder: Path, api_url: str, email: str, api_key: str) -> Self:
        """Return it, once the package is installed. Arguments: as for the class."""
        return cls(folder, await installed_packages(), api_url, email, api_key)

    async def run(self, *arguments: str, signed_in: bool = True) -> tuple[int | None, Any]:
        """
        Run a command. Return its exit code and what it prints, which is on stderr if it failed. JSON is parsed.

        Args:
            arguments: Of the command.
            signed_in: Whether the credentials are in the environment.
        """
        credentials = {"UPSTASH_EMAIL": self.email, "UPSTASH_API_KEY": self.api_key} if signed_in else {}
        process = await asyncio.create_subprocess_exec(
            *self._program, *arguments, cwd=self._folder, env=self._environment | credentials,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        text = (out if process.returncode == 0 else err).decode()
        try:
            return process.returncode, json.loads(text)
        except ValueError:
            return process.returncode, text

    async def __call__(self, command: str, *arguments: str) -> Any:
        """Run a command that succeeds, such as ``redis backup list``, note it, and return its JSON."""
        code, result = await self.run(*command.split(), *arguments)
        assert 0 == code, f"{command}: {result}"
        self.commands.add(command)
        return result

    async def all_commands(self, *group: str) -> set[str]:
        """Return the names of all commands, from its help."""
        code, text = await self.run(*group, "--help")
        assert 0 == code, text
        _, found, listing = text.partition("\nCommands:\n")
        if not found:
            return {" ".join(group)}
        commands = [(name, bool(options)) for name, options in _LISTED.findall(listing) if name != "help"]
        leaves = {" ".join((*group, name)) for name, has_options in commands if has_options}
        others = [self.all_commands(*group, name) for name, has_options in commands if not has_options]
        return leaves.union(*await asyncio.gather(*others))
