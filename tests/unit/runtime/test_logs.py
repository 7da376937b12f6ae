"""The log, in real files."""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from upstash_helper.runtime.logs import NOISY_BUDGET, WINDOW_SECONDS, Budget, LogFile, TextLines, log_to
from upstash_helper.system.redaction import redact_credentials

if TYPE_CHECKING:
    from pathlib import Path

POSIX_MODES = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such modes")

logger = logging.getLogger("upstash_helper.test")


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the log's lines."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def mode(path: Path) -> int:
    """Return the permissions of ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


def test_each_line_is_a_json_object(tmp_path: Path) -> None:
    """Each line is a JSON object with time, level, logger, event, and the event's fields."""
    with log_to(tmp_path / "log" / "a.log", level="info"):
        logger.info("ready", extra={"port": 3000, "holder": None})

    [line] = lines(tmp_path / "log" / "a.log")
    time = line.pop("time")
    assert {"level": "info", "logger": "upstash_helper.test", "event": "ready", "port": 3000, "holder": None} == line
    assert time.endswith("Z")
    assert "T" in time


def test_error_is_logged_without_its_message(tmp_path: Path) -> None:
    """An exception is logged with its type and traceback locations, without its message, which may quote anything."""
    with log_to(tmp_path / "a.log", level="info"):
        try:
            int("a-secret-value")
        except ValueError:
            logger.exception("failed")

    [line] = lines(tmp_path / "a.log")
    assert "ValueError" == line["error"]
    assert 1 == len(line["where"])
    assert "a-secret-value" not in (tmp_path / "a.log").read_text()


def test_debug_level_applies_to_own_loggers_only(tmp_path: Path) -> None:
    """At level debug only our own loggers log more. Libraries' debug messages may contain tokens."""
    with log_to(tmp_path / "a.log", level="debug"):
        logger.debug("ours")
        logging.getLogger("oauthlib.oauth2").info("a token")
        logging.getLogger("some.library").debug("theirs")

    assert ["ours"] == [line["event"] for line in lines(tmp_path / "a.log")]


@POSIX_MODES
def test_log_files_are_private_and_limited_in_size(tmp_path: Path) -> None:
    """The log and its older files are readable only by their user, and do not exceed the size limit."""
    path = tmp_path / "log" / "a.log"
    file = LogFile(path, max_bytes=200, kept=2)

    for number in range(30):
        file.handle(logging.makeLogRecord({"msg": f"line {number} {'x' * 40}"}))
    file.close()

    assert ["a.log", "a.log.1", "a.log.2"] == sorted(one.name for one in path.parent.iterdir())
    assert {0o600} == {mode(one) for one in path.parent.iterdir()}
    assert all(one.stat().st_size <= 200 for one in path.parent.iterdir())


def test_log_that_cannot_be_rotated_continues_and_is_rotated_later(tmp_path: Path) -> None:
    """
    No line is lost while the files cannot be renamed, as on Windows while another program has one open. Here, a folder
    is in the way.
    """
    path, in_the_way = tmp_path / "a.log", tmp_path / "a.log.1"
    (in_the_way / "content").mkdir(parents=True)
    (tmp_path / "a.log.2" / "content").mkdir(parents=True)  # or it would be moved there
    clock = Clock()
    file = LogFile(path, max_bytes=200, kept=2, now=clock)

    def write(*numbers: int) -> None:
        for number in numbers:
            file.handle(logging.makeLogRecord({"msg": f"line {number} {'x' * 40}"}))

    def numbers_in(*files: Path) -> list[int]:
        return [int(line.split()[1]) for each in files for line in each.read_text().splitlines()]

    write(*range(10))
    blocked = numbers_in(path)
    shutil.rmtree(in_the_way)
    write(10)
    rotated_at_once = in_the_way.exists()
    clock.seconds += 60
    write(11, 12)
    file.close()

    assert list(range(10)) == blocked
    assert not rotated_at_once
    assert ([*range(11)], [11, 12]) == (numbers_in(in_the_way), numbers_in(path))


class FailsToClose(io.TextIOWrapper):
    """A file on a full disk: closing it fails, and it is closed nevertheless."""

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            super().close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_log_continues_after_its_file_could_not_be_closed(tmp_path: Path) -> None:
    """It is opened again, as after any other error."""
    file = LogFile(tmp_path / "a.log", max_bytes=200)
    full = FailsToClose(io.BytesIO(), "utf-8")
    full.write("x" * 200)
    before = file.setStream(full)
    assert before is not None
    before.close()

    for number in range(2):
        file.handle(logging.makeLogRecord({"msg": f"line {number}"}))
    file.close()

    assert ["line 0", "line 1"] == (tmp_path / "a.log").read_text().splitlines()


@POSIX_MODES
def test_mode_of_an_existing_log_is_corrected(tmp_path: Path) -> None:
    """An existing log that others can read becomes private."""
    (tmp_path / "a.log").touch(mode=0o644)

    with log_to(tmp_path / "a.log", level="info"):
        assert 0o600 == mode(tmp_path / "a.log")


@POSIX_MODES
def test_new_log_folder_is_private(tmp_path: Path) -> None:
    """The folder is created with access for its user only."""
    with log_to(tmp_path / "log" / "a.log", level="info"):
        pass

    assert 0o700 == mode(tmp_path / "log")


def test_unwritable_log_is_reported_and_not_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the log cannot be created, that is reported on standard error, and the daemon keeps running."""
    (tmp_path / "log").write_text("not a folder")

    with log_to(tmp_path / "log" / "a.log", level="info"):
        logger.warning("going on")

    assert "cannot be written" in capsys.readouterr().err


def test_symbolic_link_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that is a symbolic link, possibly to another file of the user, is not written."""
    if sys.platform == "win32":
        pytest.skip("platform: symbolic links require administrator privileges")
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "a.log").symlink_to(target)

    with log_to(tmp_path / "a.log", level="info"):
        logger.warning("going on")

    assert "" == target.read_text()
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
        ("GET /?code=abc123&state=xyz HTTP/1.1", "GET /?code=[redacted]&state=[redacted] HTTP/1.1"),
        ("{'access_token': 'abc'}", "{'access_token': '[redacted]'}"),
        ('{"api_key": "abc"}', '{"api_key": "[redacted]"}'),
        ("rediss://default:abc@host:6379", "rediss://default:[redacted]@host:6379"),
        ("redis://default:a/b@host:6379", "redis://default:[redacted]@host:6379"),
        ("password=ab;cd next", "password=[redacted] next"),
        ("api_key=a)b]c", "api_key=[redacted]"),
        ("token: a\\b", "token: [redacted]"),
        ("/?code=a%26b&state=c%2526d", "/?code=[redacted]&state=[redacted]"),
        (r"{\"password\":\"ab;cd\"}", r"{\"password\":\"[redacted]\"}"),
        ("token uho_0123456789abcdefghij", "token [redacted]"),
        ("the postcode is 12345", "the postcode is 12345"),
        ("bearer of news", "bearer of news"),
    ],
)
def test_credentials_are_redacted(line: str, kept: str) -> None:
    """If a library logs a credential, it does not reach the log."""
    assert kept == redact_credentials(line)


def test_noisy_logger_is_limited_and_omissions_are_counted() -> None:
    """
    A logger that other programs can trigger writes a few lines per minute, and its next line counts the omitted
    ones.
    """
    now = 0.0
    budget = Budget(now=lambda: now)

    taken = [budget.take("aiohttp.server") for _ in range(100)]
    other = budget.take("upstash_helper.runtime.serve")
    now = WINDOW_SECONDS
    later = budget.take("aiohttp.server")

    assert NOISY_BUDGET * [0] + (100 - NOISY_BUDGET) * [None] == taken
    assert 0 == other
    assert 100 - NOISY_BUDGET == later


def test_lines_beyond_the_budget_are_omitted(tmp_path: Path) -> None:
    """A noisy logger writes no more lines than its budget allows."""
    with log_to(tmp_path / "a.log", level="info"):
        for _ in range(50):
            logging.getLogger("asyncio").warning("again")

    assert NOISY_BUDGET == len(lines(tmp_path / "a.log"))


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no pseudo-terminals of this kind")
def test_terminal_gets_short_lines(tmp_path: Path) -> None:
    """On a terminal a line has a time, a level, an event, and its fields."""
    screen, terminal = os.openpty()

    with os.fdopen(terminal, "w", encoding="utf-8") as stream, os.fdopen(screen, "rb", buffering=0) as output:
        with log_to(tmp_path / "a.log", level="info", stderr=stream):
            logger.info("ready", extra={"port": 3000})
        line = output.read(4096).decode()

    assert "info    ready port=3000\r\n" == line.partition(" ")[2]


def test_redirected_stderr_gets_no_log_lines(tmp_path: Path) -> None:
    """If standard error is neither a terminal nor the journal, nothing is written to it."""
    stderr = io.StringIO()

    with log_to(tmp_path / "a.log", level="info", stderr=stderr):
        logger.info("ready")

    assert "" == stderr.getvalue()


def test_journal_lines_have_a_priority_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines for systemd's journal start with their priority, and leave the time to the journal."""
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

        with log_to(tmp_path / "a.log", level="info", stderr=stream):
            logger.warning("address_taken", extra={"holder": "a b"})
        stream.seek(0)

        assert '<4>address_taken holder="a b"\n' == stream.read()


def test_control_characters_are_removed() -> None:
    """Line breaks and escape sequences in a message do not reach the terminal."""
    record = logging.makeLogRecord({"msg": "one\ntwo\x1b[31m", "levelname": "INFO", "field": "a\nb"})

    assert '<6>one?two?[31m field="a\\nb"' == TextLines(journal=True).format(record)
