"""Errors as a message on stderr and an exit code. Only a bug in the helper shows a traceback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import closest
from upstash_helper.cli.output import printable_lines
from upstash_helper.settings.profiles import SettingsError
from upstash_helper.system import console, disk_errors

if TYPE_CHECKING:
    from upstash_helper.protocol.errors import ClientError


_MAX_FIELDS = 20


class Failure(Exception):
    """A command failed, for a reason that its user can understand."""

    def __init__(self, detail: str, *, code: str, exit_code: int = exit_codes.FAILURE) -> None:
        """
        Args:
            detail: What happened, and what to do about it.
            code: A stable code, for programs that read ``--json``.
            exit_code: One of ``exit_codes``.
        """
        super().__init__(detail)
        self.code = code
        self.exit_code = exit_code


class ErrorOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it is printed."""

    text: str
    exit_code: int
    problem: Mapping[str, object]
    """Problem details (RFC 9457), for ``--json``."""


def print_error(output: ErrorOutput, *, as_json: bool) -> None:
    """Print an error to stderr, as text or as JSON."""
    if as_json:
        console.write_utf8(msgspec.json.encode(output.problem) + b"\n", to_stderr=True)
    elif output.text:
        click.echo(printable_lines(output.text), err=True)


def output_failed(failure: console.OutputFailed) -> ErrorOutput:
    """Return how to print that the output could not be written."""
    return _output(f"Error: {failure}", failure.exit_code, "output_failed", str(failure))


def describe_error(error: BaseException) -> ErrorOutput | None:  # noqa: PLR0911 - one for each kind of error
    """Return how to print ``error``, or None if it is a bug."""
    match error:
        case Failure():
            return _output(f"Error: {error}", error.exit_code, error.code, str(error))
        case click.UsageError():
            return _usage_error(error)
        case click.ClickException():
            text = error.format_message()
            return _output(f"Error: {text}", exit_codes.FAILURE, "failure", text)
        case SettingsError():
            return _output(f"Error: {error}", exit_codes.USAGE, "invalid_setting", str(error))
        case UnicodeError():
            # Bytes on the command line or typed at a prompt, in a terminal that uses another encoding.
            text = "An argument or the input has characters that this terminal's encoding does not have. Use UTF-8."
            return _output(f"Error: {text}", exit_codes.USAGE, "usage", text)
        case click.Abort() | KeyboardInterrupt():
            return _output("Interrupted.", exit_codes.INTERRUPTED, "interrupted", "Interrupted.")
        case _:
            return _disk_error(error) or _client_error(error)


def _disk_error(error: BaseException) -> ErrorOutput | None:
    text = disk_errors.describe(error)
    return None if text is None else _output(f"Error: {text}", exit_codes.FAILURE, "disk_unwritable", text)


def _client_error(error: BaseException) -> ErrorOutput | None:
    # If the module is not loaded, `error` cannot be one of its errors, and most commands do not need it.
    if "upstash_helper.protocol.errors" not in sys.modules:
        return None
    from upstash_helper.client import errors
    from upstash_helper.protocol.errors import ClientError, VersionMismatch

    match error:
        case errors.ApiProblem():
            return _api_problem(error)
        case errors.DaemonUnreachable():
            return _output(str(error), exit_codes.NOT_RUNNING, "daemon_unreachable", str(error))
        case VersionMismatch():
            return _output(f"Error: {error}", exit_codes.VERSION_MISMATCH, "version_mismatch", str(error))
        case ClientError():
            return _output(f"Error: {error}", exit_codes.FAILURE, _code_of(error), str(error))
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


def _api_problem(error: BaseException) -> ErrorOutput:
    from upstash_helper.client.errors import ApiProblem

    assert isinstance(error, ApiProblem)  # noqa: S101 - for the type checker: `_client_error` matched it
    lines = [f"Error: {error.detail}"]
    fields = error.problem.errors
    if error.detail != " ".join(field.detail for field in fields):  # else it has been said
        texts = (f"{field.pointer or '/'}: {field.detail}" for field in fields[:_MAX_FIELDS])
        lines += [f"  {text}" for text in texts if text != error.detail]  # the detail may be that of the first one
    # A store that cannot be used is checked again after some seconds, but the user has to do something first.
    if isinstance(error.problem.retry_after, int) and error.code != "keyring_unavailable":
        lines.append(f"Try again in {error.problem.retry_after} s.")
    return ErrorOutput(
        text="\n".join(lines),
        exit_code=exit_codes.OF_PROBLEM.get(error.code, exit_codes.FAILURE),
        problem=msgspec.to_builtins(error.problem),
    )


def _usage_error(error: click.UsageError) -> ErrorOutput:
    text = _usage_text(error)
    lines = [f"Error: {text}"]
    if error.ctx is not None:
        lines = [error.ctx.get_usage(), f"Try '{error.ctx.command_path} --help' for help.", "", *lines]
    return _output("\n".join(lines), exit_codes.USAGE, "usage", text)


def _usage_text(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        # click's own wording depends on its version.
        match = closest(error.option_name, _options(error.ctx))
        return f"No such option {error.option_name!r}." + (f" Did you mean {match!r}?" if match else "")
    text = error.format_message()
    if isinstance(error, click.BadParameter):
        # click names its own types. The usage shows the unit, and the help the limits.
        for kind, word in (("integer", "whole number"), ("float", "number")):
            text = text.replace(f"is not a valid {kind} range.", f"is not a {word}.")
            text = text.replace(f"is not a valid {kind}.", f"is not a {word}.")
    return text


def _options(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    return [name for option in ctx.command.get_params(ctx) if isinstance(option, click.Option) for name in option.opts]


def _output(text: str, exit_code: int, code: str, detail: str) -> ErrorOutput:
    problem = {"code": code, "title": exit_codes.MEANING.get(exit_code, ""), "detail": detail, "exit_code": exit_code}
    return ErrorOutput(text=text, exit_code=exit_code, problem=problem)
