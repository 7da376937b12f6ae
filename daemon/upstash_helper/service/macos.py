"""macOS: a LaunchAgent, in the user's own ``~/Library``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.service import managed_files
from upstash_helper.service.autostart import LaunchAgent, tray_command, tray_label
from upstash_helper.service.linux import TRAY_ELSEWHERE, TRAY_MISSING, document_patterns, documents, tray_now
from upstash_helper.service.plan import Command, File, Plan
from upstash_helper.service.templating import fill, xml_strings, xml_text
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.facts import Facts


def label(profile: str) -> str:
    """Return what launchd calls the daemon."""
    return "io.upstash-helper.daemon" if profile == DEFAULT_PROFILE else f"io.upstash-helper.daemon-{profile}"


def agent_folder(home: Path) -> Path:
    """Return where a user's agents are (launchd(8))."""
    return home / "Library" / "LaunchAgents"


def plan(facts: Facts) -> Plan:
    """Return how the helper is installed on a Mac."""
    daemon, icon = label(facts.profile), tray_label(facts.profile)
    domain = f"gui/{facts.uid}"
    agents = agent_folder(facts.home)
    file = agents / f"{daemon}.plist"
    world = managed_files.world_name(facts.root)
    text = fill(
        "launchd/upstash-helper.plist",
        {
            "VERSION": facts.version,
            "LABEL": xml_text(daemon),
            "OUTPUT": xml_text(str(facts.folders.logs / "start.log")),
        },
        lines={
            "PROGRAM_ARGUMENTS": xml_strings(facts.daemon),
            "ENVIRONMENT": _dictionary(facts),
        },
    )
    files = [
        File(
            path=file,
            content=managed_files.marked(text, ending=".plist", world=world).encode(),
            why="launchd starts the daemon at login, and again after a crash.",
        )
    ]
    after = [
        Command(argv=("launchctl", "enable", f"{domain}/{daemon}"), why="It may start.", when="changed"),
        Command(
            argv=("launchctl", "bootstrap", domain, str(file)),
            why="It starts now: nobody has to log out first.",
            when="changed",
            unless=("launchctl", "print", f"{domain}/{daemon}"),
        ),
    ]
    notes: tuple[str, ...] = ()
    if facts.tray == "missing":
        notes = (TRAY_MISSING,)
    elif facts.tray == "wanted" and facts.root is not None:
        notes = (TRAY_ELSEWHERE,)
    elif facts.tray == "wanted":
        agent = LaunchAgent(agents, icon, tray_command(facts.program, facts.profile))
        why = "launchd shows the icon at login."
        files.append(File(path=agent.file, content=agent.content(), why=why, kind="tray"))
        after.append(
            Command(
                argv=("launchctl", "bootstrap", domain, str(agent.file)),
                why="The icon is shown now.",
                unless=("launchctl", "print", f"{domain}/{icon}"),
            )
        )
        if facts.tray_running:
            after.append(tray_now(facts))
    return Plan(
        manager="launchd",
        name=daemon,
        world=world,
        files=(*files, *documents(facts)),
        folders=(facts.folders.logs,),
        before=(_bootout(f"{domain}/{daemon}", "What ran before is stopped, for its agent changes."),),
        after=tuple(after),
        leaving=(
            _bootout(f"{domain}/{daemon}", "The daemon is stopped."),
            _bootout(f"{domain}/{icon}", "The icon goes away."),
        ),
        siblings=((agents, "io.upstash-helper.daemon*.plist"),),
        document_patterns=document_patterns(facts),
        notes=notes,
    )


def _bootout(service: str, why: str) -> Command:
    return Command(argv=("launchctl", "bootout", service), why=why, may_fail=True)


def _dictionary(facts: Facts) -> list[str]:
    return [
        line
        for name, value in facts.environment.items()
        for line in (f"<key>{xml_text(name)}</key>", f"<string>{xml_text(value)}</string>")
    ]
