"""``tray``: the icon in the system tray, which runs in this process."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import command
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import print_json
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS: Final = ("auto", "statusnotifier", "appindicator", "gtk", "xorg", "win32", "darwin")
MAX_WAIT: Final = 3600.0
_MODULES: Final = ("PIL", "pystray", "pyperclip")

_HELP = """
Show the connection as an icon in the system tray, until Ctrl-C or Quit in its menu.

The menu connects and disconnects the account, copies a database's credentials, and approves or denies access requests.
The icon and the daemon run independently and reconnect to each other.

\b
Backends (--backend):
  auto            the first that works
  statusnotifier  Linux: KDE, Xfce, and others; GNOME with its AppIndicator extension
  appindicator    Linux with PyGObject and the AppIndicator library
  gtk             Linux with PyGObject: old X11 panels
  xorg            Linux: old X11 panels; without a menu, a click opens the dashboard
  win32, darwin   Windows, macOS
"""


_EXAMPLES: Final = """
# Show the icon
upstash-helper tray

# Check whether an icon can be shown, and with which backend
upstash-helper tray --check
"""


@command("tray", help=_HELP, examples=_EXAMPLES)
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="How the icon is shown.")
@click.option(
    "--wait",
    type=click.FloatRange(0, MAX_WAIT),
    metavar="SECONDS",
    default=0.0,
    help="Maximum time to wait for a system tray, which may start later at login.",
)
@click.option("--replace", is_flag=True, help="Replace an icon that is already shown, such as one of an older version.")
@click.option("--check", is_flag=True, help="Only check whether an icon can be shown, and how.")
@pass_session
def tray(session: Session, *, backend: str, wait: float, replace: bool, check: bool) -> None:
    """Show the icon."""
    missing = [module for module in _MODULES if importlib.util.find_spec(module) is None]
    if missing:
        from upstash_helper.cli.extras import command_to_add

        message = (
            f"The tray icon needs packages that are not installed: {', '.join(missing)}. "
            f"Install them with: {command_to_add('tray')}"
        )
        raise Failure(message, code="tray_not_installed", exit_code=exit_codes.NO_TRAY)

    from upstash_helper.settings.profiles import TRAY_LOG, open_output
    from upstash_helper.system import console

    console.write_missing_stderr_to(lambda: open_output(session.profile_flag, TRAY_LOG))
    # The only import of the tray by the command line.
    from upstash_helper_tray.runtime import run

    if check:
        chosen = _or_failure(lambda: run.available_backend(backend, wait=wait))
        if session.json:
            print_json({"backend": chosen})
        else:
            click.echo(f"The icon can be shown, with the backend {chosen}.")
        return
    request = run.TrayOptions(profile=session.profile, backend=backend, wait=wait, replace=replace)
    if _or_failure(lambda: run.run_tray(request)) == "running":
        message = "A tray icon of this profile is already running."
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
