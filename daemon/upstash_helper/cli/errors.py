"""From what went wrong to a sentence on stderr and an exit code. A user's mistake never shows a traceback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from upstash_helper.protocol.errors import ClientError


class Failure(Exception):
    """A command cannot do its job."""

    def __init__(self, detail: str, *, code: str, exit_code: int = exit_codes.FAILURE) -> None:
        """
        Args:
            detail: What happened and what to do.
            code: Stable, for programs that read ``--json``.
            exit_code: One of ``exit_codes``.
        """
        super().__init__(detail)
        self.code = code
        self.exit_code = exit_code


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A failure in the form in which it is shown."""

    text: str
    exit_code: int
    problem: Mapping[str, object]


def tell(told: Told, *, as_json: bool) -> None:
    """Show a failure on stderr; as problem details (RFC 9457) where the command was asked for JSON."""
    if as_json:
        click.echo(msgspec.json.encode(told.problem).decode(), err=True)
    elif told.text:
        click.echo(told.text, err=True)


def explained(error: BaseException) -> Told | None:
    """Return how to show ``error``, or None if it is a bug."""
    match error:
        case Failure():
            return _told(f"Error: {error}", error.exit_code, error.code, str(error))
        case click.UsageError():
            return _usage(error)
        case click.ClickException():
            text = error.format_message()
            return _told(f"Error: {text}", exit_codes.FAILURE, "failure", text)
        case SettingsError():
            return _told(f"Error: {error}", exit_codes.USAGE, "invalid_setting", str(error))
        case click.Abort() | KeyboardInterrupt():
            return _told("Interrupted.", exit_codes.INTERRUPTED, "interrupted", "Interrupted.")
        case _:
            return _of_client(error)


def _of_client(error: BaseException) -> Told | None:
    # Imported late: it is there already if one of its errors is, and a command may do without it.
    if "upstash_helper.protocol.errors" not in sys.modules:
        return None
    from upstash_helper.client import errors
    from upstash_helper.protocol.errors import ClientError, VersionMismatch

    match error:
        case errors.ApiProblem():
            return _of_problem(error)
        case errors.DaemonUnreachable():
            return _told(str(error), exit_codes.NOT_RUNNING, "daemon_unreachable", str(error))
        case VersionMismatch():
            return _told(f"Error: {error}", exit_codes.VERSION_MISMATCH, "version_mismatch", str(error))
        case ClientError():
            return _told(f"Error: {error}", exit_codes.FAILURE, _code_of(error), str(error))
        case _:
            return None


def _code_of(error: ClientError) -> str:
    from upstash_helper.client.errors import UnexpectedAnswer, WaitTimedOut
    from upstash_helper.protocol.errors import DiscoveryRefused

    codes = {
        DiscoveryRefused: "discovery_refused",
        UnexpectedAnswer: "unexpected_answer",
        WaitTimedOut: "timed_out",
    }
    return codes.get(type(error), "failure")


def _of_problem(error: BaseException) -> Told:
    from upstash_helper.client.errors import ApiProblem

    assert isinstance(error, ApiProblem)  # noqa: S101 - tells the type checker what `explained` matched
    lines = [f"Error: {error.detail}"]
    lines += [f"  {wrong.pointer or '/'}: {wrong.detail}" for wrong in error.problem.errors if len(lines) < 20]
    if isinstance(error.problem.retry_after, int):
        lines.append(f"Try again in {error.problem.retry_after} s.")
    return Told(
        text="\n".join(lines),
        exit_code=exit_codes.OF_PROBLEM.get(error.code, exit_codes.FAILURE),
        problem=msgspec.to_builtins(error.problem),
    )


def _usage(error: click.UsageError) -> Told:
    text = error.format_message()
    lines = [f"Error: {text}"]
    if error.ctx is not None:
        lines = [error.ctx.get_usage(), f"Try '{error.ctx.command_path} --help' for help.", "", *lines]
    return _told("\n".join(lines), exit_codes.USAGE, "usage", text)


def _told(text: str, exit_code: int, code: str, detail: str) -> Told:
    problem = {"code": code, "title": exit_codes.MEANING.get(exit_code, ""), "detail": detail, "exit_code": exit_code}
    return Told(text=text, exit_code=exit_code, problem=problem)
