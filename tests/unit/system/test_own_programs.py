"""Recognizing our own programs by their command lines."""

from __future__ import annotations

import os
import shlex

import psutil
import pytest

from upstash_helper.system.own_programs import describe, is_daemon, is_sandbox, profile_of


@pytest.mark.parametrize(
    "line",
    [
        "/usr/bin/python3 -P -m upstash_helper run --port=3000",
        "/home/a/.venv/bin/python /home/a/.venv/bin/upstash-helper --profile work run",
        "C:/Python/pythonw.exe -P -m upstash_helper --profile default run --wait-for-port",
        "C:/venv/Scripts/upstash-helper.exe run",
    ],
)
def test_daemons_are_recognized(line: str) -> None:
    """
    A daemon is recognized however it was started.
    """
    assert is_daemon(shlex.split(line))
    assert not is_sandbox(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m upstash_helper status",
        "npm run dev",
        "python3 run upstash",
        "vim notes on upstash-helper and how to run it in a very long line",
        "python3 -P -m upstash_helper.sandbox --data run",
    ],
)
def test_other_programs_are_not_daemons(line: str) -> None:
    """
    Other commands, other programs, and the sandbox are not called a daemon.
    """
    assert not is_daemon(shlex.split(line))


def test_sandbox_is_recognized() -> None:
    """
    The sandbox is recognized by its module.
    """
    assert is_sandbox(["python3", "-P", "-m", "upstash_helper.sandbox", "--port", "0"])
    assert not is_sandbox(["grep", "upstash_helper/sandbox"])


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (["--profile", "work", "run"], {}, "work"),
        (["--profile=work", "run"], {"UPSTASH_HELPER_PROFILE": "other"}, "work"),
        (["run"], {"UPSTASH_HELPER_PROFILE": "other"}, "other"),
        (["run"], {}, "default"),
        (["--profile"], {}, ""),
    ],
)
def test_profile_of_a_command_line(words: list[str], environ: dict[str, str], expected: str) -> None:
    """
    The option takes precedence over the variable.
    """
    assert expected == profile_of(words, environ)


def test_other_process_has_no_name_of_ours() -> None:
    """
    A process that is none of our programs is not described.
    """
    assert describe(psutil.Process(os.getpid())) is None
