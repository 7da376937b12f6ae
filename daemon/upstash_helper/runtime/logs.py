"""
The daemon's log: one JSON object a line, in a file that its user alone can read.

A line has a constant event, such as ``ready``, and its values as fields of their own. What is secret is not logged in
the first place; the filter here is a net below that, for the lines of libraries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from upstash_helper.system import private_files
from upstash_helper.system.redaction import redact_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MAX_BYTES: Final = 1_000_000
KEPT: Final = 2
"""Old files beside the current one."""

WINDOW_SECONDS: Final = 60.0
USUAL_BUDGET: Final = 120
"""Lines that one logger may write in a window."""
NOISY_BUDGET: Final = 10
"""The same for loggers whose lines anybody who can open a connection causes."""
_NOISY: Final = ("aiohttp", "asyncio", "upstash_helper.api.server.connections", "upstash_helper.loop")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message", "taskName"}


class Budget:
    """Bounds what each logger may write in a window of time. The next line let through says how many were not."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spent: dict[str, tuple[float, int, int]] = {}

    def take(self, name: str) -> int | None:
        """Return how many lines of logger ``name`` were left out before this one; None leaves out this one, too."""
        now = self._now()
        began, written, left_out = self._spent.get(name, (now, 0, 0))
        if now - began >= WINDOW_SECONDS:
            began, written = now, 0
        most = NOISY_BUDGET if name.startswith(_NOISY) else USUAL_BUDGET
        if written >= most:
            self._spent[name] = (began, written, left_out + 1)
            return None
        self._spent[name] = (began, written + 1, 0)
        return left_out


class Sink(logging.Handler):
    """Bounds what is logged, and passes it on to where it is written."""

    def __init__(self, targets: Sequence[logging.Handler], budget: Budget) -> None:
        super().__init__()
        self._targets = targets
        self._budget = budget

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record everywhere, if its logger has something left to spend."""
        left_out = self._budget.take(record.name)
        if left_out is None:
            return
        if left_out:
            record.left_out = left_out
        for target in self._targets:
            target.handle(record)

    def close(self) -> None:
        """Close the targets, too."""
        for target in self._targets:
            target.close()
        super().close()


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redact_credentials(record.getMessage()),
            **_fields(record),
        }
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """Short lines for a person, or for the journal, which has a time of its own."""

    # sd-daemon(3): the priority, as in syslog.
    _PRIORITIES: Final[Mapping[str, int]] = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = (f"{name}={msgspec.json.encode(value).decode()}" for name, value in _fields(record).items())
        # Neither a line's end nor an escape sequence of a terminal gets through.
        event = "".join(one if one.isprintable() else "?" for one in redact_credentials(record.getMessage()))
        text = " ".join((event, *fields))
        if self._journal:
            return f"<{self._PRIORITIES.get(record.levelname, 6)}>{text}"
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname.lower():7} {text}"


class LogFile(RotatingFileHandler):
    """The file, and the few before it; all of mode 0600."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        """
        Raises:
            OSError: If the file or its folder cannot be made, or the file is a link.
        """
        private_files.make_folder(path.parent)
        self._complained = False
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name and signature
        """Say once that nothing can be written; the daemon goes on."""
        if not self._complained:
            self._complained = True
            _complain(f"the log {self.baseFilename} cannot be written: {sys.exc_info()[1]}")

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=private_files.opener)


@contextlib.contextmanager
def logging_to(path: Path, *, level: str, stderr: TextIO | None = None) -> Iterator[None]:
    """
    Write what is logged to ``path``, and to standard error where a person or the journal reads it.

    Args:
        path: The file. If it cannot be made, that is said on standard error, and the daemon goes on.
        level: ``debug``, ``info``, ``warning`` or ``error``, for our own loggers. Libraries never log below ``info``.
        stderr: By default the process's own.
    """
    wanted = logging.getLevelNamesMapping()[level.upper()]
    sink = Sink(_targets(path, stderr or sys.stderr), Budget())
    # oauthlib's lower levels hold tokens.
    levels = {"": max(wanted, logging.INFO), "upstash_helper": wanted, "oauthlib": max(wanted, logging.WARNING)}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)
    logging.getLogger().addHandler(sink)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(sink)
        sink.close()
        for name, value in before.items():
            logging.getLogger(name).setLevel(value)


def _targets(path: Path, stderr: TextIO) -> list[logging.Handler]:
    targets: list[logging.Handler] = []
    try:
        targets.append(LogFile(path))
    except OSError as error:
        _complain(f"the log {path} cannot be written: {error.strerror}")
    else:
        targets[0].setFormatter(JsonLines())
    journal = _is_journal(stderr)
    if journal or stderr.isatty():
        screen = logging.StreamHandler(stderr)
        screen.setFormatter(TextLines(journal=journal))
        targets.append(screen)
    return targets


def _is_journal(stream: TextIO) -> bool:
    """Return whether ``stream`` is the one that systemd.exec(5) says ``JOURNAL_STREAM`` names."""
    named = os.environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: _plain(value) for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None:
        # Without the error's own words, which may quote what was sent.
        frames = traceback.extract_tb(record.exc_info[2])
        fields["error"] = record.exc_info[0].__name__
        fields["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return fields


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact_credentials(str(value))


def _complain(what: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"upstash-helper: {what}\n")
