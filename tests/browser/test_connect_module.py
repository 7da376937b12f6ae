"""connect.js without a browser: what needs none, and what its types promise."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from importlib.resources import files
from typing import Final

import msgspec
import pytest

MODULE: Final = files("upstash_helper.web").joinpath("connect.js")
TYPES: Final = files("upstash_helper.web").joinpath("connect.d.ts")

READ: Final = """
const { serverSentEvents } = await import(process.argv[1]);
const bytes = new TextEncoder().encode(process.argv[2]);
const body = new ReadableStream({
  start(controller) {
    for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
    controller.close();
  },
});
const found = [];
for await (const event of serverSentEvents(body)) found.push(event);
console.log(JSON.stringify(found));
"""


def node(script: str, *arguments: str) -> str:
    """Run ``script`` as a module."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    command = ["node", "--no-warnings", "--input-type=module", "--eval", script, "--", *arguments]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8", timeout=30).stdout


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("", []),
        (": upstash-helper\n\n", []),
        ('event: database\nid: 7\ndata: {"name": "é"}\n\n', [{"type": "database", "data": {"name": "é"}, "id": "7"}]),
        ('data: {}\r\n\r\ndata:{"a":1}\r\n\r\n', [{"type": "message", "data": {}, "id": ""},
                                                   {"type": "message", "data": {"a": 1}, "id": ""}]),
        ("data: [1,\ndata: 2]\n\n", [{"type": "message", "data": [1, 2], "id": ""}]),
        ('data: {"cut": ', []),
        ("event: bye\ndata: {}\n\nretry: 5\n\n", [{"type": "bye", "data": {}, "id": ""}]),
    ],
)  # fmt: skip
def test_events_are_read_as_they_come(stream: str, events: list[object]) -> None:
    """In pieces of any size, with either kind of line end; what is not whole is no event."""
    # A module is told by its content type in a browser, and by its name here.
    source = f"data:text/javascript;charset=utf-8;base64,{base64.b64encode(MODULE.read_bytes()).decode()}"

    assert events == msgspec.json.decode(node(READ, source, stream))


def test_what_is_exported_has_a_type() -> None:
    """Every name of the module is in its types, and the types promise no other."""
    exported = r"^export (?:async )?(?:declare )?(?:class|function\*?|const) (\w+)"

    of_module = set(re.findall(exported, MODULE.read_text(encoding="utf-8"), re.MULTILINE))
    of_types = set(re.findall(exported, TYPES.read_text(encoding="utf-8"), re.MULTILINE))

    assert of_module == of_types
