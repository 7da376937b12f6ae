"""``run`` as click sees it: its help, and the command lines that are not plain."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from upstash_helper.cli.daemon.run_flags import RUN_FLAGS, STOP_WITH_PARENT, SWITCHES, WAIT_FOR_PORT, RunRequest
from upstash_helper.cli.options import command
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable


def setting_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of ``run``; it gets those that were given as ``flags``."""

    @functools.wraps(function)
    def with_flags(**given: Any) -> Any:
        flags = {flag.setting: given.pop(flag.setting) for flag in RUN_FLAGS}
        flags |= {switch.setting: False if given.pop(switch.setting) else None for switch in SWITCHES}
        return function(flags={key: value for key, value in flags.items() if value is not None}, **given)

    decorated: Callable[..., Any] = with_flags
    for switch in reversed(SWITCHES):
        decorated = click.option(switch.flag, switch.setting, is_flag=True, help=switch.help)(decorated)
    for flag in reversed(RUN_FLAGS):
        decorated = click.option(flag.flag, flag.setting, metavar=flag.metavar, help=flag.help)(decorated)
    return decorated


_HELP = """
Be the daemon, in this terminal, until Ctrl-C.

The flags are settings; config.toml and UPSTASH_HELPER_* variables say the same for good (see `config show`).
Against a local Upstash, in a world of its own:

\b
  upstash-helper sandbox
  upstash-helper --profile sandbox run --client-id ID --auth-url URL --api-url URL
"""


@command("run", help=_HELP)
@click.option(STOP_WITH_PARENT, is_flag=True, hidden=True, help="Stop when the standard input ends.")
@click.option(WAIT_FOR_PORT, is_flag=True, help="Wait while another program has the port, instead of ending.")
@setting_flags
@pass_session
def run(session: Session, *, flags: dict[str, object], stop_with_parent: bool, wait_for_port: bool) -> None:
    """Become the daemon."""
    from upstash_helper.cli.daemon.run import become_daemon

    request = RunRequest(session.profile, flags, stop_with_parent, wait_for_port)
    click.get_current_context().exit(become_daemon(request, as_json=session.json))
