"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import interactive
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable


def _remember_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).json = value


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """
    Go on if the user says so.

    Raises:
        Failure: If the user does not, or cannot be asked.
    """
    if yes:
        return
    if not interactive():
        message = "This asks for a confirmation, and there is no terminal to ask on. Pass --yes to go on without."
        raise Failure(message, code="confirmation_required", exit_code=exit_codes.USAGE)
    if not click.confirm(question, err=True):
        raise Failure("Nothing was changed.", code="not_confirmed")


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator of a command with ``--json``."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made: click.Command = click.command(name, click.Command, **attributes)(function)
        made.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                callback=_remember_json,
                help="Print JSON; errors too, to stderr.",
            )
        )
        return made

    return decorate
