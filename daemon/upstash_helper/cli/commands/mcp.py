"""The click command ``mcp``, for help and completion, and ``mcp headers``. ``cli.mcp.arguments`` parses ``mcp``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from upstash_helper.cli.command import Command, CommandGroup
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.mcp.arguments import (
    DEFAULT_SCOPES,
    READ_ONLY,
    SCOPE,
    SHOW,
    McpRequest,
    McpUsageError,
    requested_scopes,
)
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import Callable


class _McpGroup(CommandGroup):
    """A group that also runs without a subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        return click.Group.parse_args(self, ctx, args)


def _scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    scope = click.option(
        SCOPE,
        "scopes",
        type=click.Choice(get_args(Scope)),
        metavar="SCOPE",
        multiple=True,
        help=f"Request this scope. Can be repeated. Default: {', '.join(DEFAULT_SCOPES)}.",
    )
    read_only = click.option(
        READ_ONLY,
        is_flag=True,
        help="Request only connection:read and databases:read, so that the agent cannot change anything.",
    )
    return read_only(scope(function))


_EXAMPLES: Final = """
# Claude Code
claude mcp add --scope user upstash -- upstash-helper mcp

# Codex, without permission to change anything
codex mcp add upstash -- upstash-helper mcp --read-only
"""


@click.group("mcp", cls=_McpGroup, invoke_without_command=True, no_args_is_help=False, examples=_EXAMPLES)
@_scope_options
@click.pass_context
def mcp(ctx: click.Context, *, scopes: tuple[str, ...], read_only: bool) -> None:
    """
    Connect an agent to the helper over standard input and output (MCP).

    An agent starts this command, which forwards the agent's messages to the daemon. The daemon is started if it is not
    running. The first time, you are asked whether the agent may use your Upstash account, and what it may do. The
    agent's token is kept in your keyring; its configuration contains no secrets.

    You are asked once per agent, not once per process. Until you approve the request, the agent has no tools. An agent
    that cannot be told apart from other programs, such as code in the arguments of an interpreter, requests access each
    time it starts, and its token is not kept.
    """
    if ctx.invoked_subcommand is not None:
        if scopes or read_only:
            raise click.UsageError(f"Put the options after {ctx.invoked_subcommand}.", ctx)
    else:
        from upstash_helper.cli.mcp.run import run_bridge

        ctx.exit(run_bridge(_request(ctx, scopes, read_only=read_only)))


_HEADERS_EXAMPLES: Final = """
# Claude Code runs this with "headersHelper": "upstash-helper mcp headers"
upstash-helper mcp headers
"""


@mcp.command("headers", cls=Command, examples=_HEADERS_EXAMPLES)
@_scope_options
@click.option(SHOW, is_flag=True, help="Print the token even to a terminal. Anyone who sees it can use it.")
@pass_session
def headers(session: Session, *, scopes: tuple[str, ...], read_only: bool, show: bool) -> None:
    """
    Print the header fields that an agent needs to use /mcp.

    The output is a JSON object, for agents that run a command to get header fields. If the agent that runs this command
    has no access yet, you are asked first. If it cannot be told apart from other programs, such as code in the
    arguments of an interpreter, you are asked each time, and its token is not kept.
    """
    from upstash_helper.cli.mcp.headers import authorization
    from upstash_helper.system import console

    request = _request(click.get_current_context(), scopes, read_only=read_only)
    if console.is_terminal(sys.stdout) and not show:
        raise Failure(
            f"The output contains a token, which would stay on the screen. To print it anyway, add {SHOW}.",
            code="terminal",
        )
    console.write_utf8(authorization(request, profile=session.profile, folders=session.folders) + b"\n")


def _request(ctx: click.Context, scopes: tuple[str, ...], *, read_only: bool) -> McpRequest:
    session = ctx.ensure_object(Session)
    try:
        return McpRequest(session.profile_flag, requested_scopes(scopes, read_only=read_only))
    except McpUsageError as error:
        raise click.UsageError(str(error), ctx) from None
