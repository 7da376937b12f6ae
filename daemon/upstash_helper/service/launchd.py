"""
launchd: its commands, how long to wait for them, and what it reports about an agent.

launchctl(1) documents the commands, and says that the output of ``print`` may change with any release. So decisions are
based on exit codes, and on ``print-disabled``, which has no other form. The codes are those of `launchctl error`:

====  ==================================================================================================
code  meaning
====  ==================================================================================================
3     bootout: no such process; the agent is not loaded
5     bootstrap: input/output error. Mostly the agent is still being unloaded: ``bootout`` returns before that has
      happened, and launchd may take some seconds after SIGTERM. Also if launchd refuses the agent
37    bootstrap, kickstart: operation already in progress
112   there is no such domain
113   print, kickstart: there is no such service in the domain
119   bootstrap: the service is disabled
125   the domain does not support this: the user is not logged in to the desktop, as over SSH
133   the agent's ``LimitLoadToSessionType`` excludes this session
====  ==================================================================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from upstash_helper.service.plan import Command

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.executor import CommandRunner

BUSY_CODES: Final = frozenset({5, 37})
"""``bootstrap`` fails with these while the agent is still being unloaded."""
IN_PROGRESS: Final = 37

LOGIN_ITEMS: Final = "System Settings > General > Login Items & Extensions"
_ALLOW: Final = (
    f"check {LOGIN_ITEMS}: it must be allowed in the background, where it may be listed under the name of its Python"
)
NO_DESKTOP: Final = "You are not logged in to this Mac's desktop, so launchd cannot start it (for example over SSH)."

_REFUSED: Final = f"If this happens again, {_ALLOW}. Then log out and in, and run install again."
ADVICE: Final = {
    5: _REFUSED,
    37: _REFUSED,
    112: f"{NO_DESKTOP} Log in there, then try again.",
    119: f"It was turned off. Run install again, and {_ALLOW}.",
    125: f"{NO_DESKTOP} Log in there, then try again.",
    133: f"{NO_DESKTOP} Log in there, then try again.",
}
"""What to do if ``bootstrap`` fails with these codes."""

_DISABLED: Final = re.compile(r'^\s*"([^"]+)" => (?:disabled|true)\s*$', re.MULTILINE)
"""A line of ``print-disabled``: since macOS 13 ``=> disabled``, and before ``=> true``."""

State = Literal["loaded", "not loaded", "turned off", "no desktop session", "unknown"]


def domain(uid: int) -> str:
    """Return the domain of a user's desktop session, which exists while the user is logged in there."""
    return f"gui/{uid}"


def show(service: str) -> tuple[str, ...]:
    """Return the command that exits with 0 if a service (or domain) exists."""
    return ("launchctl", "print", service)


def unload(service: str, why: str) -> Command:
    """Return the command that stops a service, and is done when launchd has forgotten it."""
    return Command(argv=("launchctl", "bootout", service), why=why, may_fail=True, until_fails=show(service))


def load(uid: int, label: str, file: Path, *, why: str, changed_only: bool = False) -> Command:
    """
    Return the command that loads an agent, which starts it.

    Args:
        uid: The user.
        label: The agent's label.
        file: Its property list.
        why: The reason, for the user.
        changed_only: Load it again if a file of the service has changed, also if it is loaded.
    """
    return Command(
        argv=("launchctl", "bootstrap", domain(uid), str(file)),
        why=why,
        when="changed" if changed_only else "always",
        unless=show(f"{domain(uid)}/{label}"),
        retry_codes=BUSY_CODES,
        advice=ADVICE,
    )


def enable(uid: int, label: str, why: str, *, changed_only: bool = False) -> Command:
    """Return the command that undoes ``launchctl disable``. Without it, ``bootstrap`` fails."""
    argv = ("launchctl", "enable", f"{domain(uid)}/{label}")
    return Command(argv=argv, why=why, when="changed" if changed_only else "always", may_fail=True)


def has_desktop_session(uid: int, runner: CommandRunner) -> bool:
    """Return whether the user is logged in to the desktop, so that launchd has a domain for the agents."""
    return runner(show(domain(uid)), environment={}).code == 0


def disabled(uid: int, runner: CommandRunner) -> frozenset[str] | None:
    """Return the labels that are turned off for the user; None if launchd does not answer."""
    # The domain of the user, which also exists without a desktop session. Both have the same list.
    result = runner(("launchctl", "print-disabled", f"user/{uid}"), environment={})
    return None if result.code else frozenset(_DISABLED.findall(result.output))


def state(uid: int, label: str, runner: CommandRunner) -> State:
    """Return an agent's state."""
    labels = disabled(uid, runner)
    if labels is None:
        return "unknown"
    if label in labels:
        return "turned off"
    if runner(show(f"{domain(uid)}/{label}"), environment={}).code == 0:
        return "loaded"
    return "not loaded" if has_desktop_session(uid, runner) else "no desktop session"


class Explanation(NamedTuple):
    """What a state of an installed agent means for the user."""

    detail: str
    fix: str


def explain(found: State, *, install: str, start: str) -> Explanation | None:
    """
    Return what a state means, and how to fix it; None if there is nothing to fix.

    Args:
        found: The state of an installed agent.
        install: The command that installs the helper.
        start: The command that starts the daemon.
    """
    match found:
        case "turned off":
            return Explanation("it is turned off, so it does not start at login", f"Run {install}, and {_ALLOW}.")
        case "not loaded":
            return Explanation(
                "launchd has not loaded it, so it does not start at login", f"Run {install}. If that fails, {_ALLOW}."
            )
        case "no desktop session":
            return Explanation(
                "you are not logged in to this Mac's desktop; launchd starts it when you log in there",
                f"Until then, start the daemon with: {start}",
            )
        case _:
            return None
