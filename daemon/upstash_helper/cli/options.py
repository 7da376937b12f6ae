"""Options that several commands have."""

from __future__ import annotations

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import interactive, printable_lines

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def require_terminal(*, command: str | None = None) -> None:
    """
    Check that there is a terminal to ask on.

    Args:
        command: The complete command that needs no confirmation, if it is not the one that the user typed with --yes.

    Raises:
        Failure: If there is none.
    """
    if not interactive():
        how = "Pass --yes to confirm." if command is None else f"To confirm: {command}"
        message = f"This needs confirmation, and standard input is not a terminal. {how}"
        raise Failure(message, code="confirmation_required", exit_code=exit_codes.USAGE)


def confirm(question: str, *, yes: bool) -> None:
    """
    Continue only if the user agrees.

    Args:
        question: What is asked, on stderr.
        yes: The value of ``--yes``: agreed already.

    Raises:
        Failure: If the user declines, or there is no terminal to ask on.
    """
    if yes:
        return
    require_terminal()
    if not click.confirm(printable_lines(question), err=True):
        raise Failure("Nothing was changed.", code="not_confirmed")
