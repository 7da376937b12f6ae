"""``install`` and ``uninstall``: the helper as a service of the user's session."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from upstash_helper.cli.command import command
from upstash_helper.cli.commands.completion import completion_script
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import note, print_json, printable, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.service.executor import Executor, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.service.context import InstallContext
    from upstash_helper.service.plan import ServiceError

# Below XDG_DATA_HOME, where each shell finds them without configuration; zsh if its fpath has the folder.
_COMPLETIONS: Final = {
    "bash": "bash-completion/completions/upstash-helper",
    "zsh": "zsh/site-functions/_upstash-helper",
    "fish": "fish/vendor_completions.d/upstash-helper.fish",
}
_MAN_PAGES: Final = "manual"
"""The folder in ``upstash_helper.cli`` that ``install/manual.py`` fills when the package is built."""

_CONDENSED_FROM: Final = 5
"""So many files of one folder are shown as one line."""

dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, without doing it.")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``install`` and ``uninstall`` as JSON."""

    manager: str
    name: str
    dry_run: bool
    changed: bool
    steps: Sequence[Step]
    notes: Sequence[str]


def documents() -> dict[str, str]:
    """Return completion scripts and man pages by their paths below ``XDG_DATA_HOME``; none on Windows."""
    if sys.platform == "win32":
        return {}
    scripts = {path: completion_script(shell).lstrip("\n") for shell, path in _COMPLETIONS.items()}
    folder = resources.files("upstash_helper.cli") / _MAN_PAGES
    pages = sorted(folder.iterdir(), key=lambda page: page.name) if folder.is_dir() else []
    return scripts | {f"man/man1/{page.name}": page.read_text(encoding="ascii") for page in pages}


# --- install ----------------------------------------------------------------------------------------------------------


_INSTALL_EXAMPLES: Final = """
# Show what would be written and run, and then do it
upstash-helper install --dry-run
upstash-helper install

# On a machine without a desktop
upstash-helper install --no-tray
"""


@command("install", examples=_INSTALL_EXAMPLES)
@click.option("--no-tray", is_flag=True, help="Do not install the tray icon.")
@dry_run_option
@click.option(
    "--force",
    is_flag=True,
    help="Replace modified files (a copy is kept), and allow installing from a temporary folder.",
)
@pass_session
def install(session: Session, *, no_tray: bool, dry_run: bool, force: bool) -> None:
    """
    Install the helper so that it starts at login.

    Installs for the current user, without administrator rights, and takes effect immediately. On Linux, systemd holds
    the port and starts the daemon on the first request; a desktop without systemd starts it at login, as macOS and
    Windows do. Shell completion and man pages are installed too.

    Run it again after an upgrade or after changing the port. It changes only what is out of date; approved apps and
    the connection are kept.
    """
    from upstash_helper.cli.daemon.lifecycle import stop_daemon
    from upstash_helper.service import planner
    from upstash_helper.service.context import detect_context, service_profile, transient_settings
    from upstash_helper.service.environment import lost_by_service
    from upstash_helper.service.executor import Installer
    from upstash_helper.service.plan import ServiceError

    facts = detect_context(session.profile_flag, tray=not no_tray, documents=documents())
    obstacles = [planner.install_error(facts), None if force else planner.temporary_program_error(facts)]
    found = [obstacle for obstacle in obstacles if obstacle is not None]
    if found and not dry_run:
        raise _failure(found[0])
    executor = Installer(planner.plan(facts), force=force, dry=dry_run, stop_daemon=lambda: stop_daemon(session))
    executor.notes += [f"Without --dry-run, this would fail: {obstacle}" for obstacle in found]
    executor.notes += [
        f"{name} is set only in this terminal, not for the service. Set it in {session.folders.config_file} instead."
        for name in transient_settings(os.environ)
    ]
    executor.notes += [
        f"{lost.name} is set only in this terminal, not for the service. Set it in {session.folders.config_file}"
        f" instead: {lost.line}{lost.hint}"
        for lost in lost_by_service(facts, service_profile(session.profile_flag, os.environ).settings, os.environ)
    ]
    try:
        executor.install()
    except ServiceError as error:
        if not session.json:
            _show_steps(executor.steps)
        raise _failure(error, hint=_hint(session)) from error
    _report_installed(session, facts, executor, None if dry_run else _seen_running(session, facts, executor))


def _hint(session: Session) -> str:
    return f"Diagnose it with: {session.command('doctor')}, or: {session.command('service', 'logs')}"


def _seen_running(session: Session, facts: InstallContext, executor: Executor) -> DaemonStatus:
    """
    Wait until the daemon and the tray run, and return the daemon's status.

    Service managers report success as soon as they have been told to start a program, even if it then fails.

    Raises:
        Failure: If the daemon does not start. A tray that does not start is only noted: the helper works without it.
    """
    from upstash_helper.cli.daemon.lifecycle import START_SECONDS, SYSTEMD_SECONDS, wait_for_service
    from upstash_helper.service import tray_process

    try:
        with session.progress("Starting the daemon"):
            # `systemctl start` returns once the daemon is ready, or has failed.
            by_systemd = executor.plan.manager == "systemd"
            status = wait_for_service(session, seconds=SYSTEMD_SECONDS if by_systemd else START_SECONDS)
    except Failure as failure:
        if not session.json:
            _show_steps(executor.steps)
            _show_notes(executor)
        message = f"Installed, but the daemon is not running. {failure}"
        raise Failure(message, code=failure.code, exit_code=failure.exit_code) from failure
    if executor.started and not tray_process.wait_until_running(*facts.folders.tray_runtimes):
        executor.notes.append(f"The tray icon did not start. To find out why: {session.command('tray')}")
    return status


def _report_installed(session: Session, facts: InstallContext, executor: Executor, status: DaemonStatus | None) -> None:
    """Report what was done. ``status`` is that of the running daemon; None if nothing was done."""
    from upstash_helper.cli.daemon.lifecycle import discover

    dry = status is None
    address = f"http://127.0.0.1:{facts.port}" if dry else discover(session).base_url
    without_socket = status is not None and status.started_by != "socket"
    how = {
        "systemd": f"The daemon is at {address}. To let systemd hold the port, run: {session.command('restart')}."
        if without_socket
        else f"systemd holds {address} and starts the daemon on the first request.",
        "xdg-autostart": f"The daemon is at {address}."
        if facts.wsl
        else f"Your desktop starts the daemon at login, at {address}.",
        "launchd": f"launchd starts the daemon at login, at {address}.",
        "task-scheduler": f"Windows starts the daemon at login, at {address}.",
    }[executor.plan.manager]
    done = f"Installed. {how} Check it with: {session.command('service', 'status')}"
    _report(session, executor, dry=dry, done=done, nothing=f"Already installed and up to date. {how}")
    if not (dry or session.json) and (step := _next_step(session)):
        click.echo(f"\nNext: {step}")


def _next_step(session: Session) -> str:
    """Return what to do after the installation; empty if an account is connected."""
    from upstash_helper.cli.commands.status import next_step
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.errors import ClientError

    connection = None
    with contextlib.suppress(ClientError):
        # Only if it is running: this must not start it, which may have to wait for the port.
        connection = DaemonClient.discover(session.folders.runtime).connection()
    if connection is not None and connection.state != "disconnected":
        return ""
    return next_step(session, connection)


# --- uninstall --------------------------------------------------------------------------------------------------------


_UNINSTALL_EXAMPLES: Final = """
# Keep the settings, the approved apps, the log, and the account's credential
upstash-helper uninstall

# Remove everything, after showing what that is
upstash-helper uninstall --purge --dry-run
upstash-helper uninstall --purge
"""


@command("uninstall", examples=_UNINSTALL_EXAMPLES)
@click.option("--purge", is_flag=True, help="Also remove settings, apps, the log, and the credential in the keyring.")
@dry_run_option
@yes_option
@pass_session
def uninstall(session: Session, *, purge: bool, dry_run: bool, yes: bool) -> None:
    """
    Undo install: stop the daemon, and no longer start it at login.

    The settings, approved apps, the log, and the account's credential in the keyring are kept for a later install, as
    are the entries that setup added to the configuration of agents. --purge removes them too, for this profile.
    Your Upstash account and its databases are not affected.
    """
    from upstash_helper.cli.agents.uninstalling import kept_note, undo_all
    from upstash_helper.cli.daemon.lifecycle import stop_daemon
    from upstash_helper.protocol import wake_note
    from upstash_helper.service import planner
    from upstash_helper.service import purge as purging
    from upstash_helper.service.context import detect_context
    from upstash_helper.service.executor import Uninstaller
    from upstash_helper.service.plan import ServiceError

    facts = detect_context(session.profile_flag)
    # Root itself may have used the program without the service, and can remove what it has left.
    if facts.superuser and os.environ.get("SUDO_USER", "root") != "root" and not dry_run:
        raise Failure("This must not run as root. Run it as the user who installed the helper.", code="run_as_root")
    paths = purging.profile_paths(facts.folders, profile=facts.profile, root=facts.root)
    if purge and not dry_run:
        confirm(_purge_question(facts, paths), yes=yes)
    is_complete = True
    executor = Uninstaller(planner.whole_plan(facts), dry=dry_run, stop_daemon=lambda: stop_daemon(session))
    executor.notes.clear()  # they are about installing
    try:
        if facts.tray_running:
            _stop_tray(facts, executor, dry=dry_run)
        if purge and not dry_run:
            _revoke_sign_in(session, executor)
        if purge:
            steps, notes = undo_all(facts.folders.state, dry=dry_run)
            executor.steps.extend(steps)
            executor.notes += notes
        executor.uninstall(purge=purge)
        if not dry_run:
            wake_note.remove(facts.folders.state)  # requests no longer start the daemon
        if purge:
            is_complete = _purge(session, facts, executor, paths, dry=dry_run)
        else:
            # What still exists: stopping the daemon has removed some files.
            removed = {step.what for step in executor.steps}
            kept = [path for path in paths if str(path) not in removed and (dry_run or path.exists())]
            executor.notes += _kept(session, facts, kept)
            executor.notes += kept_note(facts.folders.state, session.command("setup", "--undo"))
    except ServiceError as error:
        raise _failure(error) from error
    done = "Uninstalled."
    if purge:
        done = "Uninstalled, and all data was removed." if is_complete else "Uninstalled, and all files were removed."
    _report(session, executor, dry=dry_run, done=done, nothing="The helper is not installed.")


def _stop_tray(facts: InstallContext, executor: Executor, *, dry: bool) -> None:
    from upstash_helper.service import tray_process

    found = tray_process.find(*facts.folders.tray_runtimes)
    if found is None:
        executor.notes.append("The tray icon is still shown, because its process was not found. Quit it from its menu.")
        return
    executor.steps.append(Step(action="stop", what=f"process {found.pid}", why="The tray icon."))
    if not dry and not tray_process.end(found, *facts.folders.tray_runtimes):
        executor.notes.append(f"The tray icon is still shown: process {found.pid} did not exit. Quit it from its menu.")


def _revoke_sign_in(session: Session, executor: Executor) -> None:
    """Revoke the sign-in at Upstash through a running daemon, while it still has its credential."""
    from upstash_helper.cli.daemon.lifecycle import discover
    from upstash_helper.protocol import discovery
    from upstash_helper.protocol.errors import ClientError

    if not discovery.is_running(session.folders.runtime):
        return
    try:
        client = discover(session)
        if client.connection().method != "grant":
            return
        name = client.disconnect().grant_name
    except ClientError:
        return  # the sign-in is named at the end
    if name:
        executor.steps.append(Step(action="remove", what=name, why="The sign-in at Upstash."))
        executor.notes.append(
            f"Upstash was asked to revoke the sign-in. If the Upstash console still lists {name} (Account > OAuth"
            " Clients), revoke it there."
        )


def _purge_question(facts: InstallContext, paths: list[Path]) -> str:
    lines = [f"  {path}" for path in paths]
    entry = f"  the account's credential of profile {facts.profile} in the keyring"
    listed = "\n".join((*lines, entry))
    return f"This permanently removes the following, including the list of approved apps:\n{listed}\nContinue?"


def _purge(session: Session, facts: InstallContext, executor: Executor, paths: list[Path], *, dry: bool) -> bool:
    """Remove the profile's data. Return False if the credential may still be in the keyring."""
    from upstash_helper.cli.daemon.lifecycle import stop_daemon
    from upstash_helper.service import purge as purging

    is_complete = True
    if not dry:
        stop_daemon(session)
        # Before the folders: the settings say where the credential is stored.
        deleted = purging.delete_credential(facts.profile)
        executor.steps.extend(
            Step(action="remove", what=f"upstash-helper: {entry}", why="The account's credential in the keyring.")
            for entry in deleted.entries
        )
        if deleted.key_name:
            console = "in the Upstash console (Account > Management API)"
            executor.notes.append(f"The API key {deleted.key_name} is still valid. Delete it {console}.")
        if deleted.grant_name:
            console = "in the Upstash console (Account > OAuth Clients)"
            executor.notes.append(f"The sign-in {deleted.grant_name} is still valid. Revoke it {console}.")
        if deleted.problem:
            is_complete = False
            entries = " and ".join(f"'{entry}'" for entry in deleted.kept) or f"'{facts.profile}'"
            executor.notes.append(
                f"The keyring could not be read: {deleted.problem} If it has an entry 'upstash-helper' for "
                f"{entries}, delete it with your desktop's password manager."
            )
        # The runtime folder may have been created in the meantime.
        paths = purging.profile_paths(facts.folders, profile=facts.profile, root=facts.root) or paths
        purging.remove(paths, folders=facts.folders)
    executor.steps.extend(Step(action="remove", what=str(path), why="Settings, apps, and the log.") for path in paths)
    return is_complete


def _kept(session: Session, facts: InstallContext, paths: list[Path]) -> list[str]:
    # A runtime folder has only locks and the like, which no later install needs.
    kept = [
        path
        for path in paths
        if path.exists() and not any(path.is_relative_to(folder) for folder in facts.folders.runtimes)
    ]
    return [
        *(f"Kept for a later install: {path}" for path in kept),
        f"Kept, if an account is connected: the credential of profile {facts.profile} in the keyring.",
        f"To remove these too: {session.command('uninstall', '--purge')}",
    ]


# --- output -----------------------------------------------------------------------------------------------------------


def _failure(error: ServiceError, *, hint: str = "") -> Failure:
    wanted = hint if error.code == "command_failed" else ""
    return Failure(f"{error}\n{wanted}".rstrip(), code=error.code)


def _report(session: Session, executor: Executor, *, dry: bool, done: str, nothing: str) -> None:
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
    _show_notes(executor)


def _show_notes(executor: Executor) -> None:
    for text in executor.notes:
        note(f"Note: {printable(text)}")


def _show_steps(steps: Sequence[Step]) -> None:
    if steps:
        click.echo(table([(f"  {step.action}", what, step.why) for step, what in _condensed(steps)]))


def _condensed(steps: Sequence[Step]) -> Iterator[tuple[Step, str]]:
    """Yield each step with its text. Many files in one folder, such as the man pages, become one line."""

    def kind(step: Step) -> tuple[str, ...]:
        if step.action == "run":
            return (step.action, step.what)
        return (step.action, str(Path(step.what).parent), Path(step.what).suffix)

    for _, same_kind in itertools.groupby(steps, key=kind):
        members = list(same_kind)
        if len(members) < _CONDENSED_FROM:
            yield from ((step, _shortened(step)) for step in members)
            continue
        shortest = Path(min((step.what for step in members), key=len))
        what = f"{shortest.with_suffix('')}*{shortest.suffix} ({len(members)} files)"
        whole = msgspec.structs.replace(members[0], what=what)
        yield whole, _shortened(whole)


def _shortened(step: Step) -> str:
    # A path below the home folder begins with ~. A command stays as it can be pasted.
    home = f"{Path.home()}{os.sep}"
    return step.what if step.action == "run" else step.what.replace(home, f"~{os.sep}", 1)
