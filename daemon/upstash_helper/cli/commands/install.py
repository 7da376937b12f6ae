"""``install``: the helper starts with the user's session from now on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import note, print_json, shown, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.service.executor import Execution, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.service.facts import Facts
    from upstash_helper.service.plan import ServiceError

_MANY = 5

dry_run_option = click.option("--dry-run", is_flag=True, help="Change nothing; only show what would be done.")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``install`` and ``uninstall`` did, as JSON."""

    manager: str
    name: str
    dry_run: bool
    changed: bool
    steps: Sequence[Step]
    notes: Sequence[str]


_HELP = """
Have the helper start with your session, from now on.

For you alone, without an administrator, and at once: nobody has to log out. On Linux systemd holds the port and starts
the daemon with the first request; a desktop without systemd starts it at login, as macOS and Windows do. Tab
completion and man pages are put where your shell looks for them.

Run it again after an upgrade, or after a change of the port; apps and connection stay. It changes nothing that is as
it should be.
"""


@command("install", help=_HELP)
@click.option("--no-tray", is_flag=True, help="Leave out the icon on the panel.")
@dry_run_option
@click.option(
    "--force",
    is_flag=True,
    help="Replace files that were changed by hand (a copy is kept), and run even from a temporary folder.",
)
@pass_session
def install(session: Session, *, no_tray: bool, dry_run: bool, force: bool) -> None:
    """Install."""
    from upstash_helper.cli.daemon.lifecycle import halt
    from upstash_helper.cli.documents import documents
    from upstash_helper.service import planner
    from upstash_helper.service.executor import Installer
    from upstash_helper.service.facts import gather, passing
    from upstash_helper.service.plan import ServiceError

    facts = gather(session.profile_flag, tray=not no_tray, documents=documents())
    hindrances = [planner.obstacle(facts), None if force else planner.passing_program(facts)]
    hindered = [hindrance for hindrance in hindrances if hindrance is not None]
    if hindered and not dry_run:
        raise failure(hindered[0])
    executor = Installer(planner.plan(facts), force=force, dry=dry_run, halt=lambda: halt(session))
    executor.notes += [f"Without --dry-run it would end here: {hindrance}" for hindrance in hindered]
    executor.notes += [
        f"The service does not see {name}, which only this terminal has. For good: {session.folders.config_file}"
        for name in passing(os.environ)
    ]
    try:
        executor.install()
    except ServiceError as error:
        if not session.json:
            _show_steps(executor.steps)
        raise failure(error, hint=_hint(session)) from error
    _report(session, facts, executor, dry=dry_run)


def failure(error: ServiceError, *, hint: str = "") -> Failure:
    """Return what the command line makes of it."""
    wanted = hint if error.code == "command_failed" else ""
    return Failure(f"{error}\n{wanted}".rstrip(), code=error.code)


def _hint(session: Session) -> str:
    return f"See what is wrong: {session.command('doctor')}, or {session.command('service', 'logs')}"


def report(session: Session, executor: Execution, *, dry: bool, done: str, nothing: str) -> None:
    """Show what was done."""
    if session.json:
        print_json(
            Report(
                manager=executor.plan.manager,
                name=executor.plan.name,
                dry_run=dry,
                changed=bool(executor.steps) and not dry,
                steps=executor.steps,
                notes=executor.notes,
            )
        )
        return
    if executor.steps and dry:
        click.echo("This would be done:")
    _show_steps(executor.steps)
    if not executor.steps:
        click.echo(nothing)
    elif not dry:
        click.echo(done)
    for text in executor.notes:
        note(f"Note: {shown(text)}")


def _report(session: Session, facts: Facts, executor: Execution, *, dry: bool) -> None:
    from upstash_helper.protocol import discovery

    if (reason := discovery.reason(facts.folders.runtime)) is not None:
        executor.notes.append(reason)
    address = f"http://127.0.0.1:{facts.port}"
    where = {
        "systemd": f"systemd holds {address} for you and starts the daemon with the first request.",
        "xdg-autostart": f"Your desktop starts the daemon at login; it is at {address}.",
        "launchd": f"launchd starts the daemon at login; it is at {address}.",
        "task-scheduler": f"Windows starts the daemon at login; it is at {address}.",
    }[executor.plan.manager]
    done = f"Installed. {where} Look: {session.command('service', 'status')}"
    report(session, executor, dry=dry, done=done, nothing=f"Already as it should be. {where}")


def _show_steps(steps: Sequence[Step]) -> None:
    if steps:
        click.echo(table([(f"  {step.action}", what, step.why) for step, what in _condensed(steps)]))


def _condensed(steps: Sequence[Step]) -> Iterator[tuple[Step, str]]:
    """Return each step and what is shown of it; many files of one folder, such as the man pages, are one line."""

    def kind(step: Step) -> tuple[str, ...]:
        if step.action == "run":
            return (step.action, step.what)
        return (step.action, str(Path(step.what).parent), Path(step.what).suffix)

    for _, group in itertools.groupby(steps, key=kind):
        members = list(group)
        if len(members) < _MANY:
            yield from ((step, _shown(step)) for step in members)
            continue
        shortest = Path(min((step.what for step in members), key=len))
        what = f"{shortest.with_suffix('')}*{shortest.suffix} ({len(members)} files)"
        whole = msgspec.structs.replace(members[0], what=what)
        yield whole, _shown(whole)


def _shown(step: Step) -> str:
    # A command is shown as it can be typed.
    home = f"{Path.home()}{os.sep}"
    return step.what if step.action == "run" else step.what.replace(home, f"~{os.sep}", 1)
