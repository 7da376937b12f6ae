"""``install``: the helper starts with the user's session from now on."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.manual.completion import completion_script
from upstash_helper.cli.manual.pages import man_pages
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import note, print_json, shown, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.service.executor import Execution, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.service.facts import Facts
    from upstash_helper.service.plan import ServiceError

# Below XDG_DATA_HOME, where each shell looks by itself; zsh if its fpath has the folder.
_COMPLETIONS: Final = {
    "bash": "bash-completion/completions/upstash-helper",
    "zsh": "zsh/site-functions/_upstash-helper",
    "fish": "fish/vendor_completions.d/upstash-helper.fish",
}


def documents() -> dict[str, str]:
    """Return their texts by their paths below ``XDG_DATA_HOME``; none on Windows, which has neither."""
    if sys.platform == "win32":
        return {}
    texts = {path: completion_script(shell).lstrip("\n") for shell, path in _COMPLETIONS.items()}
    return texts | {f"man/man1/{name}": text for name, text in man_pages().items()}


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

    # FOLDED
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

    if (reason := discovery.waiting_reason(facts.folders.runtime)) is not None:
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


_HELP_uninstall = """
Undo what install did: the daemon is stopped and no longer starts.

Your settings, the apps that you let in, the log and the API key in the keyring stay, for a later install. --purge
removes these as well, of this profile. Your account at Upstash and its databases stay as they are either way.
"""


@command("uninstall", help=_HELP_uninstall)
@click.option("--purge", is_flag=True, help="Remove the settings, the apps, the log and the keyring's entry, too.")
@dry_run_option
@yes_option
@pass_session
def uninstall(session: Session, *, purge: bool, dry_run: bool, yes: bool) -> None:
    """Uninstall."""
    from upstash_helper.cli.daemon.lifecycle import halt
    from upstash_helper.protocol import wake_note
    from upstash_helper.service import planner
    from upstash_helper.service import purge as purging
    from upstash_helper.service.executor import Uninstaller
    from upstash_helper.service.facts import gather
    from upstash_helper.service.plan import ServiceError

    facts = gather(session.profile_flag)
    if facts.superuser and not dry_run:
        raise Failure("This is the system's administrator. Run it as the user who installed it.", code="run_as_root")
    paths = purging.folders_of(facts.folders, profile=facts.profile, root=facts.root)
    if purge and not dry_run:
        confirm(_question(facts, paths), yes=yes)
    executor = Uninstaller(planner.whole_plan(facts), dry=dry_run, halt=lambda: halt(session))
    executor.notes.clear()  # they are about installing
    try:
        if facts.tray_running:
            _end_tray(facts, executor, dry=dry_run)
        executor.uninstall(purge=purge)
        if not dry_run:
            wake_note.remove(facts.folders.state)  # nothing starts it with a request any more
        if purge:
            _purge(session, facts, executor, paths, dry=dry_run)
        else:
            executor.notes += _left(session, facts, paths)
    except ServiceError as error:
        raise failure(error) from error
    done = "Nothing of it is left." if purge else "Uninstalled."
    report(session, executor, dry=dry_run, done=done, nothing="It is not installed.")


def _end_tray(facts: Facts, executor: Execution, *, dry: bool) -> None:
    from upstash_helper.service import tray_process

    found = tray_process.find(facts.folders.runtime)
    if found is None:
        executor.notes.append("The icon on the panel stays until you quit it in its menu: its process was not found.")
        return
    executor.steps.append(Step(action="stop", what=f"process {found.pid}", why="The icon goes from the panel."))
    if not dry:
        tray_process.end(found, facts.folders.runtime)


def _question(facts: Facts, paths: list[Path]) -> str:
    lines = [f"  {path}" for path in paths]
    entry = f"  the API key of the profile {facts.profile} in the keyring"
    listed = "\n".join((*lines, entry))
    return f"Remove for good, with the apps that you let in:\n{listed}\nGo on?"


def _purge(session: Session, facts: Facts, executor: Execution, paths: list[Path], *, dry: bool) -> None:
    from upstash_helper.cli.daemon.lifecycle import halt
    from upstash_helper.service import purge as purging

    if not dry:
        halt(session)
        # First of all: where the key is kept is in the settings.
        forgotten = purging.forget(facts.profile)
        executor.steps.extend(
            Step(action="remove", what=f"upstash-helper: {entry}", why="The API key in the keyring.")
            for entry in forgotten.entries
        )
        if forgotten.key_name:
            console = "in the Upstash console (Account > Management API)"
            executor.notes.append(f"Delete the API key {forgotten.key_name} {console}: it is valid until then.")
        if forgotten.problem:
            named = " and ".join(f"'{entry}'" for entry in forgotten.kept) or f"'{facts.profile}'"
            executor.notes.append(
                f"The keyring could not be asked: {forgotten.problem} If it has an entry 'upstash-helper' of {named}, "
                "delete it with your desktop's password tool."
            )
        # The runtime folder may have come into being since.
        paths = purging.folders_of(facts.folders, profile=facts.profile, root=facts.root) or paths
        purging.remove(paths, folders=facts.folders)
    executor.steps.extend(
        Step(action="remove", what=str(path), why="Settings, apps, the log: what the profile kept.") for path in paths
    )


def _left(session: Session, facts: Facts, paths: list[Path]) -> list[str]:
    kept = [f"Left for a later install: {path}" for path in paths]
    return [
        *kept,
        f"Left, if an account is connected: the API key of the profile {facts.profile} in the keyring.",
        f"To remove these as well: {session.command('uninstall', '--purge')}",
    ]
