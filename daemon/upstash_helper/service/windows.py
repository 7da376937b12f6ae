"""
Windows: a task of the Task Scheduler, of this user alone; no administrator is needed.

A task and not a value below ``Run``, as the tray has: the scheduler starts the daemon again after a crash, does so on
demand (``schtasks /Run``), and tells whether it runs. The tray is the user's to quit, so ``Run`` is right for it.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from upstash_helper.service import managed_files
from upstash_helper.service.autostart import tray_command, tray_name
from upstash_helper.service.linux import TRAY_MISSING, tray_now
from upstash_helper.service.plan import Command, File, Plan, RunValue
from upstash_helper.service.templating import fill, xml_text

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.facts import Facts
    from upstash_helper.settings.profiles import Folders


def task_file(folders: Folders) -> Path:
    """Return what the task was made from."""
    return folders.config / "task.xml"


def plan(facts: Facts) -> Plan:
    """Return how the helper is installed on a Windows."""
    file = task_file(facts.folders)
    world = managed_files.world_name(facts.root)
    program, *arguments = facts.daemon
    text = fill(
        "windows/upstash-helper.xml",
        {
            "VERSION": facts.version,
            "DESCRIPTION": xml_text(facts.description),
            "USER": xml_text(facts.user),
            "COMMAND": xml_text(program),
            "ARGUMENTS": xml_text(subprocess.list2cmdline(arguments)),
            "FOLDER": xml_text(str(facts.home)),
        },
    )
    # With a byte order mark: schtasks takes no other encoding reliably.
    content = managed_files.marked(text, ending=".xml", world=world).replace("\n", "\r\n").encode("utf-16")
    values: tuple[RunValue, ...] = ()
    icon: tuple[Command, ...] = ()
    if facts.tray == "wanted":
        shown = tuple(tray_command(facts.program, facts.profile))
        why = "Windows shows the icon at login."
        values = (RunValue(name=tray_name(facts.profile), command=subprocess.list2cmdline(shown), why=why),)
        icon = (tray_now(facts),)
    return Plan(
        manager="task-scheduler",
        name=facts.name,
        world=world,
        files=(File(path=file, content=content, why="What the task is made from."),),
        values=values,
        before=(Command(argv=_task("/End", facts), why="What ran before is stopped.", may_fail=True),),
        after=(
            Command(
                argv=(*_task("/Create", facts), "/XML", str(file), "/F"),
                why="The daemon starts at login, and again after a crash.",
                when="changed",
                unless=_task("/Query", facts),
            ),
            Command(
                argv=_task("/Run", facts),
                why="It starts now: nobody has to log out first.",
                when="changed" if facts.daemon_running else "always",
            ),
            *icon,
        ),
        leaving=(
            Command(argv=_task("/End", facts), why="The daemon is stopped.", may_fail=True),
            Command(
                argv=(*_task("/Delete", facts), "/F"),
                why="The daemon no longer starts at login.",
                may_fail=True,
            ),
        ),
        notes=(TRAY_MISSING,) if facts.tray == "missing" else (),
    )


def _task(verb: str, facts: Facts) -> tuple[str, ...]:
    return ("schtasks", verb, "/TN", facts.name)
