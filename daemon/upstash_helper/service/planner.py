"""The plan for the platform of a context, and the reasons not to install."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upstash_helper.service import executable, linux, macos, windows
from upstash_helper.service.plan import Plan, ServiceError
from upstash_helper.system import open_files

if TYPE_CHECKING:
    from upstash_helper.service.context import InstallContext


def plan(context: InstallContext) -> Plan:
    """Return the plan to install and uninstall the helper."""
    match context.platform:
        case "linux":
            return linux.plan(context)
        case "darwin":
            return macos.plan(context)
        case "win32":
            return windows.plan(context)


def whole_plan(context: InstallContext) -> Plan:
    """Return the plan to uninstall everything that any installation with this context may have written."""
    return plan(replace(context, tray="wanted"))


def is_outdated(context: InstallContext) -> bool:
    """Return whether the installed service differs from what install would write: its version, port, or program."""
    files = [file for file in plan(context).files if file.kind == "service"]
    return any(not file.path.is_file() or open_files.read_bytes(file.path) != file.content for file in files)


def install_error(context: InstallContext) -> ServiceError | None:
    """Return the reason why the helper cannot be installed now, with a solution, or None."""
    if context.superuser:
        return ServiceError(
            "The helper cannot be installed as root: it belongs to one user, opens that user's browser, and uses that "
            "user's keyring. Run `upstash-helper install` as that user, without sudo.",
            code="run_as_root",
        )
    if context.unreachable:
        return ServiceError(
            "systemd has no running service manager for your user, so the daemon cannot be started. Log in to this "
            "machine directly, or let the manager run without a login: loginctl enable-linger",
            code="no_user_manager",
        )
    if context.platform == "win32" and context.root is not None:
        return ServiceError(
            "A Windows task cannot have environment variables, so it would not see UPSTASH_HELPER_HOME. Use a profile "
            "instead: upstash-helper --profile NAME install",
            code="no_environment",
        )
    return None


def temporary_program_error(context: InstallContext) -> ServiceError | None:
    """Return an error with a solution if the running program may be deleted later, otherwise None."""
    problem = executable.unsuitable_reason(context.program)
    return None if problem is None else ServiceError(problem, code="passing_program")
