"""macOS: a LaunchAgent in the user's ``~/Library``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.service import managed_files
from upstash_helper.service.autostart import LaunchAgent, tray_command, tray_label
from upstash_helper.service.linux import TRAY_MISSING, TRAY_NEEDS_DEFAULT_HOME, document_patterns, documents, tray_now
from upstash_helper.service.plan import Command, File, Plan
from upstash_helper.service.quoting import xml_strings, xml_text
from upstash_helper.service.templating import fill
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.context import InstallContext


def label(profile: str) -> str:
    """Return the daemon's launchd label."""
    return "io.upstash-helper.daemon" if profile == DEFAULT_PROFILE else f"io.upstash-helper.daemon-{profile}"


def agent_folder(home: Path) -> Path:
    """Return the folder of the user's agents (launchd(8))."""
    return home / "Library" / "LaunchAgents"


def plan(context: InstallContext) -> Plan:
    """Return the plan for macOS."""
    daemon, icon = label(context.profile), tray_label(context.profile)
    domain = f"gui/{context.uid}"
    agents = agent_folder(context.home)
    file = agents / f"{daemon}.plist"
    home_id = managed_files.home_id(context.root)
    text = fill(
        "launchd/upstash-helper.plist",
        {
            "VERSION": context.version,
            "LABEL": xml_text(daemon),
            "OUTPUT": xml_text(str(context.folders.logs / "start.log")),
        },
        lines={
            "PROGRAM_ARGUMENTS": xml_strings(context.daemon),
            "ENVIRONMENT": _environment_entries(context),
        },
    )
    files = [
        File(
            path=file,
            content=managed_files.with_marker(text, extension=".plist", home_id=home_id).encode(),
            why="Starts the daemon at login, and restarts it after a crash.",
        )
    ]
    after = [
        Command(argv=("launchctl", "enable", f"{domain}/{daemon}"), why="Allow the daemon to start.", when="changed"),
        Command(
            argv=("launchctl", "bootstrap", domain, str(file)),
            why="Start the daemon now.",
            when="changed",
            unless=("launchctl", "print", f"{domain}/{daemon}"),
        ),
    ]
    notes: tuple[str, ...] = ()
    if context.tray == "missing":
        notes = (TRAY_MISSING,)
    elif context.tray == "wanted" and context.root is not None:
        notes = (TRAY_NEEDS_DEFAULT_HOME,)
    elif context.tray == "wanted":
        agent = LaunchAgent(agents, icon, tray_command(context.program, context.profile))
        why = "Show the menu bar icon at login."
        files.append(File(path=agent.file, content=agent.content(), why=why, kind="tray"))
        after.append(
            Command(
                argv=("launchctl", "bootstrap", domain, str(agent.file)),
                why="Show the menu bar icon now.",
                unless=("launchctl", "print", f"{domain}/{icon}"),
            )
        )
        if context.tray_running:
            after.append(tray_now(context))
    return Plan(
        manager="launchd",
        name=daemon,
        home_id=home_id,
        files=(*files, *documents(context)),
        folders=(context.folders.logs,),
        before_install=(_bootout(f"{domain}/{daemon}", "Stop the running daemon before its agent changes."),),
        after_install=tuple(after),
        before_uninstall=(
            _bootout(f"{domain}/{daemon}", "Stop the daemon."),
            _bootout(f"{domain}/{icon}", "Remove the menu bar icon."),
        ),
        other_services=((agents, "io.upstash-helper.daemon*.plist"),),
        document_patterns=document_patterns(context),
        notes=notes,
    )


def _bootout(service: str, why: str) -> Command:
    return Command(argv=("launchctl", "bootout", service), why=why, may_fail=True)


def _environment_entries(context: InstallContext) -> list[str]:
    return [
        line
        for name, value in context.environment.items()
        for line in (f"<key>{xml_text(name)}</key>", f"<string>{xml_text(value)}</string>")
    ]
