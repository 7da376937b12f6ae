"""``doctor``: what is wrong, and how to mend it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json, shown, styled
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.cli.doctor.check import CheckResult
    from upstash_helper.cli.doctor.context import DoctorContext

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
# What a console without Unicode shows instead.
_PLAIN = {"ok": "ok", "warning": "!!", "error": "XX"}

_DEFAULT_NAME = ""
"""What --report without a file's name gives."""


@command("doctor")
@click.option(
    "--report",
    "target",
    is_flag=False,
    flag_value=_DEFAULT_NAME,
    type=click.Path(),
    metavar="[FILE]",
    help="Write all of it, with settings and the end of the log, to a file for a bug report; secrets are left out.",
)
@click.option("--force", is_flag=True, help="Write the report over a file that is there.")
@pass_session
def doctor(session: Session, *, target: str | None, force: bool) -> None:
    """
    Find out what is wrong, and how to mend it.

    Nothing is changed. Exits with 1 if anything is marked ✗. What is marked ! works, but may surprise.
    """
    from upstash_helper.cli.doctor.checks import examine
    from upstash_helper.cli.doctor.context import DoctorContext

    if force and target is None:
        raise click.UsageError("--force is for --report.")
    place = None if target is None else _place(target, force=force)
    context = DoctorContext(session)
    results = []
    for result in examine(context):
        results.append(result)
        if not session.json:
            _show(result)

    healthy = not any(result.state == "error" for result in results)
    answer: dict[str, object] = {"healthy": healthy, "checks": results}
    if place is not None:
        _report(context, results, place, force=force)
        answer["report"] = str(place)
    if session.json:
        print_json(answer)
    click.get_current_context().exit(exit_codes.OK if healthy else exit_codes.FAILURE)


def _show(result: CheckResult) -> None:
    click.echo(f"{_mark(result.state)} {result.name}: {shown(result.detail)}")
    if result.fix:
        click.echo(f"  → {shown(result.fix)}" if _unicode() else f"  -> {shown(result.fix)}")


def _place(target: str, *, force: bool) -> Path:
    """
    Return where the report goes. What stands in its way is said before anything is looked at.

    Raises:
        Failure: If it cannot go there.
    """
    place = Path(target or f"upstash-helper-report-{time.strftime('%Y%m%d-%H%M%S')}.md").absolute()
    if place.is_dir():
        raise Failure(f"{place} is a folder. Name a file in it.", code="is_a_folder", exit_code=exit_codes.USAGE)
    if not place.parent.is_dir():
        message = f"There is no folder {place.parent}. Make it first, or name another file."
        raise Failure(message, code="no_folder", exit_code=exit_codes.USAGE)
    if os.path.lexists(place) and not force:
        message = f"{place} is there already, and stays as it is. Name another file, or pass --force."
        raise Failure(message, code="file_exists")
    return place


def _report(context: DoctorContext, results: list[CheckResult], place: Path, *, force: bool) -> None:
    from upstash_helper.cli.doctor.report import text_of, write

    try:
        with context.session.progress("Writing the report"):
            write(place, text_of(context, results), force=force)
    except FileExistsError:
        message = f"{place} has come into being meanwhile, and stays as it is. Name another file, or pass --force."
        raise Failure(message, code="file_exists") from None
    except OSError as error:
        message = f"{place} cannot be written: {error.strerror}. Name a file in another folder."
        raise Failure(message, code="cannot_write") from error
    if not context.session.json:
        note(
            f"The report is {place}. Only you can read it. Secrets are left out; read it before you send it to anybody."
        )


def _mark(state: str) -> str:
    mark, color = _MARKS[state]
    return styled(mark if _unicode() else _PLAIN[state], color)


def _unicode() -> bool:
    try:
        "✓✗→".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
