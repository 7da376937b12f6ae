"""``config``: the settings and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import discovery
from upstash_helper.settings.config import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as ``config show --json`` has it."""

    value: str | int | bool | None
    source: str


@click.group("config")
def config() -> None:
    """Show the settings and where they come from."""


@command("show")
@pass_session
def show(session: Session) -> None:
    """
    Show every setting, and what gave it its value.

    From weak to strong: default, config.toml, an environment variable UPSTASH_HELPER_<KEY>, a flag of `run`.
    """
    world = load_profile(profile=session.profile_flag)
    values: Mapping[str, Any] = msgspec.structs.asdict(world.settings)
    settings = {key: Setting(value=value, source=world.sources.get(key, "default")) for key, value in values.items()}

    if session.json:
        print_json({"profile": world.profile, "file": str(world.folders.config_file), "settings": settings})
        return
    rows = [(key, _toml(setting.value), setting.source) for key, setting in settings.items()]
    click.echo(table(rows, header=("SETTING", "VALUE", "FROM")))


@command("path")
@pass_session
def path(session: Session) -> None:
    """
    Print the path of the settings file; it need not exist.

    With --json also where the log is, and where the running daemon announces itself to programs.
    """
    file = session.folders.config_file
    if session.json:
        print_json(
            {
                "file": str(file),
                "exists": file.exists(),
                "log": str(session.folders.log_file),
                "discovery": str(discovery.discovery_file(session.folders.runtime)),
            }
        )
    else:
        click.echo(str(file))


def _toml(value: str | int | bool | None) -> str:
    return "(not set)" if value is None else msgspec.json.encode(value).decode()


config.add_command(show)
config.add_command(path)
