"""Checks of the installed service and of the user's session."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.cli.doctor.context import own_uid
from upstash_helper.settings.profiles import DEFAULT_PROFILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from upstash_helper.cli.doctor.context import DoctorContext
    from upstash_helper.service.context import Platform
    from upstash_helper.service.control import Installed
    from upstash_helper.service.executor import CommandResult

ASK_SECONDS: Final = 4.0

_NAME: Final = "Service"
_ENABLED: Final = frozenset({"enabled", "enabled-runtime", "generated"})
"""The states in which systemd starts a unit, as in systemctl(1)."""


class _Unit(NamedTuple):
    """systemd's state of a unit."""

    enabled: str
    active: str

    def __str__(self) -> str:
        return f"{self.enabled}, {self.active}"


def service(context: DoctorContext, *, platform: Platform | None = None) -> Iterator[CheckResult]:
    """
    Whether the helper is installed, starts at login, and is running.

    Args:
        context: The settings and the daemon's status.
        platform: The system; by default this one.
    """
    from upstash_helper.service.context import this_platform
    from upstash_helper.service.control import find

    platform = this_platform() if platform is None else platform
    install = f"Install it with: {context.command('install')}"
    profile = context.session.profile
    suffix = "" if profile == DEFAULT_PROFILE else f"-{profile}"
    installed = find(profile, context.folders, platform=platform)
    if installed is not None and installed.manager == "xdg-autostart":
        yield ok(_NAME, f"the desktop starts it at login ({installed.files[0]})")
    elif platform == "linux":
        yield _systemd(f"upstash-helper{suffix}", install)
    elif platform == "darwin":
        yield _launchd(context, installed)
    else:
        yield _scheduled_task(f"upstash-helper{suffix}", install)
    if installed is not None:
        yield from _installation(context, installed, platform)


def _installation(context: DoctorContext, found: Installed, platform: Platform) -> Iterator[CheckResult]:
    """Yield what `install` would change."""
    from upstash_helper.service import planner
    from upstash_helper.service.context import detect_context

    install = context.command("install")
    program = found.program[:1]
    if program and not Path(program[0]).exists():
        yield error(
            _NAME, f"{found.files[0]} starts {program[0]}, which no longer exists", f"Install it again: {install}"
        )
        return
    changed = [str(path) for path in found.changed_files()]
    if changed:
        detail = f"modified since it was installed: {', '.join(changed)}"
        yield warning(_NAME, detail, f"To restore it and keep a copy: {install} --force")
    elif context.profile is not None and planner.is_outdated(
        detect_context(context.session.profile_flag, platform=platform)
    ):
        detail = "the installed service is for another version, port, or program"
        yield warning(_NAME, detail, f"Update it: {install}")


def _systemd(name: str, install: str) -> CheckResult:
    units: dict[str, _Unit] = {}
    for unit in (f"{name}.socket", f"{name}.service"):
        state = _unit(unit)
        if state is None:
            # Containers, and distributions without systemd.
            return ok(_NAME, "there is no systemd for this user, so the helper is started manually or by the desktop")
        if state.enabled != "not-found":
            units[unit] = state
    if not units:
        return warning(_NAME, "not installed: the helper does not start at login", install)
    detail = "; ".join(f"{unit}: {state}" for unit, state in units.items())
    failed = [unit for unit, state in units.items() if state.active == "failed"]
    if failed:
        fix = f"See: journalctl --user -u {failed[0]}; then: systemctl --user restart {failed[0]}"
        return error(_NAME, detail, fix)
    if not any(state.enabled in _ENABLED for state in units.values()):
        fix = f"systemctl --user enable --now {next(iter(units))}"
        return warning(_NAME, f"{detail}: it does not start at login", fix)
    return ok(_NAME, detail)


def _unit(unit: str) -> _Unit | None:
    """Return a user unit's state; None if there is no systemd."""
    enabled = _systemctl("is-enabled", unit)
    if enabled is None:
        return None
    return _Unit(enabled, _systemctl("is-active", unit) or "unknown")


def _systemctl(verb: str, unit: str) -> str | None:
    from upstash_helper.cli.doctor import subprocesses

    try:
        result = subprocesses.run(("systemctl", "--user", verb, unit), seconds=ASK_SECONDS)
    except OSError:
        return None
    state = result.out.strip()
    if state:
        return state
    # stdout is empty for a unit that does not exist (before systemd 253), and without a manager.
    return "not-found" if "No such file" in result.err or "not-found" in result.err else None


def _launchd(context: DoctorContext, installed: Installed | None) -> CheckResult:
    from upstash_helper.service import launchd

    install = context.command("install")
    if installed is None:
        return warning(_NAME, "not installed: the helper does not start at login", f"Install it with: {install}")
    state = launchd.state(own_uid(), installed.name, _ask)
    problem = launchd.explain(state, install=install, start=context.command("start"))
    if problem is not None:
        return warning(_NAME, f"{installed.name}: {problem.detail}", problem.fix)
    if state == "unknown":
        return ok(_NAME, f"{installed.name}: installed; launchd does not respond, so its state is unknown")
    return ok(_NAME, f"{installed.name}: {state}")


def _ask(argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:  # noqa: ARG001 - the signature of a runner
    """Run a command that only reads, with a time limit (a ``CommandRunner``)."""
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.service.executor import CommandResult

    try:
        result = subprocesses.run(argv, seconds=ASK_SECONDS)
    except OSError as error:
        return CommandResult(127, str(error.strerror))
    return CommandResult(124 if result.code is None else result.code, result.out)


def _scheduled_task(name: str, install: str) -> CheckResult:
    from upstash_helper.cli.doctor import subprocesses

    try:
        # Not its output: it is in the user's language, and in the console's encoding.
        result = subprocesses.run(("schtasks", "/Query", "/TN", name), seconds=ASK_SECONDS)
    except OSError:
        return ok(_NAME, "Task Scheduler is not available")
    if result.code is None:
        return warning(_NAME, f"Task Scheduler did not respond within {ASK_SECONDS:g} s", "Run doctor again.")
    if result.code != 0:
        return warning(_NAME, "not installed: the helper does not start at login", install)
    return ok(_NAME, f"the task {name} starts it at login")


def session(_: DoctorContext) -> Iterator[CheckResult]:
    """Whether the session has a runtime folder, and whether services outlive it."""
    if sys.platform != "linux":
        return
    name = "Session"
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder:
        yield ok(name, f"the variable XDG_RUNTIME_DIR is not set (the helper does not need it); {_linger()}")
        return
    # The name is not the first word: in a report, such a word after "Session:" would be redacted as a secret.
    shown = f"the variable XDG_RUNTIME_DIR is {folder}"
    try:
        found = Path(folder).stat()
    except OSError as problem:
        fix = "Log out and in again, or unset XDG_RUNTIME_DIR (su and sudo may have kept another user's)."
        yield error(name, f"{shown}, which cannot be used: {problem.strerror}", fix)
        return
    if found.st_uid != own_uid():
        fix = "Log in as yourself, or unset XDG_RUNTIME_DIR (su and sudo may have kept another user's)."
        yield error(name, f"{shown}, which is owned by the user with ID {found.st_uid}", fix)
    elif stat.S_IMODE(found.st_mode) & 0o077:
        # XDG Base Directory Specification: its access mode must be 0700.
        mode = stat.S_IMODE(found.st_mode)
        yield warning(name, f"{shown} with mode {mode:04o}, accessible to other users", f"chmod 700 {folder}")
    else:
        yield ok(name, f"{shown}; {_linger()}")


def _linger() -> str:
    """Return whether the user's services keep running after logout, which ``loginctl enable-linger`` sets."""
    import getpass

    try:
        lingers = Path("/var/lib/systemd/linger", getpass.getuser()).exists()
    except (OSError, KeyError):
        lingers = False
    return (
        "services keep running after you log out (linger)" if lingers else "services stop when you log out (no linger)"
    )
