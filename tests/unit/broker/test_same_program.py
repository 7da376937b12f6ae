"""Whether two connections come from the same program."""

from __future__ import annotations

from itertools import product

import pytest

from upstash_helper.broker.apps.programs import is_same_program
from upstash_helper.broker.identity import Identity
from upstash_helper.protocol.literals import ProgramWarning


def program(path: str, *warnings: ProgramWarning) -> Identity:
    return Identity(kind="native", name=path, warnings=warnings)


VERSIONS = [
    ("/home/me/.local/share/claude/versions/2.1.317", "/home/me/.local/share/claude/versions/2.1.318"),
    ("/home/me/.nvm/versions/node/v22.3.0/bin/node", "/home/me/.nvm/versions/node/v24.1.0/bin/node"),
    ("/opt/homebrew/Cellar/node/22.3.0_1/bin/node", "/opt/homebrew/Cellar/node/22.4.0/bin/node"),
    ("/snap/code/173/usr/share/code/code", "/snap/code/174/usr/share/code/code"),
    ("C:\\Users\\me\\AppData\\Local\\Agent\\app-1.0.9\\agent.exe",
     "C:\\Users\\me\\AppData\\Local\\Agent\\app-1.1.0\\agent.exe"),
    ("/Applications/Cursor.app/Contents/MacOS/Cursor",
     "/Applications/Cursor.app/Contents/Frameworks/Cursor Helper (Plugin).app/Contents/MacOS/Cursor Helper (Plugin)"),
]  # fmt: skip
OTHERS = [
    "/usr/bin/node", "/usr/local/bin/node", "/usr/bin/python3.11", "/usr/bin/python3.12", "/opt/1.2/agent",
    "/Applications/Cursor.app/Contents/MacOS/Cursor", "/Applications/Code.app/Contents/MacOS/Electron",
    "/home/me/Cursor.app/Contents/MacOS/Cursor", "/home/me/.local/share/claude/versions/2.1.317",
]  # fmt: skip


@pytest.mark.parametrize(("before", "now"), VERSIONS)
def test_version_in_the_path_makes_no_other_program(before: str, now: str) -> None:
    """Nor does a helper process of the same application for macOS."""
    assert is_same_program(program(before), program(now))
    assert is_same_program(program(now), program(before))


def test_unknown_program_is_not_the_registered_one() -> None:
    """A program can prevent that the system reports it. If the system did not report the first one, it could be any."""
    node, unknown = program("/usr/bin/node"), program("")

    assert not is_same_program(node, unknown)
    assert is_same_program(unknown, node)
    assert is_same_program(unknown, unknown)


def test_other_paths_are_other_programs() -> None:
    """Each is the same as itself only."""
    same = [(one, other) for one, other in product(OTHERS, OTHERS) if is_same_program(program(one), program(other))]

    assert [(one, one) for one in OTHERS] == same


def test_program_in_a_sandbox_is_another_one() -> None:
    """Another file can be at its path. What another process can change makes no difference."""
    inside, outside = program("/usr/bin/node", "sandboxed"), program("/usr/bin/node")

    assert not is_same_program(inside, outside)
    assert is_same_program(outside, program("/usr/bin/node", "shared", "replaced"))
