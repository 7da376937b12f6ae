"""``audit``: what apps did, and when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from upstash_helper.cli.arguments import fetch_for_completion, is_word, stored_name
from upstash_helper.cli.command import command
from upstash_helper.cli.output import local_time, note, print_json, printable, quoted, table
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import AuditEntry

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])")


def _parse_time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Return a time or an age, such as ``2h``, as RFC 3339 in UTC."""
    from datetime import UTC, datetime, timedelta

    if value is None:
        return None
    age = _AGE.fullmatch(value)
    try:
        if age:
            when = datetime.now(UTC) - timedelta(seconds=int(age[1]) * _SECONDS[age[2]])
        else:
            when = datetime.fromisoformat(value).astimezone(UTC)  # without an offset: the user's time zone
    except (ValueError, OverflowError, OSError):
        message = f"{value!r} is not a time such as 2026-01-31, 2026-01-31T09:00:00Z, 2h, or 3d."
        raise click.BadParameter(message) from None
    return when.isoformat().replace("+00:00", "Z")


def _complete_app(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    offered = {"owner": "your own tools"}
    for app in fetch_for_completion(ctx, lambda session: session.client.apps()):
        name = app.name if is_word(app.name) else app.id
        offered[name] = f"{printable(stored_name(app.identity))}, {quoted(app.name)}"
    return [CompletionItem(name, help=text) for name, text in offered.items() if name.startswith(incomplete)]


_EXAMPLES: Final = """
# The last two hours
upstash-helper audit --since 2h

# One app, since a date
upstash-helper audit --app Orders --since 2026-01-31

# Your own tools: this command line, the tray icon, and the dashboard
upstash-helper audit --app owner
"""


@command("audit", examples=_EXAMPLES)
@click.option(
    "--app", metavar="NAME_OR_ID", shell_complete=_complete_app,
    help="Only this app, even if its access was revoked; `owner` for your own tools.",
)  # fmt: skip
@click.option(
    "--since", callback=_parse_time, metavar="WHEN",
    help="Only entries since a time (2026-01-31, 2026-01-31T09:00:00Z) or an age (30m, 2h, 3d, 1w).",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=50, show_default=True, help="Maximum number of entries."
)
@pass_session
def audit(session: Session, *, app: str | None, since: str | None, limit: int) -> None:
    """
    Show what each app did, when, and with what result, newest first.

    The audit records every change, every time that credentials are read, and what you denied. Of Redis commands, it has
    the names only. ×N marks N similar entries within a minute. The result is `ok`, `started` (the outcome is unknown),
    or the code of the error. Entries are kept for 90 days, at most 2,000 of one app.
    """
    from upstash_helper.protocol.wire_apps import AuditPage

    with session.progress("Reading the audit log"):
        pages = list(session.client.audit(app=app, since=since, limit=limit))

    entries = tuple(entry for page in pages for entry in page.entries)
    next_page = pages[-1].next_page_token
    if session.json:
        print_json(AuditPage(entries=entries, next_page_token=next_page))
        return
    if entries:
        click.echo(table([_row(one) for one in entries], header=("WHEN", "WHO", "NAME", "ACTION", "TARGET", "RESULT")))
    _add_note(session, app, entries, complete=next_page is None)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    times = f" ×{entry.count}" if entry.count > 1 else ""
    when = local_time(entry.last_at, seconds=True)
    who = entry.identity or "several apps"  # one entry for all that have requested access
    return when, who, entry.app_name, f"{entry.action}{times}", entry.target, entry.result


def _add_note(session: Session, app: str | None, entries: tuple[AuditEntry, ...], *, complete: bool) -> None:
    if not entries:
        of_app = "" if app is None else f" for {app!r}. List apps with: {session.command('apps', 'list')}"
        note(f"No entries{of_app or '.'}")
    elif not complete:
        note(f"Showing the {len(entries)} newest entries. For others, use --limit and --since.")
