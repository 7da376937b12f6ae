"""The root of the command line."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from upstash_helper import __version__
from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import explained, tell
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "upstash-helper"

_COMMANDS: Final = {
    "status": Lazy("commands.status:status", "Show the daemon and the connection."),
    "open": Lazy("commands.open:open_", "Open the dashboard in the browser."),
    "connect": Lazy("commands.connect:connect", "Connect an Upstash account."),
    "disconnect": Lazy("commands.connect:disconnect", "Forget the Upstash account."),
    "databases": Lazy("commands.databases:databases", "List, create, change and delete Redis databases."),
    "approvals": Lazy("commands.approvals:approvals", "Decide which apps may use your Upstash account."),
    "apps": Lazy("commands.apps:apps", "Show, rename and revoke the apps that are let in."),
    "audit": Lazy("commands.audit:audit", "Show which app did what, and when."),
    "events": Lazy("commands.events:events", "Follow what happens."),
    "start": Lazy("commands.start_stop:start", "Start the daemon in the background."),
    "stop": Lazy("commands.start_stop:stop", "Stop the daemon."),
    "restart": Lazy("commands.start_stop:restart", "Stop the daemon and start it again."),
    "run": Lazy("commands.run:run", "Be the daemon, in this terminal."),
    "install": Lazy("commands.install:install", "Have the helper start with your session, from now on."),
    "uninstall": Lazy("commands.install:uninstall", "Undo install; with --purge, remove everything."),
    "service": Lazy("commands.service:service", "See and control the helper that is installed."),
    "tray": Lazy("commands.tray:tray", "Show the connection as an icon on the panel."),
    "config": Lazy("commands.config:config", "Show the settings and where they come from."),
    "doctor": Lazy("doctor.command:doctor", "Find out what is wrong, and how to mend it."),
    "demo": Lazy("demo.command:demo", "See it all work, on a sandbox; no account is needed."),
    "sandbox": Lazy("commands.sandbox:sandbox", "Run a local Upstash with real databases."),
    "completion": Lazy("manual.completion:completion", "Print the completion script of a shell."),
    "man": Lazy("manual.command:man", "Show the manual page of a command."),
}


class Root(LazyGroup):
    """The group at the root: what goes wrong below it becomes a sentence and an exit code."""

    def main(self, args: Sequence[str] | None = None, *extra: Any, **options: Any) -> NoReturn:
        """Run a command and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False
        options.setdefault("prog_name", PROGRAM)
        sys.exit(self._run(arguments, extra, options))

    def _run(self, arguments: list[str], extra: tuple[Any, ...], options: dict[str, Any]) -> int:
        try:
            result = super().main(arguments, *extra, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has seen enough (`| head`). What is still in the buffer must not fail again at exit.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return exit_codes.BROKEN_PIPE
        except (Exception, KeyboardInterrupt) as error:
            told = explained(error)
            if told is None:
                raise
            tell(told, as_json="--json" in arguments)
            return told.exit_code
        return result if isinstance(result, int) else exit_codes.OK


def _epilog() -> str:
    codes = "\n".join(f"{code:>5}  {meaning}" for code, meaning in exit_codes.MEANING.items())
    return f"\b\nExit codes:\n{codes}"


@click.group(
    PROGRAM,
    cls=Root,
    lazy=_COMMANDS,
    epilog=_epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--profile", metavar="NAME", help="Which world to use; each has its own settings and connection.")
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
@click.pass_context
def cli(ctx: click.Context, profile: str | None) -> None:
    """Connect this machine's apps to Upstash, so that none of them has to keep your API key."""
    ctx.obj = Session(profile=profile)
