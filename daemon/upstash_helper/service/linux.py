"""Linux: units of the user's systemd, or an autostart entry of the desktop if there is no systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.service import managed_files, quoting
from upstash_helper.service.autostart import DesktopAutostart, tray_command, tray_name
from upstash_helper.service.plan import Command, File, Plan
from upstash_helper.service.quoting import systemd_command, systemd_text, systemd_word
from upstash_helper.service.templating import fill
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from upstash_helper.service.context import InstallContext

SYSTEMCTL: Final = ("systemctl", "--user")
TRAY_MISSING: Final = (
    "The tray icon is not installed because its packages are missing. `upstash-helper tray` prints the command that "
    "installs them. Then run install again."
)
NO_SYSTEMD: Final = (
    "systemd is not available for this user, so the daemon starts with the desktop, not on the first request, and is "
    "not restarted after a crash."
)
NO_SYSTEMD_IN_WSL: Final = (
    "This WSL distribution does not run systemd, so nothing starts the daemon automatically. Start it with: "
    "upstash-helper start. To start it on the first request instead, add the lines [boot] and systemd=true to "
    "/etc/wsl.conf, run wsl --shutdown in Windows, open a new terminal, and run install again."
)
TRAY_NEEDS_DEFAULT_HOME: Final = (
    "The tray icon is not installed because UPSTASH_HELPER_HOME is set. Start it manually: upstash-helper tray"
)

_DOCUMENTS: Final = (
    ("bash-completion/completions", "upstash-helper"),
    ("zsh/site-functions", "_upstash-helper"),
    ("fish/vendor_completions.d", "upstash-helper.fish"),
    ("man/man1", "upstash-helper*.1"),
)


def plan(context: InstallContext) -> Plan:
    """Return the plan for Linux."""
    return _with_systemd(context) if context.systemd else _with_autostart(context)


def documents(context: InstallContext) -> tuple[File, ...]:
    """Return the completion scripts and man pages."""
    files = []
    for name, text in sorted(context.documents.items()):
        path = context.data_home / name
        why = "Man page." if path.suffix == ".1" else f"Tab completion for {_shell(name)}."
        content = managed_files.with_marker(text, extension=path.suffix, home_id=managed_files.DEFAULT_HOME).encode()
        files.append(File(path=path, content=content, why=why, kind="document"))
    return tuple(files)


def document_patterns(context: InstallContext) -> tuple[tuple[Path, str], ...]:
    """Return the folders and name patterns of documents of any version."""
    return tuple((context.data_home / folder, pattern) for folder, pattern in _DOCUMENTS)


def unit_folder(config_home: Path) -> Path:
    """Return the folder of the user's units (systemd.unit(5))."""
    return config_home / "systemd" / "user"


def entry_file(config_home: Path, profile: str) -> Path:
    """Return the autostart entry that starts a profile's daemon if there is no systemd."""
    # Not the service's name: for a profile called "tray" it would be that of the tray's entry.
    name = "upstash-helper-daemon" if profile == DEFAULT_PROFILE else f"upstash-helper-daemon-{profile}"
    return config_home / "autostart" / f"{name}.desktop"


def unit_files(context: InstallContext) -> tuple[File, File]:
    """Return the socket unit and the service unit."""
    values = {"NAME": context.name, "DESCRIPTION": systemd_text(context.description), "PORT": str(context.port)}
    socket = fill(
        "systemd/upstash-helper.socket",
        values,
        lines={"LISTEN_IPV6": [f"ListenStream=[::1]:{context.port}"] if context.ipv6 else []},
    )
    values["VERSION"] = context.version
    values["EXEC_START"] = systemd_command(context.daemon)
    service = fill("systemd/upstash-helper.service", values, lines={"ENVIRONMENT": _environment(context.environment)})
    folder, home_id = unit_folder(context.config_home), managed_files.home_id(context.root)
    return (
        File(
            path=folder / f"{context.name}.socket",
            content=managed_files.with_marker(socket, extension=".socket", home_id=home_id).encode(),
            why=f"systemd listens on port {context.port} and starts the daemon on the first request.",
        ),
        File(
            path=folder / f"{context.name}.service",
            content=managed_files.with_marker(service, extension=".service", home_id=home_id).encode(),
            why="Starts the daemon, and restarts it after a crash.",
        ),
    )


def _with_systemd(context: InstallContext) -> Plan:
    socket, service = f"{context.name}.socket", f"{context.name}.service"
    units = unit_folder(context.config_home)
    tray_files, notes = _tray(context)
    return Plan(
        manager="systemd",
        name=context.name,
        home_id=managed_files.home_id(context.root),
        files=(*unit_files(context), *tray_files, *documents(context)),
        before_install=(
            Command(
                argv=(*SYSTEMCTL, "stop", socket, service),
                why="Stop the running daemon before its units change.",
                may_fail=True,
            ),
        ),
        after_install=(
            Command(argv=(*SYSTEMCTL, "daemon-reload"), why="Load the units.", when="changed"),
            Command(
                argv=(*SYSTEMCTL, "enable", socket),
                why="Listen on the port from login on.",
                unless=(*SYSTEMCTL, "is-enabled", "--quiet", socket),
            ),
            Command(
                argv=(*SYSTEMCTL, "enable", service),
                why="Start the daemon with the desktop.",
                unless=(*SYSTEMCTL, "is-enabled", "--quiet", service),
            ),
            Command(
                argv=(*SYSTEMCTL, "reset-failed", socket, service),
                why="Clear earlier failures.",
                when="changed",
                may_fail=True,
            ),
            Command(
                # This also starts the socket first. If another program uses the port, the service starts without the
                # socket, and waits for the port.
                argv=(*SYSTEMCTL, "start", service),
                why="Start the daemon now.",
                when="changed",
                # Exits with 0 if either is active: the daemon may have exited because it was idle.
                unless=(*SYSTEMCTL, "is-active", "--quiet", socket, service),
            ),
            *_tray_now(context),
        ),
        before_uninstall=(
            Command(
                argv=(*SYSTEMCTL, "disable", "--now", socket, service),
                why="Stop the daemon and no longer start it at login.",
                may_fail=True,
            ),
        )
        if context.systemd
        else (),
        after_uninstall=(
            Command(argv=(*SYSTEMCTL, "daemon-reload"), why="Unload the units.", may_fail=True),
            Command(
                argv=(*SYSTEMCTL, "reset-failed", socket, service),
                why="Clear their failures.",
                may_fail=True,
            ),
        )
        if context.systemd
        else (),
        leftovers=(entry_file(context.config_home, context.profile),),
        links=(
            units / "sockets.target.wants" / socket,
            units / "graphical-session.target.wants" / service,
        ),
        other_services=_siblings(context),
        document_patterns=document_patterns(context),
        environment=_manager_environment(context),
        notes=notes,
    )


def _with_autostart(context: InstallContext) -> Plan:
    # systemd is not reachable, so units from an earlier installation are treated as plain files.
    by_systemd = _with_systemd(context)
    home_id = managed_files.home_id(context.root)
    command = context.daemon
    if context.environment:
        command = ("/usr/bin/env", *(f"{name}={value}" for name, value in context.environment.items()), *command)
    text = fill(
        "desktop/upstash-helper.desktop",
        {
            "VERSION": context.version,
            "DESCRIPTION": quoting.desktop_string(context.description),
            "TRY_EXEC": quoting.desktop_string(context.program[0]),
            "EXEC": quoting.desktop_string(quoting.desktop_exec(command)),
        },
    )
    entry = File(
        path=entry_file(context.config_home, context.profile),
        content=managed_files.with_marker(text, extension=".desktop", home_id=home_id).encode(),
        why="Start the daemon at login.",
    )
    tray_files, notes = _tray(context)
    return Plan(
        manager="xdg-autostart",
        name=context.name,
        home_id=home_id,
        files=(entry, *tray_files, *documents(context)),
        after_install=(
            Command(
                argv=(*context.program, *context.arguments, "start"),
                why="Start the daemon now.",
                when="changed" if context.daemon_running else "always",
            ),
            *_tray_now(context),
        ),
        leftovers=tuple(file.path for file in unit_files(context)),
        links=by_systemd.links,
        other_services=_siblings(context),
        document_patterns=document_patterns(context),
        notes=(
            NO_SYSTEMD_IN_WSL if context.wsl else NO_SYSTEMD,
            *notes,
        ),
    )


def _tray(context: InstallContext) -> tuple[tuple[File, ...], tuple[str, ...]]:
    if context.tray == "unwanted":
        return (), ()
    if context.tray == "missing":
        return (), (TRAY_MISSING,)
    if context.root is not None:
        return (), (TRAY_NEEDS_DEFAULT_HOME,)
    autostart = DesktopAutostart(
        context.config_home / "autostart", tray_name(context.profile), tray_command(context.program, context.profile)
    )
    why = "Show the tray icon at login."
    return (File(path=autostart.file, content=autostart.content().encode(), why=why, kind="tray"),), ()


def _tray_now(context: InstallContext) -> tuple[Command, ...]:
    if context.tray != "wanted" or context.root is not None or not context.display:
        return ()
    return (tray_now(context),)


def tray_now(context: InstallContext) -> Command:
    """Return the command that shows the tray icon now. After an upgrade it replaces the running tray."""
    argv = tuple(tray_command(context.program, context.profile))
    if context.tray_running:
        why = "Replace the running tray icon with this version's."
        return Command(argv=(*argv, "--replace"), why=why, when="changed", waits=False)
    return Command(argv=argv, why="Show the tray icon now.", waits=False)


def _environment(environment: Mapping[str, str]) -> list[str]:
    return [f"Environment={systemd_word(f'{name}={value}')}" for name, value in environment.items()]


def _manager_environment(context: InstallContext) -> dict[str, str]:
    return {} if context.runtime_dir is None else {"XDG_RUNTIME_DIR": str(context.runtime_dir)}


def _siblings(context: InstallContext) -> tuple[tuple[Path, str], ...]:
    return (
        (unit_folder(context.config_home), "upstash-helper*.service"),
        (context.config_home / "autostart", "upstash-helper-daemon*.desktop"),
    )


def _shell(name: str) -> str:
    return name.partition("/")[0].partition("-")[0]
