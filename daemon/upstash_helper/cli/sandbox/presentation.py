"""How a running sandbox is shown: as text, as JSON, and as lines for a shell or a ``.env`` file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click
import msgspec

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import key_values, print_for_programs, print_json
from upstash_helper.cli.sandbox import managed_lines
from upstash_helper.cli.sandbox.upstream import Upstream
from upstash_helper.client.dotenv import env_lines
from upstash_helper.system import confined_files, text

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.cli.sandbox.environment import Running
    from upstash_helper.cli.sandbox.own_profile import SandboxProfile

Shell = Literal["sh", "fish", "powershell"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account, for the sandbox's own pages."""

    email: str
    password: str


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """The database."""

    id: str


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon."""

    pid: int
    base_url: str
    log_file: str | None


class Up(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``sandbox up`` as JSON."""

    state: Literal["running"] = "running"
    profile: str
    already_running: bool
    daemon: Daemon
    upstream: Upstream
    account: Account
    database: Database
    dashboard_url: str
    """Works once, within a minute."""
    env: dict[str, str]
    """The variables of a ``.env`` file."""


def as_json(profile: SandboxProfile, running: Running) -> None:
    """Print everything as JSON."""
    print_json(
        Up(
            profile=profile.name,
            already_running=running.was_running,
            daemon=Daemon(pid=running.daemon.pid, base_url=running.client.base_url, log_file=running.daemon.log_file),
            upstream=running.upstream,
            account=Account(email=running.kept.email, password=running.kept.password),
            database=Database(id=running.database.id),
            dashboard_url=running.client.open_dashboard().url,
            env=dict(running.database.env),
        )
    )


def as_shell(running: Running, shell: Shell) -> None:
    """Print lines that a shell evaluates, and nothing else."""
    form: Literal["shell", "fish", "powershell"] = "shell" if shell == "sh" else shell
    print_for_programs(env_lines(running.database.env, form))


def as_text(profile: SandboxProfile, running: Running, *, variables: bool = True) -> None:
    """Print the addresses for a person, and the variables unless they are in a file."""
    open_command = profile.session.command("open")
    rows = [
        ("Dashboard", f"{running.client.open_dashboard().url} (works once, within a minute; then: {open_command})"),
        ("Daemon", f"{running.client.base_url} (profile {profile.name}, process {running.daemon.pid})"),
        ("Sandbox", f"{running.upstream.api_url} (process {running.upstream.pid})"),
        ("Console", profile.command("console")),
        ("Commands", f"add --profile {profile.name}, such as {profile.session.command('databases', 'list')}"),
        ("Agents", f"{profile.session.command('setup')} adds the sandbox to them"),
        *([("Approval", "automatic: every app gets the access that it requests")] if running.kept.auto_approve else []),
        ("Stop", profile.command("down")),
    ]
    state = "was already running" if running.was_running else "is running"
    click.echo(f"The sandbox {state}. It is a local Upstash: nothing leaves this machine.\n")
    click.echo(key_values(rows))
    if not variables:
        return
    click.echo("\nFor a .env file:\n")
    click.echo(env_lines(running.database.env, "dotenv"))
    click.echo("\nFor this shell:\n")
    click.echo(env_lines(running.database.env, "shell"))


def to_env_file(running: Running, path: Path) -> None:
    """
    Write the variables to a ``.env`` file, and keep its other lines.

    Raises:
        Failure: If one of its other lines sets one of the variables, the end of ours is missing, or the file cannot be
            written.
    """
    variables = running.database.env
    lines = env_lines(variables, "dotenv").splitlines()
    try:
        managed_lines.update(path, lines, names=variables)
    except managed_lines.AlreadySet as error:
        message = (
            f"{path}, line {error.line}, already sets {error.name}, perhaps for a real database. Remove the line, or"
            " choose another file, such as .env.local."
        )
        raise Failure(message, code="already_set") from None
    except managed_lines.NoEnd as error:
        message = f"{path} was not changed: {error}. Add that line, or remove the lines that are left."
        raise Failure(message, code="not_managed") from None
    except text.NotUtf8 as error:
        raise Failure(f"{path} {error}", code="not_utf8") from None
    except confined_files.Refused as error:
        raise Failure(str(error), code="file_unwritable") from None
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.", code="file_unwritable") from error
