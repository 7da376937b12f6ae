"""``approvals``: the group, and how its commands find a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.abbreviations import with_id
from upstash_helper.cli.arguments import quietly
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.output import quoted, shown
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import Pairing


@click.group(
    "approvals",
    cls=LazyGroup,
    lazy={
        "list": Lazy("approval_reading:list_approvals", "Show the apps that wait for your decision."),
        "approve": Lazy("approval_deciding:approve", "Let an app in."),
        "deny": Lazy("approval_deciding:deny", "Do not let an app in."),
        "block": Lazy("approval_deciding:block", "Never be asked by an app again."),
        "watch": Lazy("approval_watching:watch", "Wait for apps, and decide about each as it comes."),
        "blocked": Lazy("approval_reading:blocked", "List who may not ask."),
        "unblock": Lazy("approval_reading:unblock", "Let somebody ask again."),
    },
)
def approvals() -> None:
    """
    Decide which apps may use your Upstash account.

    A request is named by the code that its app shows, by its id, or by the beginning of its id (four characters at
    least). If only one waits, it need not be named. A request waits for two minutes.
    """


def complete_pairing(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the code of a request that waits."""
    from click.shell_completion import CompletionItem

    found = quietly(ctx, lambda session: session.client.pairings())
    return [
        CompletionItem(one.user_code, help=f"{shown(one.identity.shown)}, calls itself {quoted(one.claimed_name)}")
        for one in found
        if _plain(one.user_code).startswith(_plain(incomplete))
    ]


pairing_argument = click.argument(
    "request", required=False, metavar="[ID|CODE]", shell_complete=complete_pairing
)  # fmt: skip


def find(session: Session, named: str | None) -> Pairing:
    """
    Return the request that waits and has the code or the id ``named``; the only one that waits for None.

    Raises:
        Failure: If there is none, or more than one.
    """
    waiting = session.client.pairings()
    found = list(waiting) if named is None else _matching(waiting, named)
    if not found:
        raise Failure(_unknown(session, named), code="pairing_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} requests could be meant. Name one by its code:"]
        lines += [
            f"  {one.user_code}  {shown(one.identity.shown)}, calls itself {quoted(one.claimed_name)}" for one in found
        ]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(waiting: Sequence[Pairing], named: str) -> list[Pairing]:
    by_code = [one for one in waiting if _plain(one.user_code) == _plain(named)]
    return by_code or with_id(waiting, named)


def _plain(code: str) -> str:
    """Return a code as it is compared: people leave the dash out, and type small letters."""
    return code.replace("-", "").upper()


def _unknown(session: Session, named: str | None) -> str:
    if named is None:
        return "No app waits for your decision."
    see = session.command("approvals", "list")
    return f"No request with the code or id {named!r} waits: it was decided, or its two minutes are over. See: {see}"
