"""The root of the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from upstash_helper import __version__
from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import LazyCommand, LazyGroup
from upstash_helper.cli.errors import describe_error, output_failed, print_error
from upstash_helper.cli.session import Session
from upstash_helper.system import console

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "upstash-helper"

_SECTIONS: Final = {
    "Account": {
        "status": LazyCommand("commands.status:status", "Show the daemon and the connection."),
        "connect": LazyCommand("commands.connect:connect", "Connect an Upstash account."),
        "disconnect": LazyCommand("commands.connect:disconnect", "Disconnect the Upstash account."),
        "open": LazyCommand("commands.open:open_", "Open the dashboard in the browser."),
    },
    "Databases": {
        "databases": LazyCommand("commands.databases:databases", "List, create, change, and delete Redis databases."),
    },
    "Apps": {
        "approvals": LazyCommand("commands.approvals:approvals", "Approve or deny apps that request access."),
        "apps": LazyCommand("commands.apps:apps", "List, rename, and revoke apps with access."),
        "audit": LazyCommand("commands.audit:audit", "Show what each app did, and when."),
        "mcp": LazyCommand("commands.mcp:mcp", "Connect an agent over standard input and output (MCP)."),
    },
    "Daemon": {
        "start": LazyCommand("commands.start_stop:start", "Start the daemon in the background."),
        "stop": LazyCommand("commands.start_stop:stop", "Stop the daemon."),
        "restart": LazyCommand("commands.start_stop:restart", "Stop the daemon and start it again."),
        "run": LazyCommand("commands.run:run", "Run the daemon in the foreground."),
        "tray": LazyCommand("commands.tray:tray", "Show the connection as an icon in the system tray."),
        "events": LazyCommand("commands.events:events", "Print events as they happen."),
    },
    "Setup and diagnosis": {
        "install": LazyCommand("commands.install:install", "Install the helper so that it starts at login."),
        "uninstall": LazyCommand("commands.install:uninstall", "Undo install. With --purge, remove all data."),
        "setup": LazyCommand("commands.setup:setup", "Configure agents to use upstash-helper."),
        "service": LazyCommand("commands.service:service", "Show and control the installed helper."),
        "config": LazyCommand("commands.config:config", "Show the settings and where they come from."),
        "doctor": LazyCommand("doctor.command:doctor", "Diagnose problems and suggest fixes."),
        "demo": LazyCommand("demo.command:demo", "Try everything on a local sandbox, without an account."),
        "sandbox": LazyCommand("commands.sandbox:sandbox", "Run a local Upstash with real databases."),
        "completion": LazyCommand("commands.completion:completion", "Print a shell completion script."),
    },
}

_EXAMPLES: Final = """
upstash-helper install
upstash-helper connect
upstash-helper databases create orders --region us-east-1
upstash-helper databases env orders >> .env
"""


class Root(LazyGroup):
    """The root group, which turns every error below it into a message and an exit code."""

    def main(self, args: Sequence[str] | None = None, *extra: Any, **options: Any) -> NoReturn:
        """Run a command and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        options["standalone_mode"] = False
        options.setdefault("prog_name", PROGRAM)
        sys.exit(self._run(arguments, extra, options))

    def _run(self, arguments: list[str], extra: tuple[Any, ...], options: dict[str, Any]) -> int:
        console.prepare()
        try:
            result = super().main(arguments, *extra, **options)
            sys.stdout.flush()
        except console.OutputFailed as failure:
            if "--json" in arguments and not failure.reader_gone:
                print_error(output_failed(failure), as_json=True)
                return failure.exit_code
            return console.exit_code_of(failure)
        except (Exception, KeyboardInterrupt) as error:
            output = describe_error(error)
            if output is None:
                raise
            print_error(output, as_json="--json" in arguments)
            return output.exit_code
        return result if isinstance(result, int) else exit_codes.OK


def _epilog() -> str:
    codes = "\n".join(f"{code:>5}  {meaning}" for code, meaning in exit_codes.MEANING.items())
    return f"\b\nExit codes:\n{codes}"


@click.group(
    PROGRAM,
    cls=Root,
    sections=_SECTIONS,
    examples=_EXAMPLES,
    epilog=_epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--profile", metavar="NAME", help="Profile to use. Profiles have separate settings and connections.")
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
@click.pass_context
def cli(ctx: click.Context, profile: str | None) -> None:
    """Connect this machine's apps to Upstash without giving any of them your API key."""
    ctx.obj = Session(profile=profile)
