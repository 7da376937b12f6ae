"""``config``: the settings and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from upstash_helper.cli.command import group
from upstash_helper.cli.output import print_json, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import discovery
from upstash_helper.settings.config import load_profile
from upstash_helper.system.proxies import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in ``config show --json``."""

    value: str | int | bool | None
    source: str


@group("config")
def config() -> None:
    """Show the settings and where they come from."""


@config.command("show")
@pass_session
def show(session: Session) -> None:
    """
    Show every setting, its value, and its source.

    Sources, from lowest to highest priority: the default, config.toml, an environment variable UPSTASH_HELPER_<KEY>,
    and a flag of `run`.
    """
    profile = load_profile(profile=session.profile_flag)
    values: Mapping[str, Any] = msgspec.structs.asdict(profile.settings)
    if profile.settings.https_proxy is not None:
        values = {**values, "https_proxy": without_password(profile.settings.https_proxy)}
    settings = {key: Setting(value=value, source=profile.sources.get(key, "default")) for key, value in values.items()}

    if session.json:
        print_json({"profile": profile.name, "file": str(profile.folders.config_file), "settings": settings})
        return
    rows = [(key, _toml(setting.value), setting.source) for key, setting in settings.items()]
    click.echo(table(rows, header=("SETTING", "VALUE", "SOURCE")))


@config.command("path")
@pass_session
def path(session: Session) -> None:
    """
    Print the path of the settings file, whether it exists or not.

    With --json, also the paths of the log and of the discovery file, which lets programs find the running daemon.
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
