"""
The commands in the README are pasted unchanged, in order, by a user on a machine where nothing is installed.

The session has its own network, with nothing but a loopback. Packages come from a folder, and a sandbox takes the place
of Upstash. Lines that start with ``#`` are the expected output of the command above them; … matches anything.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from install.environment import ROOT
from tests.support.packages import Pip, copy_of_checkout
from tests.support.terminals import Terminal
from tests.support.until import until
from tests.support.user_systemd import UserSystemd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.terminals import Answers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="platform: the README's commands are for a POSIX shell"),
]

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
EMAIL: Final = "zoe@example.com"

_BLOCK: Final = re.compile(r"(?:<!-- transcript: (app|you) -->\n)?```sh\n(.*?)```", re.DOTALL)

# What differs between runs although its form is fixed.
_VARYING: Final = (
    (re.compile(r"\b[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}\b"), "CODE-CODE"),
    (re.compile(r" +"), " "),
)

_ACCOUNT: Final = """
import asyncio, json, sys, urllib.request
ready = json.loads(open(sys.argv[1]).readline())
def call(name, body):
    request = urllib.request.Request(f"{ready['admin_url']}/{name}", json.dumps(body).encode(), method="POST", headers={
        "Authorization": f"Bearer {ready['admin_token']}", "Content-Type": "application/json"})
    return urllib.request.urlopen(request).read()
call("accounts", {"email": sys.argv[2], "password": "correct horse battery staple"})
print(json.loads(call("api-keys", {"email": sys.argv[2], "name": "console", "read_only": False}))["api_key"])
"""

_SIGN_IN: Final = """
import sys
from upstash_helper.cli.sandbox.browserless_login import BrowserSession
browser = BrowserSession()
consent = browser.sign_up(sys.argv[1], email=sys.argv[2], password="correct horse battery staple")
print(browser.allow(consent))
"""


class Step(NamedTuple):
    """Commands that are pasted together, and what the last of them prints."""

    terminal: str
    commands: str
    output: str | None
    """None if the README does not show it."""


def steps(text: str) -> Iterator[Step]:
    """Yield the commands of all shell blocks in order."""
    for marked, block in _BLOCK.findall(text):
        terminal = marked or "you"
        commands: list[str] = []
        output: list[str] = []
        for line in [*block.splitlines(), ""]:
            if line.startswith("#"):
                output.append(line.removeprefix("#").removeprefix(" "))
                continue
            if output:
                yield Step(terminal, "\n".join(commands), "\n".join(output))
                commands, output = [], []
            if line:
                commands.append(line)
        if commands:
            yield Step(terminal, "\n".join(commands), None)


def matches(printed: str, expected: str) -> bool:
    """Return whether a command printed what the README shows."""
    return re.fullmatch(re.escape(_normal(expected)).replace("…", ".*"), _normal(printed), re.DOTALL) is not None


def _normal(text: str) -> str:
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text.strip()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder that is not below a folder for temporary files, from which nothing is installed as a service."""
    cache = Path.home() / ".cache"
    cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="upstash-helper-readme-", dir=cache))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder / "home"


def start_sandbox(session: UserSystemd, folder: Path) -> str:
    """Start a sandbox, point the user's settings at it, and return the API key of an account."""
    ready = folder / "ready.json"
    sandbox = f"{sys.executable} -P -m upstash_helper sandbox --port 0 --data '{folder}/sandbox'"
    session.run("sh", "-c", f"{sandbox} < /dev/null > '{ready}' 2> '{folder}/sandbox.errors' &")
    until(lambda: ready.exists() and ready.read_text().endswith("}\n"))
    addresses: dict[str, Any] = json.loads(ready.read_text())
    settings = {name: addresses[name] for name in ("issuer_url", "api_url", "rest_url")}
    # There is no keyring in this session.
    settings |= {"credential_store": "file"}
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in settings.items()), encoding="utf-8")
    made = session.run(sys.executable, "-c", _ACCOUNT, str(ready), EMAIL)
    assert 0 == made.code, made.err
    return made.out.strip()


def code_in(printed: str) -> str:
    """Return the code of the access request that is printed."""
    found: list[str] = re.findall(r"Code:\s+([A-Z]{4}-[A-Z]{4})", printed)
    return found[-1]


def signed_in(session: UserSystemd) -> Callable[[str], str]:
    """Return a function that signs in, in a browser, at the address that is printed, and returns where that ends."""

    def sign_in(printed: str) -> str:
        address = re.findall(r"http://\S+/oauth/authorize\?\S+", printed)[-1]
        ended = session.run(sys.executable, "-P", "-c", _SIGN_IN, address, f"new-{EMAIL}")
        assert 0 == ended.code, ended.err
        return ended.out.strip()

    return sign_in


def test_every_command_block_can_be_pasted_unchanged_in_order(home: Path, tmp_path: Path) -> None:
    """
    A new user who pastes the README's commands from top to bottom gets what it says, and no command fails.
    """
    for program in ("bash", "script", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    wheels = tmp_path / "wheels"
    Pip.made(tmp_path / "pip").download(wheels)
    checkout = copy_of_checkout(tmp_path / "checkout")
    answers: dict[str, Answers] = {
        "upstash-helper approvals approve": {"[y/N]": "y", "Type the code": code_in},
    }

    wrong = []
    with UserSystemd.running(home) as session, contextlib.ExitStack() as stack:
        answers["upstash-helper connect"] = {"Waiting for the sign-in": signed_in(session)}
        answers["upstash-helper connect --api-key"] = {"account": EMAIL, "API key": start_sandbox(session, tmp_path)}
        environ = {"BROWSER": "true %s", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PYTHONPATH": ""}
        terminals = {
            name: Terminal.opened(session, tmp_path / name, cwd=checkout, environ=environ) for name in ("you", "app")
        }
        for terminal in terminals.values():
            stack.callback(terminal.close)
        found = list(steps(README))
        for step in found:
            last = step.commands.splitlines()[-1]
            printed = terminals[step.terminal].paste(step.commands, answers.get(last))
            if "[failed: " in printed:
                wrong.append(f"{step.commands}\n--- failed\n{printed}")
            elif step.output is not None and not matches(printed, step.output):
                wrong.append(f"{step.commands}\n--- the README shows\n{step.output}\n--- printed\n{printed}")

    assert not wrong, "\n\n".join(wrong)
    assert {"you", "app"} == {step.terminal for step in found}
    assert {"connect", "approvals"} <= {line.split()[1] for line in answers}
    assert all(any(step.commands.endswith(line) for step in found) for line in answers)


def test_output_that_differs_from_the_readme_is_noticed() -> None:
    """
    The comparison ignores codes and the parts marked with …, and nothing else.
    """
    shown = '{"state":"pending","user_code":"WDJB-MJHT","expires_at":"…"}'

    assert matches('{"state":"pending","user_code":"BCDF-GHJK","expires_at":"2026"}\n', shown)
    assert not matches('{"state":"approved","user_code":"BCDF-GHJK","expires_at":"2026"}\n', shown)
    assert not matches("", shown)
    assert not matches("something", "")
