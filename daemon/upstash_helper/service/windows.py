"""
Windows: a task of the user in Task Scheduler, without administrator rights.

The daemon is a task, not a value of the ``Run`` key, because Task Scheduler restarts it after a crash, starts it on
request (``schtasks /Run``), and reports whether it is running. The tray has a ``Run`` value: if the user quits it, it
must not be restarted.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from upstash_helper.service import managed_files
from upstash_helper.service.autostart import tray_command, tray_name
from upstash_helper.service.linux import TRAY_MISSING, tray_now
from upstash_helper.service.plan import Command, File, Plan, RunValue
from upstash_helper.service.quoting import xml_text
from upstash_helper.service.templating import fill

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.context import InstallContext
    from upstash_helper.settings.profiles import Folders


def task_definition(folders: Folders) -> Path:
    """Return the path of the task's definition."""
    return folders.config / "task.xml"


def plan(context: InstallContext) -> Plan:
    """Return the plan for Windows."""
    file = task_definition(context.folders)
    home_id = managed_files.home_id(context.root)
    program, *arguments = context.daemon
    text = fill(
        "windows/upstash-helper.xml",
        {
            "VERSION": context.version,
            "DESCRIPTION": xml_text(context.description),
            "USER": xml_text(context.user),
            "COMMAND": xml_text(program),
            "ARGUMENTS": xml_text(subprocess.list2cmdline(arguments)),
            "FOLDER": xml_text(str(context.home)),
        },
    )
    # UTF-16 with a byte order mark is the only encoding that schtasks reads reliably.
    content = managed_files.with_marker(text, extension=".xml", home_id=home_id).replace("\n", "\r\n").encode("utf-16")
    values: tuple[RunValue, ...] = ()
    icon: tuple[Command, ...] = ()
    if context.tray == "wanted":
        command = tray_command(context.program, context.profile)
        why = "Show the tray icon at login."
        values = (RunValue(name=tray_name(context.profile), command=subprocess.list2cmdline(command), why=why),)
        icon = (tray_now(context),)
    return Plan(
        manager="task-scheduler",
        name=context.name,
        home_id=home_id,
        files=(File(path=file, content=content, why="The task's definition."),),
        values=values,
        before_install=(Command(argv=_task("/End", context), why="Stop the running daemon.", may_fail=True),),
        after_install=(
            Command(
                argv=(*_task("/Create", context), "/XML", str(file), "/F"),
                why="Start the daemon at login, and restart it after a crash.",
                when="changed",
                unless=_task("/Query", context),
            ),
            Command(
                argv=_task("/Run", context),
                why="Start the daemon now.",
                when="changed" if context.daemon_running else "always",
            ),
            *icon,
        ),
        before_uninstall=(
            Command(argv=_task("/End", context), why="Stop the daemon.", may_fail=True),
            Command(
                argv=(*_task("/Delete", context), "/F"),
                why="No longer start the daemon at login.",
                may_fail=True,
                remains=_task("/Query", context),
            ),
        ),
        notes=(TRAY_MISSING,) if context.tray == "missing" else (),
    )


def _task(verb: str, context: InstallContext) -> tuple[str, ...]:
    return ("schtasks", verb, "/TN", context.name)
