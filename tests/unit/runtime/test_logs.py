"""The log, in real files."""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from upstash_helper.runtime.logs import NOISY_BUDGET, WINDOW_SECONDS, Budget, LogFile, TextLines, log_to, redact

if TYPE_CHECKING:
    from pathlib import Path

POSIX_MODES = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such modes")

logger = logging.getLogger("upstash_helper.test")


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        return True


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what was logged."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def mode(path: Path) -> int:
    """Return the permissions of ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_line_is_an_object_with_its_fields(tmp_path: Path) -> None:
    """
    A program can read the log: each line is an object with time, level, logger, event and the event's own fields.
    """
    with log_to(tmp_path / "log" / "a.log", level="info"):
        logger.info("ready", extra={"port": 3000, "holder": None})

    [line] = lines(tmp_path / "log" / "a.log")
    moment = line.pop("time")
    assert {"level": "info", "logger": "upstash_helper.test", "event": "ready", "port": 3000, "holder": None} == line
    assert moment.endswith("Z")
    assert "T" in moment


def test_an_error_is_logged_without_its_words(tmp_path: Path) -> None:
    """
    An error that a library logs is named with the places it passed, and its message, which may quote anything, is not.
    """
    with log_to(tmp_path / "a.log", level="info"):
        try:
            int("what-nobody-may-see")
        except ValueError:
            logger.exception("failed")

    [line] = lines(tmp_path / "a.log")
    assert "ValueError" == line["error"]
    assert 1 == len(line["where"])
    assert "what-nobody-may-see" not in (tmp_path / "a.log").read_text()


def test_debug_lines_are_for_our_own_loggers(tmp_path: Path) -> None:
    """
    At level debug the helper says more, and libraries, whose debug lines hold tokens, do not.
    """
    with log_to(tmp_path / "a.log", level="debug"):
        logger.debug("ours")
        logging.getLogger("oauthlib.oauth2").info("a token")
        logging.getLogger("some.library").debug("theirs")

    assert ["ours"] == [line["event"] for line in lines(tmp_path / "a.log")]


@POSIX_MODES
def test_the_log_is_its_users_alone(tmp_path: Path) -> None:
    """
    The log and its older files can be read by their user alone, and are no larger than they may be.
    """
    path = tmp_path / "log" / "a.log"
    file = LogFile(path, max_bytes=200, kept=2)

    for number in range(30):
        file.handle(logging.makeLogRecord({"msg": f"line {number} {'x' * 40}"}))
    file.close()

    assert ["a.log", "a.log.1", "a.log.2"] == sorted(one.name for one in path.parent.iterdir())
    assert {0o600} == {mode(one) for one in path.parent.iterdir()}
    assert all(one.stat().st_size <= 200 for one in path.parent.iterdir())


@POSIX_MODES
def test_a_log_that_others_can_read_is_closed(tmp_path: Path) -> None:
    """
    A log that was open to others is theirs no longer.
    """
    (tmp_path / "a.log").touch(mode=0o644)

    with log_to(tmp_path / "a.log", level="info"):
        assert 0o600 == mode(tmp_path / "a.log")


@POSIX_MODES
def test_a_new_log_folder_is_its_users_alone(tmp_path: Path) -> None:
    """
    The folder that is made for the log is closed to others.
    """
    with log_to(tmp_path / "log" / "a.log", level="info"):
        pass

    assert 0o700 == mode(tmp_path / "log")


def test_a_log_that_cannot_be_written_is_said_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where the log cannot be made, that is said on standard error, and the daemon goes on.
    """
    (tmp_path / "log").write_text("this is no folder")

    with log_to(tmp_path / "log" / "a.log", level="info"):
        logger.warning("going on")

    assert "cannot be written" in capsys.readouterr().err


def test_a_link_is_not_written_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A log that is a link, perhaps to a file that somebody wants filled, is not written.
    """
    if sys.platform == "win32":
        pytest.skip("platform: links need an administrator's rights")
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
        ("token uho_0123456789abcdefghij", "token [redacted]"),
        ("the postcode is 12345", "the postcode is 12345"),
        ("bearer of news", "bearer of news"),
    ],
)
def test_what_looks_like_a_credential_is_cut_out(line: str, kept: str) -> None:
    """
    Should a library log a credential, the log does not have it.
    """
    assert kept == redact(line)


def test_a_noisy_logger_is_bounded_and_says_what_was_left_out() -> None:
    """
    A logger whose lines a stranger can cause writes a few in a minute, and its next line says how many were left out.
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


def test_left_out_lines_are_counted_in_the_log(tmp_path: Path) -> None:
    """
    The number of lines that were left out is a field of the line that comes after them.
    """
    with log_to(tmp_path / "a.log", level="info"):
        for _ in range(50):
            logging.getLogger("asyncio").warning("again")

    assert NOISY_BUDGET == len(lines(tmp_path / "a.log"))


def test_a_person_reads_short_lines(tmp_path: Path) -> None:
    """
    On a terminal a line is a time, a level, an event and its fields.
    """
    terminal = Terminal()

    with log_to(tmp_path / "a.log", level="info", stderr=terminal):
        logger.info("ready", extra={"port": 3000})

    assert "info    ready port=3000\n" == terminal.getvalue().partition(" ")[2]


def test_nobody_reads_what_goes_to_a_file(tmp_path: Path) -> None:
    """
    Where standard error is neither a terminal nor the journal, it is left alone: the log has it all.
    """
    stderr = io.StringIO()

    with log_to(tmp_path / "a.log", level="info", stderr=stderr):
        logger.info("ready")

    assert "" == stderr.getvalue()


def test_the_journal_gets_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What systemd's journal collects has its priority, and no time of its own.
    """
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

        with log_to(tmp_path / "a.log", level="info", stderr=stream):
            logger.warning("address_taken", extra={"holder": "a b"})
        stream.seek(0)

        assert '<4>address_taken holder="a b"\n' == stream.read()


def test_a_line_stays_a_line() -> None:
    """
    Neither a line's end nor a terminal's escape sequence in a text gets to the screen.
    """
    record = logging.makeLogRecord({"msg": "one\ntwo\x1b[31m", "levelname": "INFO", "field": "a\nb"})

    assert '<6>one?two?[31m field="a\\nb"' == TextLines(journal=True).format(record)
