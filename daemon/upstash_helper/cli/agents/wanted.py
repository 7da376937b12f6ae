"""What agents are configured to use: the address of this profile's daemon, or this installation's command."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.agents.catalog import Computer, Target, Transport
from upstash_helper.cli.agents.changes import Wanted
from upstash_helper.service import executable
from upstash_helper.service.context import lasting_environment, service_profile, this_platform
from upstash_helper.settings.profiles import DEFAULT_PROFILE, home_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER: Final = "upstash"
"""The name of the entry for the default profile."""
_PROGRAM: Final = "upstash-helper"


def this_computer() -> Computer:
    """
    Return this computer.

    Raises:
        HomeUnknown: If the user has no home folder.
    """
    return Computer(platform=this_platform(), home=home_folder(), environ=os.environ)


def server_name(profile: str) -> str:
    """Return the name of the entry for a profile."""
    return SERVER if profile == DEFAULT_PROFILE else f"{SERVER}-{profile}"


def wanted(profile_flag: str | None, environ: Mapping[str, str]) -> Wanted:
    """
    Return what agents should use for a profile, without settings that are only in this terminal's environment.

    With ``port_policy = "on-demand"`` and no ``api_port``, the daemon has no fixed address.

    Raises:
        SettingsError: If a setting is invalid.
    """
    profile = service_profile(profile_flag, environ)
    flags = () if profile.name == DEFAULT_PROFILE else ("--profile", profile.name)
    environment = lasting_environment(profile, environ, this_platform())
    command, *others = (
        Target(command=(*program, *flags, "mcp"), environment=environment) for program in programs(environ)
    )
    targets: dict[Transport, Target] = {}
    ports = profile.settings.api_ports
    if len(ports) == 1:
        # Not 127.0.0.1: localhost is the name in the daemon's OAuth resource and issuer.
        targets["http"] = Target(url=f"http://localhost:{ports[0]}/mcp")
    targets["stdio"] = command
    return Wanted(server=server_name(profile.name), targets=targets, equivalent=others)


def programs(environ: Mapping[str, str]) -> list[tuple[str, ...]]:
    """
    Return the commands that run this installation. The first one is the most likely to work after an upgrade.

    The launcher on the PATH keeps its place, while package managers such as Homebrew have a folder for each version. It
    is used if it belongs to the Python that is running.
    """
    program = executable.this_program()
    if program[1:] != ("-P", "-m", "upstash_helper"):
        return [program]
    scripts = Path(sys.executable).absolute().parent
    on_path, in_scripts = (
        _launcher(shutil.which(_PROGRAM, path=path), scripts) for path in (environ.get("PATH", ""), str(scripts))
    )
    return list(dict.fromkeys((*on_path, program, *in_scripts)))


def _launcher(found: str | None, scripts: Path) -> list[tuple[str, ...]]:
    """Return the command of a launcher, if it belongs to the Python whose programs are in ``scripts``."""
    if found is None or str(Path(os.path.realpath(found)).parent) != os.path.realpath(scripts):
        return []
    return [(str(Path(found).absolute()),)]
