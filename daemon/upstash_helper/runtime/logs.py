"""
The daemon's log: one JSON object per line, in a file that only its user can read.

A line has a constant event, such as ``ready``, and separate fields for values. Secrets are never passed to the log.
Redacting is a second line of defense, for messages of libraries.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import time
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from upstash_helper.system import console, open_files, private_files
from upstash_helper.system.redaction import redact_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 1_000_000
KEPT: Final = 2
"""Old files besides the current one."""
_RETRY_SECONDS: Final = 60.0
"""How long the file grows beyond its size after it could not be rotated."""

WINDOW_SECONDS: Final = 60.0
USUAL_BUDGET: Final = 120
"""The number of lines that one logger may write per window."""
NOISY_BUDGET: Final = 10
"""The same for loggers whose lines any program that can open a connection can cause."""
_NOISY: Final = ("aiohttp", "asyncio", "upstash_helper.api.server.connections", "upstash_helper.loop")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "message", "taskName"}


class Budget:
    """Limits how many lines each logger writes per window. The next line that is written reports the omitted ones."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spent: dict[str, tuple[float, int, int]] = {}

    def take(self, name: str) -> int | None:
        """Count a line of logger ``name``. Return how many were omitted before it, or None to omit it as well."""
        now = self._now()
        started, written, left_out = self._spent.get(name, (now, 0, 0))
        if now - started >= WINDOW_SECONDS:
            started, written = now, 0
        limit = NOISY_BUDGET if name.startswith(_NOISY) else USUAL_BUDGET
        if written >= limit:
            self._spent[name] = (started, written, left_out + 1)
            return None
        self._spent[name] = (started, written + 1, 0)
        return left_out


class BudgetHandler(logging.Handler):
    """Passes records to the handlers that write them, within the budget."""

    def __init__(self, targets: Sequence[logging.Handler], budget: Budget) -> None:
        super().__init__()
        self._targets = targets
        self._budget = budget

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record with all targets, unless its logger's budget is used up."""
        left_out = self._budget.take(record.name)
        if left_out is None:
            return
        if left_out:
            record.left_out = left_out
        for target in self._targets:
            target.handle(record)

    def close(self) -> None:
        """Close the targets as well."""
        for target in self._targets:
            with contextlib.suppress(OSError):  # what is still buffered does not fit on a full disk
                target.close()
        super().close()


class JsonLines(logging.Formatter):
    """Formats records as JSON, one object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time_utc = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": time_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redact_credentials(record.getMessage()),
            **_fields(record),
        }
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """Formats records as short lines for a terminal, or for the journal, which adds the time."""

    # sd-daemon(3): the priorities of syslog.
    _PRIORITIES: Final[Mapping[str, int]] = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = (f"{name}={msgspec.json.encode(value).decode()}" for name, value in _fields(record).items())
        # Removes line breaks and the escape sequences of terminals.
        event = "".join(each if each.isprintable() else "?" for each in redact_credentials(record.getMessage()))
        text = " ".join((event, *fields))
        if self._journal:
            return f"<{self._PRIORITIES.get(record.levelname, 6)}>{text}"
        return f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname.lower():7} {text}"


class LogFile(RotatingFileHandler):
    """
    The log file and its predecessors, all with mode 0600.

    On Windows, a file that another program has open cannot be renamed. Then the log continues in the same file, and is
    rotated later.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        kept: int = KEPT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Raises:
            OSError: If the file or its folder cannot be created, or the file is a symbolic link.
        """
        private_files.make_folder(path.parent)
        self._reported = False
        self._now = now
        self._rotate_from = 0.0
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8")

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - logging's name
        """Return whether the file is full, and can be expected to be rotated."""
        return int(self._now() >= self._rotate_from and super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        """Rename the file and its predecessors, and begin an empty one."""
        stream, self.stream = self.stream, None  # opened by the next line that is written, if it cannot be opened now
        try:
            if stream is not None:
                stream.close()
            self._rename()
        except OSError as error:
            self._rotate_from = self._now() + _RETRY_SECONDS
            self.stream = self._open()
            logger.info("log_not_rotated", extra={"reason": error.strerror})
        else:
            self.stream = self._open()

    def _rename(self) -> None:
        # Nothing is tried again: it would hold up the daemon, and the file may be open for hours.
        current = Path(self.baseFilename)
        files = [current, *(current.with_name(f"{current.name}.{number}") for number in range(1, self.backupCount + 1))]
        for source, target in reversed(list(itertools.pairwise(files))):
            if source.exists():
                open_files.replace(source, target, seconds=0.0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name and signature
        """Report once that the log cannot be written. The daemon keeps running."""
        if not self._reported:
            self._reported = True
            _report(f"the log {self.baseFilename} cannot be written: {sys.exc_info()[1]}")

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=private_files.opener)


@contextlib.contextmanager
def log_to(path: Path, *, level: str, stderr: TextIO | None = None) -> Iterator[None]:
    """
    Log to ``path``, and also to standard error if that is a terminal or the journal.

    Args:
        path: The file. If it cannot be created, that is reported on standard error, and the daemon keeps running.
        level: ``debug``, ``info``, ``warning``, or ``error``, for our own loggers. Libraries never log below ``info``.
        stderr: By default the process's own.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = BudgetHandler(_targets(path, stderr or sys.stderr), Budget())
    # oauthlib's messages of lower levels contain tokens.
    levels = {"": max(number, logging.INFO), "upstash_helper": number, "oauthlib": max(number, logging.WARNING)}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        for name, value in before.items():
            logging.getLogger(name).setLevel(value)


def _targets(path: Path, stderr: TextIO) -> list[logging.Handler]:
    targets: list[logging.Handler] = []
    try:
        targets.append(LogFile(path))
    except OSError as error:
        _report(f"the log {path} cannot be written: {error.strerror}")
    else:
        targets[0].setFormatter(JsonLines())
    journal = _is_journal(stderr)
    if journal or console.is_terminal(stderr):
        stream = logging.StreamHandler(stderr)
        stream.setFormatter(TextLines(journal=journal))
        targets.append(stream)
    return targets


def _is_journal(stream: TextIO) -> bool:
    """Return whether ``stream`` is the journal's, as named by ``JOURNAL_STREAM`` (systemd.exec(5))."""
    journal = os.environ.get("JOURNAL_STREAM")
    if not journal:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: _plain(value) for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[0] is not None:
        # Without the error's message, which may quote a request.
        frames = traceback.extract_tb(record.exc_info[2])
        fields["error"] = record.exc_info[0].__name__
        fields["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return fields


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact_credentials(str(value))


def _report(problem: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"upstash-helper: {problem}\n")
