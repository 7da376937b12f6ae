"""The context of an installation: everything about the machine, the user, and the profile that a plan depends on."""

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
from upstash_helper.service import executable, launchd, tray_process
from upstash_helper.service.autostart import config_home, data_home, own_uid
from upstash_helper.service.executor import CommandRunner, run
from upstash_helper.settings.config import Profile, load_profile
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, Folders, home_folder
from upstash_helper.system.wsl import is_wsl

_CONNECT_SECONDS: Final = 5.0

Platform = Literal["linux", "darwin", "win32"]

# They determine the daemon's folders, and may be set in this terminal but not at login.
_XDG_DEFAULTS: Final = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_STATE_HOME": ".local/state",
    "XDG_DATA_HOME": ".local/share",
    "XDG_CACHE_HOME": ".cache",
}


@dataclass(frozen=True, kw_only=True)
class InstallContext:
    """Everything about the machine, the user, and the profile that a plan depends on."""

    platform: Platform
    profile: str
    program: tuple[str, ...]
    """The command that runs upstash-helper, without arguments."""
    folders: Folders
    port: int
    """The port of the API."""
    version: str = __version__
    root: Path | None = None
    """``UPSTASH_HELPER_HOME``."""
    home: Path = field(default_factory=home_folder)
    config_home: Path
    data_home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the service needs."""
    runtime_dir: Path | None = None
    """The folder of the user manager's socket (``XDG_RUNTIME_DIR``)."""
    systemd: bool = False
    """Whether the user's systemd manager is reachable."""
    ipv6: bool = True
    """Whether this machine has the address ``::1``."""
    wsl: bool = False
    """Whether this is the Windows Subsystem for Linux, which usually has no desktop that starts anything."""
    unreachable: bool = False
    """Whether the machine runs systemd, but the user's manager is not reachable."""
    superuser: bool = False
    uid: int = 0
    user: str = ""
    """Windows: ``DOMAIN\\name``."""
    tray: Literal["wanted", "unwanted", "missing"] = "wanted"
    """``missing``: its packages are not installed."""
    display: bool = False
    """Whether an icon can be shown on a desktop now. On macOS, the daemon also starts only on a desktop."""
    turned_off: frozenset[str] = frozenset()
    """macOS: the labels of agents that launchd does not start, because the user turned them off."""
    daemon_running: bool = False
    tray_running: bool = False
    documents: Mapping[str, str] = field(default_factory=dict)
    """The texts of completion scripts and man pages, by their paths relative to ``data_home``."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that select the profile."""
        return () if self.profile == DEFAULT_PROFILE else ("--profile", self.profile)

    @property
    def daemon(self) -> tuple[str, ...]:
        """The command that starts the daemon at login. It waits for its port: nobody would see an error there."""
        return (*self.program, *self.arguments, "run", "--wait-for-port")

    @property
    def name(self) -> str:
        """The service's name."""
        return "upstash-helper" if self.profile == DEFAULT_PROFILE else f"upstash-helper-{self.profile}"

    @property
    def description(self) -> str:
        """The service's name for people."""
        return "upstash-helper" if self.profile == DEFAULT_PROFILE else f"upstash-helper, profile {self.profile}"


def detect_context(
    profile: str | None,
    *,
    tray: bool = True,
    documents: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    platform: Platform | None = None,
    runner: CommandRunner = run,
) -> InstallContext:
    """
    Detect the context on this machine.

    Args:
        profile: The value of ``--profile``.
        tray: Whether the tray should be installed.
        documents: The texts of completion scripts and man pages, by their paths relative to ``XDG_DATA_HOME``.
        environ: The environment; by default that of this process.
        platform: The system; by default this one.
        runner: Runs commands of the service manager.

    Raises:
        SettingsError: If a setting is invalid.
    """
    environ = os.environ if environ is None else environ
    platform = this_platform() if platform is None else platform
    target = service_profile(profile, environ)
    runtime_dir = _runtime_dir(environ, platform)
    systemd = _is_systemd_reachable(runtime_dir)
    uid = own_uid()
    return InstallContext(
        platform=platform,
        profile=target.name,
        program=executable.without_console(executable.this_program()),
        folders=target.folders,
        port=target.settings.api_ports[0],
        root=target.root,
        config_home=config_home(environ),
        data_home=data_home(environ),
        environment=lasting_environment(target, environ, platform),
        runtime_dir=runtime_dir,
        systemd=systemd,
        wsl=is_wsl(environ),
        unreachable=platform == "linux" and _is_systemd_booted() and not systemd,
        superuser=sys.platform != "win32" and os.geteuid() == 0,
        ipv6=_has_ipv6(),
        uid=uid,
        user="\\".join(filter(None, (environ.get("USERDOMAIN"), environ.get("USERNAME")))),
        tray=_tray_state(wanted=tray),
        display=_has_display(environ, platform, uid, runner),
        turned_off=(launchd.disabled(uid, runner) or frozenset()) if platform == "darwin" else frozenset(),
        daemon_running=discovery.is_running(target.folders.runtime),
        tray_running=tray_process.is_running(*target.folders.tray_runtimes),
        documents=documents or {},
    )


def this_platform() -> Platform:
    """Return this system. Unix systems without a service manager of their own are treated like Linux."""
    return "win32" if sys.platform == "win32" else "darwin" if sys.platform == "darwin" else "linux"


def service_profile(profile: str | None, environ: Mapping[str, str]) -> Profile:
    """
    Return the profile as the service will see it: without settings in this terminal's environment.

    Raises:
        SettingsError: If a setting is invalid.
    """
    lasting = {name: value for name, value in environ.items() if name not in transient_settings(environ)}
    return load_profile(profile=profile, environ=lasting)


def transient_settings(environ: Mapping[str, str]) -> list[str]:
    """Return the names of settings in this terminal's environment, which the service will not have."""
    lasting = {f"{ENV_PREFIX}HOME", f"{ENV_PREFIX}PROFILE"}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in lasting)


def _has_display(environ: Mapping[str, str], platform: Platform, uid: int, runner: CommandRunner) -> bool:
    if platform == "darwin":
        return launchd.has_desktop_session(uid, runner)
    return platform == "win32" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def lasting_environment(profile: Profile, environ: Mapping[str, str], platform: Platform) -> dict[str, str]:
    """Return the variables that determine the profile's folders, which programs started at login may lack."""
    if profile.root is not None:
        return {f"{ENV_PREFIX}HOME": str(profile.root)}
    if platform != "linux":
        return {}
    home = home_folder()
    return {
        name: environ[name]
        for name, default in _XDG_DEFAULTS.items()
        if Path(environ.get(name, "")).is_absolute() and Path(environ[name]) != home / default
    }


def _runtime_dir(environ: Mapping[str, str], platform: Platform) -> Path | None:
    if sys.platform == "win32" or platform != "linux":
        return None
    # After `su`, or in a cron job, the variable is not set although the manager runs.
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def _is_systemd_reachable(runtime_dir: Path | None) -> bool:
    if sys.platform == "win32" or runtime_dir is None or shutil.which("systemctl") is None:
        return False
    # The manager's private socket, which systemctl uses if there is no bus. It still exists after the manager exits.
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(runtime_dir / "systemd" / "private"))
        except OSError:
            return False
    return True


def _is_systemd_booted() -> bool:
    return sys.platform == "linux" and Path("/run/systemd/system").is_dir()  # as in sd_booted(3)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _tray_state(*, wanted: bool) -> Literal["wanted", "unwanted", "missing"]:
    from importlib.util import find_spec

    if not wanted:
        return "unwanted"
    return "wanted" if all(find_spec(module) for module in ("PIL", "pystray", "pyperclip")) else "missing"
