"""macOS: a LaunchAgent in the user's ``~/Library``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.service import launchd, managed_files
from upstash_helper.service.autostart import LaunchAgent, tray_command, tray_label
from upstash_helper.service.linux import TRAY_MISSING, TRAY_NEEDS_DEFAULT_HOME, document_patterns, documents, tray_now
from upstash_helper.service.plan import File, Plan
from upstash_helper.service.quoting import xml_strings, xml_text
from upstash_helper.service.templating import fill
from upstash_helper.settings.profiles import DEFAULT_PROFILE
from upstash_helper.system import keychain
from upstash_helper.system.notifications import SCRIPT_EDITOR

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.context import InstallContext


KEYCHAIN: Final = (
    "macOS may ask whether Python may use the entry upstash-helper in your keychain, because it trusts each version of "
    f"Python separately. If it does, {keychain.ALLOW}."
)


def label(profile: str) -> str:
    """Return the daemon's launchd label."""
    return "io.upstash-helper.daemon" if profile == DEFAULT_PROFILE else f"io.upstash-helper.daemon-{profile}"


def agent_folder(home: Path) -> Path:
    """Return the folder of the user's agents (launchd(8))."""
    return home / "Library" / "LaunchAgents"


def plan(context: InstallContext) -> Plan:
    """Return the plan for macOS."""
    daemon, icon = label(context.profile), tray_label(context.profile)
    domain = launchd.domain(context.uid)
    agents = agent_folder(context.home)
    file = agents / f"{daemon}.plist"
    home_id = managed_files.home_id(context.root)
    text = fill(
        "launchd/upstash-helper.plist",
        {
            "VERSION": context.version,
            "LABEL": xml_text(daemon),
            "OUTPUT": xml_text(str(context.folders.start_log)),
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
        launchd.enable(
            context.uid, daemon, "Allow the daemon to start.", changed_only=daemon not in context.turned_off
        ),
        launchd.load(context.uid, daemon, file, why="Start the daemon now.", changed_only=True),
    ]
    notes = []
    if not context.display:
        start = " ".join(("upstash-helper", *context.arguments, "start"))
        notes.append(
            f"{launchd.NO_DESKTOP} It starts when you log in there. Until then, start the daemon with: {start}"
        )
    if context.tray == "missing":
        notes.append(TRAY_MISSING)
    elif context.tray == "wanted" and context.root is not None:
        notes.append(TRAY_NEEDS_DEFAULT_HOME)
    elif context.tray == "wanted":
        agent = LaunchAgent(agents, icon, tray_command(context.program, context.profile))
        why = "Show the menu bar icon at login."
        files.append(File(path=agent.file, content=agent.content(), why=why, kind="tray"))
        if icon in context.turned_off:
            notes.append(f"The menu bar icon stays turned off. Turn it on with: launchctl enable {domain}/{icon}")
        else:
            after.append(launchd.load(context.uid, icon, agent.file, why="Show the menu bar icon now."))
        if context.tray_running:
            after.append(tray_now(context))
    return Plan(
        manager="launchd",
        name=daemon,
        home_id=home_id,
        files=(*files, *documents(context)),
        folders=(context.folders.logs,),
        before_install=(launchd.unload(f"{domain}/{daemon}", "Stop the running daemon before its agent changes."),)
        if context.display
        else (),
        # Otherwise there is no domain to load the agents into. launchd loads all agents of the folder at login.
        after_install=tuple(after) if context.display else (),
        before_uninstall=(
            launchd.unload(f"{domain}/{daemon}", "Stop the daemon."),
            launchd.unload(f"{domain}/{icon}", "Remove the menu bar icon."),
        )
        if context.display
        else (),
        other_services=((agents, "io.upstash-helper.daemon*.plist"),),
        document_patterns=document_patterns(context),
        notes=tuple(notes),
        first_notes=(f"Notifications of access requests: {SCRIPT_EDITOR[0].lower()}{SCRIPT_EDITOR[1:]}",),
        upgrade_notes=(KEYCHAIN,),
    )


def _environment_entries(context: InstallContext) -> list[str]:
    return [
        line
        for name, value in context.environment.items()
        for line in (f"<key>{xml_text(name)}</key>", f"<string>{xml_text(value)}</string>")
    ]
