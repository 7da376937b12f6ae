"""The checks of how the helper is started: by which service, and what the session gives it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.cli.doctor.check import Finding, error, ok, warning
from upstash_helper.cli.doctor.context import own_uid
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import Facts
    from upstash_helper.service.control import Installed

ASK_SECONDS: Final = 4.0

_NAME: Final = "Service"
_BY_ITSELF: Final = frozenset({"enabled", "enabled-runtime", "generated"})
"""What systemctl(1) calls the units that it starts."""


class _Unit(NamedTuple):
    """What systemd says of a unit."""

    enabled: str
    active: str

    def __str__(self) -> str:
        return f"{self.enabled}, {self.active}"


def service(facts: Facts) -> Iterator[Finding]:
    """Whether the helper starts by itself: installed, enabled, running."""
    from upstash_helper.service.control import find

    install = f"To have it start by itself: {facts.command('install')}"
    profile = facts.session.profile
    of_profile = "" if profile == DEFAULT_PROFILE else f"-{profile}"
    installed = find(profile, facts.folders)
    if installed is not None and installed.manager == "xdg-autostart":
        yield ok(_NAME, f"the desktop starts it at login ({installed.files[0]})")
    elif sys.platform == "linux":
        yield _systemd(f"upstash-helper{of_profile}", install)
    elif sys.platform == "darwin":
        yield _launchd(f"io.upstash-helper.daemon{of_profile}", install)
    else:
        yield ok(_NAME, "not looked at: this system has no service manager that could be asked as a user")
    if installed is not None:
        yield from _as_installed(facts, installed)


def _as_installed(facts: Facts, found: Installed) -> Iterator[Finding]:
    """What is not as an installation today would make it."""
    from upstash_helper.service import planner
    from upstash_helper.service.context import detect_context

    install = facts.command("install")
    program = found.program[:1]
    if program and not Path(program[0]).exists():
        yield error(_NAME, f"{found.files[0]} starts {program[0]}, which has gone", f"Install it anew: {install}")
        return
    changed = [str(path) for path in found.changed_files()]
    if changed:
        detail = f"changed by hand since it was installed: {', '.join(changed)}"
        yield warning(_NAME, detail, f"To have it as it was, with a copy kept: {install} --force")
    elif facts.world is not None and planner.is_outdated(detect_context(facts.session.profile_flag)):
        detail = "what starts at login is of another version, port or program than this command's"
        yield warning(_NAME, detail, f"Bring it up to date: {install}")


def _systemd(name: str, install: str) -> Finding:
    there: dict[str, _Unit] = {}
    for unit in (f"{name}.socket", f"{name}.service"):
        state = _unit(unit)
        if state is None:
            # Containers, and distributions without systemd.
            return ok(_NAME, "no systemd of this user answers here, so the helper is started by hand or by the desktop")
        if state.enabled != "not-found":
            there[unit] = state
    if not there:
        return warning(_NAME, "not installed: the helper does not start by itself", install)
    detail = "; ".join(f"{unit}: {state}" for unit, state in there.items())
    failed = [unit for unit, state in there.items() if state.active == "failed"]
    if failed:
        fix = f"Look why: journalctl --user -u {failed[0]}; then: systemctl --user restart {failed[0]}"
        return error(_NAME, detail, fix)
    if not any(state.enabled in _BY_ITSELF for state in there.values()):
        fix = f"systemctl --user enable --now {next(iter(there))}"
        return warning(_NAME, f"{detail}: it does not start by itself", fix)
    return ok(_NAME, detail)


def _unit(unit: str) -> _Unit | None:
    """Return how a unit of the user's is; None if there is no systemd to ask."""
    enabled = _systemctl("is-enabled", unit)
    if enabled is None:
        return None
    return _Unit(enabled, _systemctl("is-active", unit) or "unknown")


def _systemctl(verb: str, unit: str) -> str | None:
    from upstash_helper.cli.doctor import subprocesses

    try:
        ended = subprocesses.run(("systemctl", "--user", verb, unit), seconds=ASK_SECONDS)
    except OSError:
        return None
    word = ended.out.strip()
    if word:
        return word
    # It says nothing on stdout of a unit that does not exist (before systemd 253), nor without a manager.
    return "not-found" if "No such file" in ended.err or "not-found" in ended.err else None


def _launchd(label: str, install: str) -> Finding:
    from upstash_helper.cli.doctor import subprocesses

    try:
        ended = subprocesses.run(("/bin/launchctl", "print", f"gui/{own_uid()}/{label}"), seconds=ASK_SECONDS)
    except OSError:
        return ok(_NAME, "launchd cannot be asked here")
    if ended.code != 0:
        return warning(_NAME, "not installed: the helper does not start by itself", install)
    states = [line.strip() for line in ended.out.splitlines() if line.strip().startswith("state = ")]
    return ok(_NAME, f"{label}: {states[0] if states else 'loaded'}")


def session(_: Facts) -> Iterator[Finding]:
    """What the session gives: a runtime folder, and whether programs outlive it."""
    if sys.platform != "linux":
        return
    name = "Session"
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder:
        yield ok(name, f"no XDG_RUNTIME_DIR, so the runtime files are with the state; {_linger()}")
        return
    try:
        found = Path(folder).stat()
    except OSError as problem:
        fix = "Log in anew, or unset XDG_RUNTIME_DIR (su and sudo may have kept another user's)."
        yield error(name, f"XDG_RUNTIME_DIR is {folder}, which cannot be used: {problem.strerror}", fix)
        return
    if found.st_uid != own_uid():
        fix = "Log in as yourself, or unset XDG_RUNTIME_DIR (su and sudo may have kept another user's)."
        yield error(name, f"XDG_RUNTIME_DIR is {folder}, which belongs to the user with id {found.st_uid}", fix)
    elif stat.S_IMODE(found.st_mode) & 0o077:
        # XDG Base Directory Specification: its access mode must be 0700.
        mode = stat.S_IMODE(found.st_mode)
        yield warning(name, f"XDG_RUNTIME_DIR is {folder} with mode {mode:04o}, open to others", f"chmod 700 {folder}")
    else:
        yield ok(name, f"XDG_RUNTIME_DIR is {folder}; {_linger()}")


def _linger() -> str:
    """Return whether the user's services go on after the last logout, as ``loginctl enable-linger`` decides."""
    import getpass

    try:
        lingers = Path("/var/lib/systemd/linger", getpass.getuser()).exists()
    except (OSError, KeyError):
        lingers = False
    return "services go on after you log out (linger)" if lingers else "services end when you log out (no linger)"
