"""Options that several commands have."""

from __future__ import annotations

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import interactive, printable_lines

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


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
    if not interactive():
        message = "This needs confirmation, and standard input is not a terminal. Pass --yes to confirm."
        raise Failure(message, code="confirmation_required", exit_code=exit_codes.USAGE)
    if not click.confirm(printable_lines(question), err=True):
        raise Failure("Nothing was changed.", code="not_confirmed")
