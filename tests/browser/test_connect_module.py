"""connect.js in Node: the event stream parser, and the exports with their types."""

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

PARSE: Final = """
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
def test_event_stream_is_parsed(stream: str, events: list[object]) -> None:
    """Chunks of any size and both kinds of line endings work, and incomplete events are dropped."""
    source = as_address(WEB.joinpath("connect.js").read_bytes())

    assert events == msgspec.json.decode(node(PARSE, source, stream))


@pytest.mark.parametrize("name", ["connect", "connect-core"])
def test_exports_match_the_types(name: str) -> None:
    """
    The module exports exactly the values that its types declare.
    """
    types = WEB.joinpath(f"{name}.d.ts").read_text(encoding="utf-8")
    [listed] = re.findall(r"^export \{([^}]*)\}", types, re.MULTILINE)

    exported = node(NAMES, as_address(WEB.joinpath(f"{name}.js").read_bytes()))

    assert set(re.findall(r"\w+", listed)) == set(msgspec.json.decode(exported))


def test_core_module_has_everything_but_the_button() -> None:
    """
    connect-core.js is the same module without the element, and at least a fifth smaller.
    """
    whole, core = (WEB.joinpath(name).read_text(encoding="utf-8") for name in ("connect.js", "connect-core.js"))

    names = [set(msgspec.json.decode(node(NAMES, as_address(text.encode())))) for text in (whole, core)]

    assert {"UpstashConnectElement"} == names[0] - names[1]
    assert set() == names[1] - names[0]
    assert "customElements" not in core
    assert "ELEMENT_CSS" not in core
    assert "UpstashConnect" not in WEB.joinpath("connect-core.d.ts").read_text(encoding="utf-8")
    assert len(core) < 0.85 * len(whole)
