"""Linux: units of the user's own systemd, and an autostart entry of the desktop where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.service import managed_files, templating
from upstash_helper.service.autostart import DesktopAutostart, tray_command, tray_name
from upstash_helper.service.plan import Command, File, Plan
from upstash_helper.service.templating import fill, systemd_command, systemd_text, systemd_word
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from upstash_helper.service.facts import Facts

SYSTEMCTL: Final = ("systemctl", "--user")
TRAY_MISSING: Final = (
    "The tray icon is left out: its packages are not installed. Install 'upstash-helper[tray]', then run install again."
)
NO_SYSTEMD: Final = (
    "There is no systemd for this user here: the daemon starts with the desktop, not with the first request, and "
    "nothing starts it again after a crash."
)
TRAY_ELSEWHERE: Final = "The tray icon is left out: with UPSTASH_HELPER_HOME, start it by hand."

_DOCUMENTS: Final = (
    ("bash-completion/completions", "upstash-helper"),
    ("zsh/site-functions", "_upstash-helper"),
    ("fish/vendor_completions.d", "upstash-helper.fish"),
    ("man/man1", "upstash-helper*.1"),
)


def plan(facts: Facts) -> Plan:
    """Return how the helper is installed on a Linux."""
    return _with_systemd(facts) if facts.systemd else _with_autostart(facts)


def documents(facts: Facts) -> tuple[File, ...]:
    """Return the completion scripts and man pages."""
    files = []
    for name, text in sorted(facts.documents.items()):
        path = facts.data_home / name
        why = "A man page." if path.suffix == ".1" else f"Tab completion for {_shell(name)}."
        content = managed_files.marked(text, ending=path.suffix, world=managed_files.USUAL).encode()
        files.append(File(path=path, content=content, why=why, kind="document"))
    return tuple(files)


def document_patterns(facts: Facts) -> tuple[tuple[Path, str], ...]:
    """Return where documents of this or another version may be."""
    return tuple((facts.data_home / folder, pattern) for folder, pattern in _DOCUMENTS)


def unit_folder(config_home: Path) -> Path:
    """Return where a user's own units are (systemd.unit(5))."""
    return config_home / "systemd" / "user"


def entry_file(config_home: Path, profile: str) -> Path:
    """Return the entry that starts the daemon of a profile where there is no systemd."""
    # Not the service's name: that of the profile "tray" is the tray's.
    name = "upstash-helper-daemon" if profile == DEFAULT_PROFILE else f"upstash-helper-daemon-{profile}"
    return config_home / "autostart" / f"{name}.desktop"


def unit_files(facts: Facts) -> tuple[File, File]:
    """Return the socket and the service."""
    values = {"NAME": facts.name, "DESCRIPTION": systemd_text(facts.description), "PORT": str(facts.port)}
    socket = fill(
        "systemd/upstash-helper.socket",
        values,
        lines={"LISTEN_IPV6": [f"ListenStream=[::1]:{facts.port}"] if facts.ipv6 else []},
    )
    values["VERSION"] = facts.version
    values["EXEC_START"] = systemd_command(facts.daemon)
    service = fill("systemd/upstash-helper.service", values, lines={"ENVIRONMENT": _environment(facts.environment)})
    folder, world = unit_folder(facts.config_home), managed_files.world_name(facts.root)
    return (
        File(
            path=folder / f"{facts.name}.socket",
            content=managed_files.marked(socket, ending=".socket", world=world).encode(),
            why=f"systemd holds port {facts.port} and starts the daemon with the first request.",
        ),
        File(
            path=folder / f"{facts.name}.service",
            content=managed_files.marked(service, ending=".service", world=world).encode(),
            why="How the daemon is started, and started anew after a crash.",
        ),
    )


def _with_systemd(facts: Facts) -> Plan:
    socket, service = f"{facts.name}.socket", f"{facts.name}.service"
    units = unit_folder(facts.config_home)
    tray_files, notes = _tray(facts)
    return Plan(
        manager="systemd",
        name=facts.name,
        world=managed_files.world_name(facts.root),
        files=(*unit_files(facts), *tray_files, *documents(facts)),
        before=(
            Command(
                argv=(*SYSTEMCTL, "stop", socket, service),
                why="What ran before is stopped, for its units change.",
                may_fail=True,
            ),
        ),
        after=(
            Command(argv=(*SYSTEMCTL, "daemon-reload"), why="systemd reads the units.", when="changed"),
            Command(
                argv=(*SYSTEMCTL, "enable", socket),
                why="The port is held from each login on.",
                unless=(*SYSTEMCTL, "is-enabled", "--quiet", socket),
            ),
            Command(
                argv=(*SYSTEMCTL, "enable", service),
                why="The daemon starts with the desktop.",
                unless=(*SYSTEMCTL, "is-enabled", "--quiet", service),
            ),
            Command(
                argv=(*SYSTEMCTL, "reset-failed", socket, service),
                why="Failures of before do not count.",
                when="changed",
                may_fail=True,
            ),
            Command(
                # It wants its socket, which comes first. If another program has the port, it starts without, and
                # waits.
                argv=(*SYSTEMCTL, "start", service),
                why="It starts now: nobody has to log out first.",
                when="changed",
                # It ends with 0 if either is active: a daemon that was idle may have left.
                unless=(*SYSTEMCTL, "is-active", "--quiet", socket, service),
            ),
            *_tray_now(facts),
        ),
        leaving=(
            Command(
                argv=(*SYSTEMCTL, "disable", "--now", socket, service),
                why="The daemon is stopped, and no longer starts at login.",
                may_fail=True,
            ),
        )
        if facts.systemd
        else (),
        left=(
            Command(argv=(*SYSTEMCTL, "daemon-reload"), why="systemd forgets the units.", may_fail=True),
            Command(
                argv=(*SYSTEMCTL, "reset-failed", socket, service),
                why="And that they ever failed.",
                may_fail=True,
            ),
        )
        if facts.systemd
        else (),
        leftovers=(entry_file(facts.config_home, facts.profile),),
        links=(
            units / "sockets.target.wants" / socket,
            units / "graphical-session.target.wants" / service,
        ),
        siblings=_siblings(facts),
        document_patterns=document_patterns(facts),
        environment=_manager_environment(facts),
        notes=notes,
    )


def _with_autostart(facts: Facts) -> Plan:
    # Its manager cannot be asked, so its units are only files here.
    by_systemd = _with_systemd(facts)
    world = managed_files.world_name(facts.root)
    command = facts.daemon
    if facts.environment:
        command = ("/usr/bin/env", *(f"{name}={value}" for name, value in facts.environment.items()), *command)
    text = fill(
        "desktop/upstash-helper.desktop",
        {
            "VERSION": facts.version,
            "DESCRIPTION": templating.string(facts.description),
            "TRY_EXEC": templating.string(facts.program[0]),
            "EXEC": templating.string(templating.exec_value(command)),
        },
    )
    entry = File(
        path=entry_file(facts.config_home, facts.profile),
        content=managed_files.marked(text, ending=".desktop", world=world).encode(),
        why="The desktop starts the daemon at login.",
    )
    tray_files, notes = _tray(facts)
    return Plan(
        manager="xdg-autostart",
        name=facts.name,
        world=world,
        files=(entry, *tray_files, *documents(facts)),
        after=(
            Command(
                argv=(*facts.program, *facts.arguments, "start"),
                why="It starts now: nobody has to log out first.",
                when="changed" if facts.daemon_running else "always",
            ),
            *_tray_now(facts),
        ),
        leftovers=tuple(file.path for file in unit_files(facts)),
        links=by_systemd.links,
        siblings=_siblings(facts),
        document_patterns=document_patterns(facts),
        notes=(
            NO_SYSTEMD,
            *notes,
        ),
    )


def _tray(facts: Facts) -> tuple[tuple[File, ...], tuple[str, ...]]:
    if facts.tray == "unwanted":
        return (), ()
    if facts.tray == "missing":
        return (), (TRAY_MISSING,)
    if facts.root is not None:
        return (), (TRAY_ELSEWHERE,)
    autostart = DesktopAutostart(
        facts.config_home / "autostart", tray_name(facts.profile), tray_command(facts.program, facts.profile)
    )
    why = "The desktop shows the icon at login."
    return (File(path=autostart.file, content=autostart.content().encode(), why=why, kind="tray"),), ()


def _tray_now(facts: Facts) -> tuple[Command, ...]:
    if facts.tray != "wanted" or facts.root is not None or not facts.display:
        return ()
    return (tray_now(facts),)


def tray_now(facts: Facts) -> Command:
    """Return what shows the icon without a login: one that is there already makes room if this is an upgrade."""
    argv = tuple(tray_command(facts.program, facts.profile))
    if facts.tray_running:
        why = "The icon is of this version from now on."
        return Command(argv=(*argv, "--replace"), why=why, when="changed", waits=False)
    return Command(argv=argv, why="The icon is shown now.", waits=False)


def _environment(environment: Mapping[str, str]) -> list[str]:
    return [f"Environment={systemd_word(f'{name}={value}')}" for name, value in environment.items()]


def _manager_environment(facts: Facts) -> dict[str, str]:
    return {} if facts.runtime_dir is None else {"XDG_RUNTIME_DIR": str(facts.runtime_dir)}


def _siblings(facts: Facts) -> tuple[tuple[Path, str], ...]:
    return (
        (unit_folder(facts.config_home), "upstash-helper*.service"),
        (facts.config_home / "autostart", "upstash-helper-daemon*.desktop"),
    )


def _shell(name: str) -> str:
    return name.partition("/")[0].partition("-")[0]
