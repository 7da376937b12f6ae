"""``apps``: the apps that have access."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import fetch_for_completion, is_word, match_id, stored_name
from upstash_helper.cli.command import closest, group
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import (
    key_values,
    local_time,
    note,
    note_if_not_recorded,
    print_json,
    printable,
    quoted,
    say,
    table,
)
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import App


class Revoked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of ``revoke`` as JSON."""

    revoked: bool
    id: str
    name: str
    recorded: bool = True
    notice: str = ""


@group("apps")
def apps() -> None:
    """
    List, rename, and revoke apps with access.

    Refer to an app by its name, its ID, or at least the first four characters of its ID. Pending access requests
    are in `approvals`; what apps did is in `audit`.
    """


# --- arguments --------------------------------------------------------------------------------------------------------


def _complete_app(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of an app, or its ID if the name is not a single word."""
    from click.shell_completion import CompletionItem

    items = []
    for app in fetch_for_completion(ctx, lambda session: session.client.apps()):
        offered = [app.name if is_word(app.name) else app.id]
        offered += [app.id] if incomplete else []
        help_text = f"{printable(stored_name(app.identity))}, {quoted(app.name)}"
        items += [CompletionItem(one, help=help_text) for one in dict.fromkeys(offered) if one.startswith(incomplete)]
    return items


app_argument = click.argument("app", shell_complete=_complete_app)


def _find(session: Session, text: str) -> App:
    """
    Return the app that ``text`` refers to.

    Raises:
        Failure: If there is none, or more than one.
    """
    known = session.client.apps()
    found = _matching(known, text)
    if not found:
        message = _not_found(session, text, known)
        raise Failure(message, code="app_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} apps match {text!r}. Use the ID of one of them:"]
        lines += [f"  {one.id}  {printable(stored_name(one.identity))}, {quoted(one.name)}" for one in found]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(known: Sequence[App], text: str) -> list[App]:
    exact = [one for one in known if one.id == text]
    # An app chooses its own name, which may look like the beginning of another's id. Then the user has to decide.
    either = {one.id: one for one in [*match_id(known, text), *(one for one in known if one.name == text)]}
    return exact or list(either.values())


def _not_found(session: Session, text: str, known: Sequence[App]) -> str:
    match = closest(text, [one.name for one in known])
    hint = f"Did you mean {match!r}?" if match else f"List them with: {session.command('apps', 'list')}"
    return f"No app has the name or ID {text!r}. {hint}"


# --- commands ---------------------------------------------------------------------------------------------------------


@apps.command("list")
@pass_session
def list_apps(session: Session) -> None:
    """List the apps with access, newest first."""
    from upstash_helper.protocol.wire_apps import AppList

    with session.progress("Reading"):
        found = session.client.apps()

    if session.json:
        print_json(AppList(apps=found))
    elif found:
        rows = [
            (stored_name(one.identity), one.name, one.id, local_time(one.last_used_at), _scopes(one)) for one in found
        ]
        click.echo(table(rows, header=("WHO", "NAME", "ID", "LAST USED", "SCOPES")))
    else:
        note(f"No app has access. List pending requests with: {session.command('approvals', 'list')}")


@apps.command("show")
@app_argument
@pass_session
def show_app(session: Session, *, app: str) -> None:
    """Show an app and its permissions."""
    _show(session, _find(session, app))


@apps.command("rename")
@app_argument
@click.argument("new_name")
@pass_session
def rename(session: Session, *, app: str, new_name: str) -> None:
    """Rename an app. Its identity and permissions do not change."""
    found = _find(session, app)

    with session.progress("Saving"):
        renamed = session.client.rename_app(found.id, new_name)
    _show(session, renamed)


@apps.command("revoke")
@app_argument
@yes_option
@pass_session
def revoke(session: Session, *, app: str, yes: bool) -> None:
    """
    Revoke an app's access.

    Its token stops working immediately. Databases that it created are kept, and credentials that it has read, or
    written to `.env` files, remain valid: reset them with `databases reset-password`. An agent that is running may
    request access again; if you deny that, it does not do so until it is restarted.
    """
    found = _find(session, app)
    name = f"{quoted(found.name)} ({printable(stored_name(found.identity))})"
    confirm(f"Revoke the access of {name}? Its token stops working immediately.", yes=yes)

    with session.progress("Saving"):
        done = session.client.revoke_app(found.id)
    if session.json:
        print_json(Revoked(revoked=True, id=found.id, name=found.name, recorded=done.recorded, notice=done.notice))
    else:
        say(f"Access of {name} was revoked.")
    note_if_not_recorded(done)


def _show(session: Session, app: App) -> None:
    if session.json:
        print_json(app)
        return
    rows = [("Who", stored_name(app.identity)), ("Name", app.name), ("ID", app.id)]
    rows += [("" if number else "May", f"{one.meaning} ({one.scope})") for number, one in enumerate(app.scopes)]
    if app.all_databases:
        rows.append(("", app.all_databases_meaning or "Including databases that it did not create"))
    if app.audience == "mcp":
        rows.append(("Through", "MCP only: its tokens are not accepted anywhere else"))
    rows += [("" if number else "May write .env files in", folder) for number, folder in enumerate(app.folders)]
    rows += [
        ("Approved", local_time(app.created_at)),
        ("Last used", local_time(app.last_used_at)),
        ("Expires", local_time(app.expires_at) if app.expires_at else "after 90 days without use"),
    ]
    if app.mismatches:
        times = "once" if app.mismatches == 1 else f"{app.mismatches} times"
        rows.append(("Misuse", f"token used {times} by another page or program"))
    click.echo(key_values(rows))


def _scopes(app: App) -> str:
    """Return the scopes in short: ``databases:read,write``."""
    pairs = [one.scope.split(":") for one in app.scopes]
    short = [
        f"{resource}:{','.join(verb for _, verb in some)}"
        for resource, some in groupby(pairs, key=lambda pair: pair[0])
    ]
    return " ".join([*short, "(all databases)"] if app.all_databases else short)
