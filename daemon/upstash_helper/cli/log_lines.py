"""The daemon's log as a person reads it."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.cli.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_LOOK_SECONDS: Final = 0.25
_NAMED: Final = ("time", "level", "logger", "event")


def last(file: Path, count: int) -> list[str]:
    """Return the last lines of the log; none if there is none."""
    try:
        with file.open("rb") as stream:
            return [_text(line) for line in deque(stream, maxlen=count)]
    except FileNotFoundError:
        return []


def followed(file: Path, count: int) -> Iterator[str]:
    """Yield the last lines, and each that is added, also after the daemon begins a new file."""
    first = file.exists()
    while True:
        with _opened(file) as stream:
            if first:
                yield from (_text(line) for line in deque(stream, maxlen=count))
            first = False
            yield from _added(file, stream)


def _opened(file: Path) -> BinaryIO:
    while True:
        try:
            return file.open("rb")
        except FileNotFoundError:
            time.sleep(_LOOK_SECONDS)


def _added(file: Path, stream: BinaryIO) -> Iterator[str]:
    part = b""
    while True:
        part += stream.readline()
        if part.endswith(b"\n"):
            yield _text(part)
            part = b""
        elif _replaced(file, stream):
            yield from (_text(line) for line in stream)  # what was written while we looked
            return
        else:
            time.sleep(_LOOK_SECONDS)


def readable(line: str) -> str:
    """Return a line of the log with its time first and its values behind its event; others as they are."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.MsgspecError:
        return shown(line)
    values = [f"{key}={_value(value)}" for key, value in fields.items() if key not in _NAMED]
    head = [
        _local(str(fields.get("time", ""))),
        str(fields.get("level", "")).upper().ljust(7),
        str(fields.get("event", "")),
    ]
    return shown("  ".join((" ".join(head), *([" ".join(values)] if values else []))).rstrip())


def _replaced(file: Path, stream: BinaryIO) -> bool:
    import os

    try:
        return not os.path.samestat(file.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return True


def _local(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return timestamp


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else msgspec.json.encode(value).decode()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
