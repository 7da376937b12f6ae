"""From facts to the plan of their platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upstash_helper.service import executable, linux, macos, windows
from upstash_helper.service.plan import Plan, ServiceError

if TYPE_CHECKING:
    from upstash_helper.service.facts import Facts


def plan(facts: Facts) -> Plan:
    """Return how the helper is installed, and removed, on the machine that the facts are about."""
    match facts.platform:
        case "linux":
            return linux.plan(facts)
        case "darwin":
            return macos.plan(facts)
        case "win32":
            return windows.plan(facts)


def whole_plan(facts: Facts) -> Plan:
    """Return the plan by which everything is removed that any installation with these facts may have written."""
    return plan(replace(facts, tray="wanted"))


def is_outdated(facts: Facts) -> bool:
    """Return whether installing now would write the service anew: another version, port or program."""
    wanted = [file for file in plan(facts).files if file.kind == "service"]
    return any(not file.path.is_file() or file.path.read_bytes() != file.content for file in wanted)


def obstacle(facts: Facts) -> ServiceError | None:
    """Return why the helper must not be installed as things are, and what to do; None if nothing is against it."""
    if facts.superuser:
        return ServiceError(
            "This is the system's administrator. The helper belongs to one user: it opens that user's browser and uses "
            "that user's keyring. Run `upstash-helper install` as that user, without sudo.",
            code="run_as_root",
        )
    if facts.unreachable:
        return ServiceError(
            "The systemd of this machine has no service manager for you at the moment, so nothing could be started. "
            "Log in on the machine itself, or allow one without a login: loginctl enable-linger",
            code="no_user_manager",
        )
    if facts.platform == "win32" and facts.root is not None:
        return ServiceError(
            "A task of Windows has no environment of its own, so UPSTASH_HELPER_HOME cannot be given to it. Use a "
            "profile instead: upstash-helper --profile NAME install",
            code="no_environment",
        )
    return None


def passing_program(facts: Facts) -> ServiceError | None:
    """Return why what runs now will not be there to be run later, and what to do; None if it will."""
    found = executable.obstacle(facts.program)
    return None if found is None else ServiceError(found, code="passing_program")
