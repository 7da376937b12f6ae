"""``doctor``: diagnose problems and suggest fixes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import command
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import colored, note, print_json, printable
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.cli.doctor.check import CheckResult
    from upstash_helper.cli.doctor.context import DoctorContext

# A terminal that does not have them shows ok, ! and XX (`system.console`).
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}

_DEFAULT_NAME = ""
"""The value of --report without a file name."""


_EXAMPLES = """
# Run all checks
upstash-helper doctor

# Write a report to attach to an issue
upstash-helper doctor --report
"""


@command("doctor", examples=_EXAMPLES)
@click.option(
    "--report",
    "target",
    is_flag=False,
    flag_value=_DEFAULT_NAME,
    type=click.Path(),
    metavar="[FILE]",
    help="Write the results, settings, and end of the log to a file, for a bug report. Secrets are removed.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing report.")
@pass_session
def doctor(session: Session, *, target: str | None, force: bool) -> None:
    """
    Diagnose problems and suggest fixes.

    Changes nothing. Items marked ! work, but may surprise you. Items marked ✗ need to be fixed, and the exit code is
    then 1.
    """
    from upstash_helper.cli.doctor.checks import run_all
    from upstash_helper.cli.doctor.context import DoctorContext

    if force and target is None:
        raise click.UsageError("--force can only be used with --report.")
    path = None if target is None else _report_path(target, force=force)
    context = DoctorContext(session)
    results = []
    for result in run_all(context):
        results.append(result)
        if not session.json:
            _show(result)

    healthy = not any(result.state == "error" for result in results)
    answer: dict[str, object] = {"healthy": healthy, "checks": results}
    if path is not None:
        _report(context, results, path, force=force)
        answer["report"] = str(path)
    if session.json:
        print_json(answer)
    click.get_current_context().exit(exit_codes.OK if healthy else exit_codes.FAILURE)


def _show(result: CheckResult) -> None:
    click.echo(f"{_mark(result.state)} {result.name}: {printable(result.detail)}")
    if result.fix:
        click.echo(f"  → {printable(result.fix)}")


def _report_path(target: str, *, force: bool) -> Path:
    """
    Return the path of the report, once it is certain that it can be written there.

    Raises:
        Failure: If it cannot.
    """
    path = Path(target or f"upstash-helper-report-{time.strftime('%Y%m%d-%H%M%S')}.md").absolute()
    if path.is_dir():
        raise Failure(f"{path} is a folder. Pass the path of a file.", code="is_a_folder", exit_code=exit_codes.USAGE)
    if not path.parent.is_dir():
        message = f"The folder {path.parent} does not exist. Create it, or pass another path."
        raise Failure(message, code="no_folder", exit_code=exit_codes.USAGE)
    if os.path.lexists(path) and not force:
        message = f"{path} already exists. Pass another path, or --force to overwrite it."
        raise Failure(message, code="file_exists")
    return path


def _report(context: DoctorContext, results: list[CheckResult], path: Path, *, force: bool) -> None:
    from upstash_helper.cli.doctor.report import report_text, write_report

    try:
        with context.session.progress("Writing the report"):
            write_report(path, report_text(context, results), force=force)
    except FileExistsError:
        message = f"{path} was created in the meantime. Pass another path, or --force to overwrite it."
        raise Failure(message, code="file_exists") from None
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}. Pass another path."
        raise Failure(message, code="cannot_write") from error
    if not context.session.json:
        note(f"The report is in {path}, readable only by you. Secrets were removed; check it before you share it.")


def _mark(state: str) -> str:
    mark, color = _MARKS[state]
    return colored(mark, color)
