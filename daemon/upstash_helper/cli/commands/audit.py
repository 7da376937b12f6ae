"""``audit``: which app did what, and when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli.arguments import is_word, lasting, quietly
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, quoted, shown, table
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import AuditEntry

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])")


def _moment(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Return what the user typed as RFC 3339 in UTC."""
    from datetime import UTC, datetime, timedelta

    if value is None:
        return None
    ago = _AGO.fullmatch(value)
    try:
        if ago:
            when = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        else:
            when = datetime.fromisoformat(value).astimezone(UTC)  # without an offset it is the user's time
    except (ValueError, OverflowError, OSError):
        message = f"{value!r} is no moment such as 2026-01-31, 2026-01-31T09:00:00Z, 2h or 3d."
        raise click.BadParameter(message) from None
    return when.isoformat().replace("+00:00", "Z")


def complete_who(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete whose entries to show."""
    from click.shell_completion import CompletionItem

    offered = {"owner": "your own tools"}
    for one in quietly(ctx, lambda session: session.client.apps()):
        offered[one.name if is_word(one.name) else one.id] = f"{shown(lasting(one.identity))}, {quoted(one.name)}"
    return [CompletionItem(name, help=text) for name, text in offered.items() if name.startswith(incomplete)]


_HELP = """
Show which app did what, when, and what came of it; the newest first.

What changes something is in it, and what hands out passwords. ×N stands for the same thing N times in a row. The result
is `ok`, `started` (it was begun, and nobody knows how it ended), or the code of the problem. It is kept for 90 days.

\b
  upstash-helper audit --since 2h
  upstash-helper audit --app Orders --since 2026-01-31
"""


@command("audit", help=_HELP)
@click.option(
    "--app", metavar="NAME_OR_ID", shell_complete=complete_who,
    help="Only what this app did, also one that is no longer let in; `owner` for your own tools.",
)  # fmt: skip
@click.option(
    "--since", callback=_moment, metavar="WHEN",
    help="Only from then on: 2026-01-31, 2026-01-31T09:00:00Z, or so long ago: 30m, 2h, 3d, 1w.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=50, show_default=True, help="So many entries at most."
)
@pass_session
def audit(session: Session, *, app: str | None, since: str | None, limit: int) -> None:
    """Show the audit."""
    from upstash_helper.protocol.wire_apps import AuditPage

    with session.progress("Reading the audit"):
        pages = list(session.client.audit(app=app, since=since, limit=limit))

    entries = tuple(entry for page in pages for entry in page.entries)
    more = pages[-1].next_page_token
    if session.json:
        print_json(AuditPage(entries=entries, next_page_token=more))
        return
    if entries:
        click.echo(table([_row(one) for one in entries], header=("WHEN", "WHO", "NAME", "DID", "TO", "RESULT")))
    _comment(session, app, entries, is_all=more is None)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    times = f" ×{entry.count}" if entry.count > 1 else ""
    when = moment(entry.last_at, seconds=True)
    return when, entry.identity, entry.app_name, f"{entry.action}{times}", entry.target, entry.result


def _comment(session: Session, app: str | None, entries: tuple[AuditEntry, ...], *, is_all: bool) -> None:
    if not entries:
        whose = "" if app is None else f" of {app!r}. The apps are in: {session.command('apps', 'list')}"
        note(f"There are no entries{whose or '.'}")
    elif not is_all:
        note(f"There may be more: the {len(entries)} newest are shown. See --limit and --since.")
