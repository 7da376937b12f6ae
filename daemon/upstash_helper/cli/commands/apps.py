"""``apps``: the group, and how its commands find an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.abbreviations import with_id
from upstash_helper.cli.arguments import is_word, quietly
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.identities import lasting
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.output import quoted, shown
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import App


@click.group(
    "apps",
    cls=LazyGroup,
    lazy={
        "list": Lazy("app_reading:list_apps", "List the apps that are let in."),
        "show": Lazy("app_reading:show_app", "Show one app and what it may do."),
        "rename": Lazy("app_changing:rename", "Give an app the name that you want to see."),
        "revoke": Lazy("app_changing:revoke", "Let an app in no longer."),
    },
)
def apps() -> None:
    """
    Show, rename and revoke the apps that are let in.

    An app is named by its name, by its id, or by the beginning of its id (four characters at least). What wants in is
    in `approvals`, what was done in `audit`.
    """


def complete_app(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of an app, or its id where the name is more than a word."""
    from click.shell_completion import CompletionItem

    items = []
    for one in quietly(ctx, lambda session: session.client.apps()):
        offered = [one.name if is_word(one.name) else one.id]
        offered += [one.id] if incomplete else []
        help_text = f"{shown(lasting(one.identity))}, {quoted(one.name)}"
        items += [CompletionItem(it, help=help_text) for it in dict.fromkeys(offered) if it.startswith(incomplete)]
    return items


app_argument = click.argument("app", shell_complete=complete_app)


def find(session: Session, named: str) -> App:
    """
    Return the app that ``named`` means.

    Raises:
        Failure: If there is none, or more than one.
    """
    known = session.client.apps()
    found = _matching(known, named)
    if not found:
        raise Failure(_unknown(session, named, known), code="app_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} apps could be meant by {named!r}. Take the id of the one you mean:"]
        lines += [f"  {one.id}  {shown(lasting(one.identity))}, {quoted(one.name)}" for one in found]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(known: Sequence[App], named: str) -> list[App]:
    exact = [one for one in known if one.id == named]
    # An app chooses its name itself, also one like the beginning of another's id: then it is for the user to say.
    either = {one.id: one for one in [*with_id(known, named), *(one for one in known if one.name == named)]}
    return exact or list(either.values())


def _unknown(session: Session, named: str, known: Sequence[App]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(named, [one.name for one in known], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"List them with: {session.command('apps', 'list')}"
    return f"There is no app with the name or id {named!r}. {hint}"
