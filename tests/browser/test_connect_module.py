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

WEB: Final = files("upstash_helper.web")

NAMES: Final = "console.log(JSON.stringify(Object.keys(await import(process.argv[1]))));"

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


def as_address(module: bytes) -> str:
    """
    Return an address that Node loads ``module`` from.

    A browser recognizes a module by its content type, Node by the file's name or the nearest package.json.
    """
    return f"data:text/javascript;charset=utf-8;base64,{base64.b64encode(module).decode()}"


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
    source = as_address(WEB.joinpath("connect.js").read_bytes())

    assert events == msgspec.json.decode(node(READ, source, stream))


@pytest.mark.parametrize("name", ["connect", "connect-core"])
def test_what_is_exported_has_a_type(name: str) -> None:
    """
    Every name that the module exports is in its types, and the types promise no other value.
    """
    types = WEB.joinpath(f"{name}.d.ts").read_text(encoding="utf-8")
    [listed] = re.findall(r"^export \{([^}]*)\}", types, re.MULTILINE)

    exported = node(NAMES, as_address(WEB.joinpath(f"{name}.js").read_bytes()))

    assert set(re.findall(r"\w+", listed)) == set(msgspec.json.decode(exported))


def test_the_module_without_the_button_has_none() -> None:
    """
    It is the same module without the element, so a page that draws its own button loads a fifth less.
    """
    whole, core = (WEB.joinpath(name).read_text(encoding="utf-8") for name in ("connect.js", "connect-core.js"))

    names = [set(msgspec.json.decode(node(NAMES, as_address(text.encode())))) for text in (whole, core)]

    assert {"UpstashConnectElement"} == names[0] - names[1]
    assert set() == names[1] - names[0]
    assert "customElements" not in core
    assert "ELEMENT_CSS" not in core
    assert "UpstashConnect" not in WEB.joinpath("connect-core.d.ts").read_text(encoding="utf-8")
    assert len(core) < 0.8 * len(whole)
