"""``tray``: the icon on the panel, a process of its own."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS: Final = ("auto", "statusnotifier", "appindicator", "gtk", "xorg", "win32", "darwin")
LONGEST_WAIT: Final = 3600.0
_MODULES: Final = ("PIL", "pystray", "pyperclip")

_HELP = """
Show the state of the connection as an icon on the panel, until Ctrl-C or Quit in its menu.

From its menu you connect, disconnect, copy what a database's clients need, and decide about apps that want in. The
daemon does without it, and it without the daemon: each finds the other again.

\b
How it gets on the panel (--backend):
  auto            whatever works here
  statusnotifier  Linux: KDE, Xfce, and others; GNOME with its AppIndicator extension
  appindicator    Linux with PyGObject and the AppIndicator library
  gtk             Linux with PyGObject: old X11 panels
  xorg            Linux: old X11 panels; no menu, a click opens the dashboard
  win32, darwin   Windows, macOS
"""


@command("tray", help=_HELP)
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="How it gets on the panel.")
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST_WAIT),
    metavar="SECONDS",
    default=0.0,
    help="Wait so long for a panel; at login it may come later than this.",
)
@click.option(
    "--replace", is_flag=True, help="Take the place of an icon that is shown already: of an older version, say."
)
@click.option("--check", is_flag=True, help="Only say whether an icon can be shown here, and how.")
@pass_session
def tray(session: Session, *, backend: str, wait: float, replace: bool, check: bool) -> None:
    """Show the icon."""
    missing = [module for module in _MODULES if importlib.util.find_spec(module) is None]
    if missing:
        from upstash_helper.cli.extras import command_to_add

        message = (
            f"The tray icon needs packages that are not installed ({', '.join(missing)}). "
            f"They come with the extra `tray`: {command_to_add('tray')}"
        )
        raise Failure(message, code="tray_not_installed", exit_code=exit_codes.NO_TRAY)

    # The one place where the command line reaches into the tray.
    from upstash_helper_tray.runtime import run

    if check:
        chosen = _or_failure(lambda: run.available_backend(backend, wait=wait))
        if session.json:
            print_json({"backend": chosen})
        else:
            click.echo(f"An icon can be shown here, by the backend {chosen}.")
        return
    request = run.TrayOptions(profile=session.profile, backend=backend, wait=wait, replace=replace)
    if _or_failure(lambda: run.run_tray(request)) == "running":
        message = "A tray icon of this profile is shown already."
        if session.json:
            print_json({"already_running": True})
        else:
            click.echo(message, err=True)


def _or_failure(call: Callable[[], str]) -> str:
    from upstash_helper_tray.runtime import run

    try:
        return call()
    except run.TrayUnavailable as error:
        message = f"{error} {error.advice}".rstrip()
        raise Failure(message, code="no_tray", exit_code=exit_codes.NO_TRAY) from error
