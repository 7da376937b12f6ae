"""What a plan is made from: everything about this machine and this user that it depends on."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from upstash_helper import __version__
from upstash_helper.protocol import discovery
from upstash_helper.service import executable, tray_process
from upstash_helper.service.autostart import config_home, data_home
from upstash_helper.settings.config import Profile, load_profile
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, Folders

_SECONDS: Final = 5.0

Platform = Literal["linux", "darwin", "win32"]

# They tell the daemon where its folders are; a login need not know what a shell was told.
_FOLDERS: Final = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_STATE_HOME": ".local/state",
    "XDG_DATA_HOME": ".local/share",
    "XDG_CACHE_HOME": ".cache",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """About this machine, this user, and the world that is to be installed."""

    platform: Platform
    profile: str
    program: tuple[str, ...]
    """What runs upstash-helper, to be followed by its arguments."""
    folders: Folders
    port: int
    """Where the API is."""
    version: str = __version__
    root: Path | None = None
    """``UPSTASH_HELPER_HOME``."""
    home: Path = field(default_factory=Path.home)
    config_home: Path
    data_home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the service has to be told."""
    runtime_dir: Path | None = None
    """Where the user's service manager has its socket (``XDG_RUNTIME_DIR``)."""
    systemd: bool = False
    """Whether the user's own systemd can be asked."""
    ipv6: bool = True
    """Whether this machine has ``::1``."""
    unreachable: bool = False
    """Whether the machine runs on systemd, but without a manager for this user."""
    superuser: bool = False
    uid: int = 0
    user: str = ""
    """Windows: ``DOMAIN\\name``."""
    tray: Literal["wanted", "unwanted", "missing"] = "wanted"
    """``missing``: its packages are not installed."""
    display: bool = False
    """Whether there is a desktop to show an icon on, now."""
    daemon_running: bool = False
    tray_running: bool = False
    documents: Mapping[str, str] = field(default_factory=dict)
    """Completion scripts and man pages: their paths below ``data_home``."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What names the profile on a command line."""
        return () if self.profile == DEFAULT_PROFILE else ("--profile", self.profile)

    @property
    def daemon(self) -> tuple[str, ...]:
        """The command that a login runs: nobody would read there that another program has the port."""
        return (*self.program, *self.arguments, "run", "--wait-for-port")

    @property
    def name(self) -> str:
        """What the service is called."""
        return "upstash-helper" if self.profile == DEFAULT_PROFILE else f"upstash-helper-{self.profile}"

    @property
    def description(self) -> str:
        """What people see of it."""
        return "upstash-helper" if self.profile == DEFAULT_PROFILE else f"upstash-helper, profile {self.profile}"


def gather(
    profile: str | None,
    *,
    tray: bool = True,
    documents: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Facts:
    """
    Look at this machine.

    Args:
        profile: As ``--profile`` gave it.
        tray: Whether the tray is wanted.
        documents: Completion scripts and man pages: their paths below ``XDG_DATA_HOME``.
        environ: The environment, by default the process's own.

    Raises:
        SettingsError: If a setting cannot be used.
    """
    environ = os.environ if environ is None else environ
    world = lasting_world(profile, environ)
    runtime_dir = _runtime_dir(environ)
    systemd = _systemd(runtime_dir)
    return Facts(
        platform="win32" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux",
        profile=world.profile,
        program=executable.without_console(executable.this_program()),
        folders=world.folders,
        port=world.settings.api_ports[0],
        root=world.root,
        config_home=config_home(environ),
        data_home=data_home(environ),
        environment=_environment(world, environ),
        runtime_dir=runtime_dir,
        systemd=systemd,
        unreachable=_on_systemd() and not systemd,
        superuser=sys.platform != "win32" and os.geteuid() == 0,
        ipv6=_has_ipv6(),
        uid=own_uid(),
        user="\\".join(filter(None, (environ.get("USERDOMAIN"), environ.get("USERNAME")))),
        tray=_tray(wanted=tray),
        display=sys.platform != "linux" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")),
        daemon_running=discovery.is_running(world.folders.runtime),
        tray_running=tray_process.is_running(world.folders.runtime),
        documents=documents or {},
    )


def lasting_world(profile: str | None, environ: Mapping[str, str]) -> Profile:
    """
    Return the world as the service will see it: without the settings that only this terminal's environment has.

    Raises:
        SettingsError: If a setting cannot be used.
    """
    kept = {name: value for name, value in environ.items() if name not in passing(environ)}
    return load_profile(profile=profile, environ=kept)


def passing(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that are settings of this terminal, and which the service will not have."""
    ours = {f"{ENV_PREFIX}HOME", f"{ENV_PREFIX}PROFILE"}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in ours)


def own_uid() -> int:
    """Return this user's number; 0 on Windows, which has none."""
    if sys.platform == "win32":
        return 0
    return os.getuid()


def _environment(world: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    if world.root is not None:
        return {f"{ENV_PREFIX}HOME": str(world.root)}
    if sys.platform != "linux":
        return {}
    home = Path.home()
    return {
        name: environ[name]
        for name, usual in _FOLDERS.items()
        if Path(environ.get(name, "")).is_absolute() and Path(environ[name]) != home / usual
    }


def _runtime_dir(environ: Mapping[str, str]) -> Path | None:
    if sys.platform != "linux":
        return None
    # After `su`, or from cron, the variable is not set though the manager is there.
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def _systemd(runtime_dir: Path | None) -> bool:
    if sys.platform != "linux" or runtime_dir is None or shutil.which("systemctl") is None:
        return False
    # The manager's own socket, which is left behind when it ends. Without a bus, systemctl uses it as well.
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_SECONDS)
        try:
            probe.connect(str(runtime_dir / "systemd" / "private"))
        except OSError:
            return False
    return True


def _on_systemd() -> bool:
    return sys.platform == "linux" and Path("/run/systemd/system").is_dir()  # as in sd_booted(3)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _tray(*, wanted: bool) -> Literal["wanted", "unwanted", "missing"]:
    from importlib.util import find_spec

    if not wanted:
        return "unwanted"
    return "wanted" if all(find_spec(module) for module in ("PIL", "pystray", "pyperclip")) else "missing"
