"""``run`` for click: its help and completion. Its arguments are parsed by ``cli.daemon.run_flags``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from upstash_helper.cli.command import Command
from upstash_helper.cli.daemon.run_flags import (
    JSON,
    RUN_SWITCHES,
    SETTING_FLAGS,
    SETTING_SWITCHES,
    STOP_WITH_PARENT,
    WAIT_FOR_PORT,
    ParsedFlags,
    RunUsageError,
    parse_flags,
    run_request,
)
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable


class SettingsCommand(Command):
    """A command that takes the flags of ``run`` and passes them to its function as ``flags``."""

    switches = frozenset({JSON})

    def __init__(self, *args: Any, params: list[click.Parameter] | None = None, **options: Any) -> None:
        """
        Args:
            args: Like ``Command``.
            params: Like ``Command``; the flags of the settings are added.
            options: Like ``Command``.
        """
        declared: list[click.Parameter] = [
            click.Option([flag.flag], metavar=flag.metavar, help=flag.help) for flag in SETTING_FLAGS
        ]
        declared += [click.Option([switch.flag], is_flag=True, help=switch.help) for switch in SETTING_SWITCHES]
        super().__init__(*args, params=[*(params or ()), *declared], **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """
        Parse the arguments with ``run_flags``; completion and help are click's.

        Raises:
            click.UsageError: If they are invalid.
        """
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not set(ctx.help_option_names).isdisjoint(args):
            return super().parse_args(ctx, ["--help"])
        try:
            parsed = parse_flags(args, switches=self.switches)
        except RunUsageError as error:
            raise click.UsageError(str(error), ctx) from None
        ctx.ensure_object(Session).json = JSON in parsed.switches
        ctx.params = {"flags": parsed}
        return []


class _RunCommand(SettingsCommand):
    switches = RUN_SWITCHES


def settings_command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], SettingsCommand]:
    """Return the decorator of a command that takes the flags of ``run``."""
    return click.command(name, cls=SettingsCommand, **attributes)


_EXAMPLES: Final = """
# With the settings from config.toml
upstash-helper run

# With a local sandbox that runs in another terminal, in a separate profile
upstash-helper --profile sandbox run --client-id ID --auth-url URL --api-url URL --rest-url URL
"""


@click.command("run", cls=_RunCommand, examples=_EXAMPLES)
@click.option(STOP_WITH_PARENT, is_flag=True, hidden=True, help="Stop when standard input is closed.")
@click.option(WAIT_FOR_PORT, is_flag=True, help="If another program uses the port, wait for it instead of exiting.")
@pass_session
def run(session: Session, *, flags: ParsedFlags) -> None:
    """
    Run the daemon in the foreground, until Ctrl-C.

    Each flag overrides a setting for this run. To change a setting permanently, use config.toml or a UPSTASH_HELPER_*
    environment variable (see `config show`).
    """
    from upstash_helper.cli.daemon.run import run_daemon

    click.get_current_context().exit(run_daemon(run_request(session.profile, flags)))
