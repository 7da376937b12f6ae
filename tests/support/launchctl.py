"""
A ``launchctl`` that behaves as launchctl(1) documents and as launchd has been observed to behave: a runner of commands,
and a program on the PATH.
"""

from __future__ import annotations

import json
import plistlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from upstash_helper.service.executor import CommandResult

ROOT = Path(__file__).parents[2]

_PROGRAM = """\
#!{python} -IS
import sys
sys.path.insert(0, {root!r})
from tests.support.launchctl import Launchctl
code, out, err = Launchctl({folder!r}).answer(sys.argv[1:])
print(out, end="")
print(err, end="", file=sys.stderr)
sys.exit(code)
"""

Answer = tuple[int, str, str]
"""The exit code, and what is written to standard output and standard error."""

_NOT_THERE = "Domain does not support specified action\n"


class Launchctl:
    """
    The command, and the state of its launchd.

    - ``prints_until_gone``: how often ``print`` still shows an agent after ``bootout``, which returns at once
    - ``busy``: how often ``bootstrap`` then fails with 5
    - ``appears``: an agent is loaded by another program just before ``bootstrap``
    - ``desktop``: whether the user is logged in there
    - ``old``: the output of macOS 12
    - ``kickstart``: the exit code of that command
    """

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: For the state, and the program.
        """
        self._folder = Path(folder)
        self._state = self._folder / "launchd.json"
        if not self._state.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            everything = {
                "calls": [], "loaded": {}, "leaving": {}, "disabled": [], "desktop": True, "old": False, "busy": 0,
                "prints_until_gone": 0, "appears": False, "kickstart": 0,
            }  # fmt: skip
            self._state.write_text(json.dumps(everything))

    def on_path(self, monkeypatch: pytest.MonkeyPatch) -> Launchctl:
        """Write the program, and put it first on the PATH."""
        program = self._folder / "bin" / "launchctl"
        program.parent.mkdir()
        program.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT), folder=str(self._folder)))
        program.chmod(0o700)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        return self

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
        """Run the command (a ``CommandRunner``)."""
        from upstash_helper.service.executor import CommandResult

        assert "launchctl" == argv[0]
        code, out, err = self.answer(argv[1:])
        return CommandResult(code, err.strip() or out.strip())

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self._state.write_text(json.dumps(self._all() | changes))

    def get(self, name: str) -> Any:
        """Return a part of the state."""
        return self._all()[name]

    def calls(self, *verbs: str) -> list[str]:
        """Return the calls with one of these verbs, or all, and forget all."""
        calls = [" ".join(call) for call in self.get("calls") if not verbs or call[0] in verbs]
        self.set(calls=[])
        return calls

    def answer(self, arguments: Sequence[str]) -> Answer:
        """Carry out a command."""
        it = self._all()
        it["calls"].append(list(arguments))
        answer = _answer(it, *arguments)
        self._state.write_text(json.dumps(it))
        return answer

    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._state.read_text())
        return found


def _answer(it: dict[str, Any], verb: str, *rest: str) -> Answer:
    if verb == "managername":
        return 0, "Aqua\n" if it["desktop"] else "Background\n", ""
    if verb == "print-disabled":
        return 0, _disabled(it), ""
    domain, uid, *label = (rest[0] if verb == "bootstrap" else rest[-1]).split("/")
    if domain == "gui" and not it["desktop"]:
        return 125, "", _NOT_THERE
    if verb == "bootstrap":
        return _bootstrap(it, Path(rest[1]))
    if verb == "print" and not label:
        return 0, f"gui/{uid} = {{\n\ttype = login\n}}\n", ""
    verbs = {"print": _print, "bootout": _bootout, "enable": _enable, "kickstart": _kickstart}
    return verbs[verb](it, label[0])


def _disabled(it: dict[str, Any]) -> str:
    yes, no = ("true", "false") if it["old"] else ("disabled", "enabled")
    lines = [f'\t\t"{label}" => {yes}\n' for label in it["disabled"]]
    return "".join(("\tdisabled services = {\n", *lines, f'\t\t"com.example.other" => {no}\n', "\t}\n"))


def _print(it: dict[str, Any], label: str) -> Answer:
    if label not in it["loaded"]:
        return 113, "", f'Bad request.\nCould not find service "{label}" in domain for user gui: 501\n'
    if label in it["leaving"]:
        it["leaving"][label] -= 1
        if not it["leaving"][label]:
            del it["leaving"][label], it["loaded"][label]
    return 0, f"{label} = {{\n\tstate = running\n}}\n", ""


def _bootout(it: dict[str, Any], label: str) -> Answer:
    if label not in it["loaded"] or label in it["leaving"]:
        return 3, "", "Boot-out failed: 3: No such process\n"
    if it["prints_until_gone"]:
        it["leaving"][label] = it["prints_until_gone"]
    else:
        del it["loaded"][label]
    return 0, "", ""


def _bootstrap(it: dict[str, Any], file: Path) -> Answer:
    label = plistlib.loads(file.read_bytes())["Label"]
    if label in it["disabled"]:
        return 119, "", "Bootstrap failed: 119: Service is disabled\n"
    if it["appears"]:
        it["loaded"][label] = "by a login"
    if label in it["loaded"] or it["busy"] > 0:
        it["busy"] -= 1
        return 5, "", "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors.\n"
    it["loaded"][label] = file.read_text()
    return 0, "", ""


def _enable(it: dict[str, Any], label: str) -> Answer:
    it["disabled"] = [one for one in it["disabled"] if one != label]
    return 0, "", ""


def _kickstart(it: dict[str, Any], label: str) -> Answer:
    if label not in it["loaded"]:
        return 113, "", f'Could not find service "{label}" in domain for user gui: 501\n'
    return it["kickstart"], "", ""
