"""``man``: the manual pages, also where none is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json
from upstash_helper.cli.session import Session, pass_session

_HELP = """
Show the manual page of a command; without one, that of upstash-helper itself.

On a terminal the page is shown by man(1). A pipe or a file gets its source, as man(1), groff(1) and mandoc(1) read it.

\b
  upstash-helper man databases create
  upstash-helper man connect > upstash-helper-connect.1
  upstash-helper man --path ~/.local/share/man/man1
"""


@command("man", help=_HELP)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.option(
    "--path",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the pages of all commands into this folder, which is made if it is absent.",
)
@pass_session
def man(session: Session, *, words: tuple[str, ...], folder: Path | None) -> None:
    """Show a page, or write all."""
    if folder is not None:
        if words:
            raise click.UsageError("--path writes the pages of all commands: name none.")
        _write_all(session, folder)
        return
    name, page = _page_of(words)
    if session.json:
        print_json({"name": name, "page": page})
    elif sys.stdout.isatty():
        _show(name, page)
    else:
        click.echo(page, nl=False)


def _page_of(words: tuple[str, ...]) -> tuple[str, str]:
    from upstash_helper.cli.manual.pages import contexts, page_name, render

    # Both `man databases create` and the page's own name, as SEE ALSO has it.
    wanted = "-".join(words).removeprefix("upstash-helper").strip("-")
    pages = {page_name(ctx).removeprefix("upstash-helper").strip("-"): ctx for ctx in contexts()}
    if wanted not in pages:
        message = f"There is no command {' '.join(words)!r}, and so no page about it. See: upstash-helper --help"
        raise Failure(message, code="no_such_command", exit_code=exit_codes.USAGE)
    ctx = pages[wanted]
    return page_name(ctx), render(ctx)


def _show(name: str, page: str) -> None:
    """Have man(1) show the page: it knows the reader's pager, width and language."""
    program = shutil.which("man")
    if program is None:
        message = (
            "There is no program `man` here to show the page with. "
            "Put --help behind the command, or send the page's source to a file or another program."
        )
        raise Failure(message, code="no_man_program")
    with tempfile.TemporaryDirectory(prefix="upstash-helper-") as folder:
        # A name with a slash is a file for every man(1).
        file = Path(folder) / f"{name}.1"
        file.write_text(page, encoding="ascii")
        done = subprocess.run([program, str(file)], check=False)
    if done.returncode:
        raise Failure(f"`{program}` ended with code {done.returncode}; see above.", code="man_failed")


def _write_all(session: Session, folder: Path) -> None:
    from upstash_helper.cli.manual.pages import man_pages

    pages = man_pages()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            (folder / name).write_text(page, encoding="ascii", newline="\n")
    except OSError as error:
        message = f"{error.filename or folder}: cannot be written: {error.strerror}."
        raise Failure(message, code="not_written") from error
    if session.json:
        print_json({"folder": str(folder), "pages": sorted(pages)})
    else:
        click.echo(f"{len(pages)} pages are in {folder}.")
