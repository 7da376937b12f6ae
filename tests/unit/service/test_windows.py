"""Windows: the task, read by an XML parser and by Windows' rules for command lines."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_facts import AWKWARD, facts
from upstash_helper.service import planner
from upstash_helper.service.facts import Facts
from upstash_helper.service.plan import File

SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def pc(home: Path, **changes: Any) -> Facts:
    """Return facts about a PC."""
    program = (r"C:\Users\Zoë A\venv\Scripts\pythonw.exe", "-P", "-m", "upstash_helper")
    return facts(home, **{"platform": "win32", "systemd": False, "program": program, **changes})


def task_of(found: Facts) -> tuple[File, ET.Element]:
    """Return the file that the task is made from, and what is in it."""
    [file] = planner.plan(found).files
    return file, ET.fromstring(file.content)  # noqa: S314 - it is our own


def said(task: ET.Element, path: str) -> str | None:
    """Return the text of an element."""
    return task.findtext("/".join(f"{SPACE}{name}" for name in path.split("/")))


def split(line: str) -> list[str]:
    """Return the arguments in a command line: the rules of the C runtime, read from Microsoft's description."""
    arguments, current, quoted, started, slashes = list[str](), "", False, False, 0
    for character in line:
        if character == "\\":
            slashes += 1
            continue
        if character == '"':
            current += "\\" * (slashes // 2)
            if slashes % 2:
                current += '"'
            else:
                quoted = not quoted
            started = True
        elif character in " \t" and not quoted:
            current += "\\" * slashes
            arguments += [current] if started or current else []
            current, started = "", False
        else:
            current += "\\" * slashes + character
        slashes = 0
    current += "\\" * slashes
    return [*arguments, current] if started or current else arguments


def test_the_task_starts_when_this_user_logs_in(tmp_path: Path) -> None:
    """Without an administrator, without a password, without a console window."""
    _, task = task_of(pc(tmp_path))

    assert "PC\\zoë" == said(task, "Triggers/LogonTrigger/UserId") == said(task, "Principals/Principal/UserId")
    assert ("LeastPrivilege", "InteractiveToken") == (
        said(task, "Principals/Principal/RunLevel"),
        said(task, "Principals/Principal/LogonType"),
    )
    assert (r"C:\Users\Zoë A\venv\Scripts\pythonw.exe", "-P -m upstash_helper run --wait-for-port") == (
        said(task, "Actions/Exec/Command"),
        said(task, "Actions/Exec/Arguments"),
    )


def test_the_task_is_neither_ended_nor_held_back(tmp_path: Path) -> None:
    """By the scheduler's defaults: after three days, and on a laptop's battery."""
    _, task = task_of(pc(tmp_path))

    assert ("PT0S", "false", "false", "PT1M") == (
        said(task, "Settings/ExecutionTimeLimit"),
        said(task, "Settings/DisallowStartIfOnBatteries"),
        said(task, "Settings/StopIfGoingOnBatteries"),
        said(task, "Settings/RestartOnFailure/Interval"),
    )


def test_the_file_is_in_the_encoding_that_schtasks_takes(tmp_path: Path) -> None:
    """UTF-16 with a byte order mark, as its first line says."""
    file, _ = task_of(pc(tmp_path))

    assert file.content[:2] in {b"\xff\xfe", b"\xfe\xff"}
    assert file.content.decode("utf-16").startswith('<?xml version="1.0" encoding="UTF-16"?>\r\n')


@pytest.mark.parametrize("path", [*AWKWARD, "C:\\ends with \\"])
def test_windows_runs_exactly_the_command(tmp_path: Path, path: str) -> None:
    """Whatever the folders are called."""
    found = pc(tmp_path, program=(path, path, "<&>", "", "-m"), user="PC & Co\\<zoë>")

    _, task = task_of(found)

    assert path == said(task, "Actions/Exec/Command")
    assert [path, "<&>", "", "-m", "run", "--wait-for-port"] == split(said(task, "Actions/Exec/Arguments") or "")
    assert "PC & Co\\<zoë>" == said(task, "Triggers/LogonTrigger/UserId")


def test_the_task_is_made_run_and_deleted_by_its_name(tmp_path: Path) -> None:
    """A profile has one of its own."""
    plan = planner.plan(pc(tmp_path, profile="work"))

    create, start = (command.argv for command in plan.after if command.waits)
    assert ("schtasks", "/Create", "/TN", "upstash-helper-work", "/XML", str(plan.files[0].path), "/F") == create
    assert ("schtasks", "/Run", "/TN", "upstash-helper-work") == start
    assert ("schtasks", "/Delete", "/TN", "upstash-helper-work", "/F") == plan.leaving[-1].argv


def test_a_daemon_that_runs_is_not_started_again(tmp_path: Path) -> None:
    """Unless its task has changed."""
    [start] = [command for command in planner.plan(pc(tmp_path, daemon_running=True)).after if "/Run" in command.argv]

    assert "changed" == start.when


def test_the_tray_is_a_value_of_the_run_key(tmp_path: Path) -> None:
    """As its own menu writes it."""
    [value] = planner.plan(pc(tmp_path)).values

    assert "upstash-helper-tray" == value.name
    assert [*pc(tmp_path).program, "tray", "--wait", "60"] == split(value.command)
    assert () == planner.plan(pc(tmp_path, tray="unwanted")).values


def test_an_icon_that_is_shown_makes_room_for_a_newer_one(tmp_path: Path) -> None:
    """At once and not at the next login; and only if something is newer."""
    now = {running: planner.plan(pc(tmp_path, tray_running=running)).after[-1] for running in (False, True)}

    assert ("always", "60") == (now[False].when, now[False].argv[-1])
    assert ("changed", "--replace") == (now[True].when, now[True].argv[-1])


def test_a_world_of_its_own_cannot_be_a_task(tmp_path: Path) -> None:
    """A task has no environment; the user is told to take a profile."""
    hindrance = planner.obstacle(pc(tmp_path, root=tmp_path))

    assert hindrance is not None
    assert ("no_environment", True) == (hindrance.code, "--profile NAME" in str(hindrance))
