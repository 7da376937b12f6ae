"""``uninstall``: what ``install`` did is undone; with ``--purge`` nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli.commands.install import dry_run_option, failure, report
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.service.executor import Execution, Step

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.service.facts import Facts

_HELP = """
Undo what install did: the daemon is stopped and no longer starts.

Your settings, the apps that you let in, the log and the API key in the keyring stay, for a later install. --purge
removes these as well, of this profile. Your account at Upstash and its databases stay as they are either way.
"""


@command("uninstall", help=_HELP)
@click.option("--purge", is_flag=True, help="Remove the settings, the apps, the log and the keyring's entry, too.")
@dry_run_option
@yes_option
@pass_session
def uninstall(session: Session, *, purge: bool, dry_run: bool, yes: bool) -> None:
    """Uninstall."""
    from upstash_helper.cli.daemon.lifecycle import halt
    from upstash_helper.client import wake
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
            wake.remove_note(facts.folders.state)  # nothing starts it with a request any more
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
