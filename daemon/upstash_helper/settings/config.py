"""
What a user may choose about the daemon, and where each choice stands.

A setting comes from, in order of strength rising: its default, ``config.toml``, an environment variable
``UPSTASH_HELPER_<KEY>``, a flag. An unknown key or a bad value is an error that names where it stands: a setting that
is silently ignored is worse than none.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from upstash_helper.settings.profiles import ENV_PREFIX, Folders, SettingsError, locate, root_of

if TYPE_CHECKING:
    from collections.abc import Mapping
# Variables with our prefix that choose the world and are therefore no settings of it.
_ENV_RESERVED: Final = frozenset({"HOME", "PROFILE"})

SHORTEST_IDLE_EXIT: Final = 5
"""Seconds. A service manager takes a daemon that is started again and again within less for one that cannot run."""
API_PORTS: Final = (26300, 26301, 26302)
"""Where pages look for a helper that leaves port 3000 alone. Below what systems hand out by themselves; unassigned."""

_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about the daemon that a user may choose."""

    client_id: Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")] | None = None
    """The OAuth client id that Upstash gave (partnerships@upstash.com). Without one, connect with an API key."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 3000
    """The loopback port. Upstash redirects a sign-in to the address that was registered: ``http://localhost:3000``."""
    port_policy: Literal["always", "on-demand"] = "always"
    """``always``: everything is on ``port``. ``on-demand``: the API is elsewhere, ``port`` taken only for a sign-in."""
    api_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Where the API is with ``on-demand``; by default on the first of 26300, 26301 and 26302 that is free."""
    idle_exit: Annotated[int, Meta(ge=0, le=86_400)] = 0
    """After so many seconds without anything to do, 5 at least, a daemon ends that is started on demand. 0: never."""
    open_browser: bool = True
    """Open the user's browser when a connect asks for it."""
    notifications: bool = True
    """Show a notification on the desktop when an app waits for the user's approval."""
    credential_store: Literal["keyring", "file", "memory"] = "keyring"
    """``keyring``; ``file``: in clear, readable by this user alone; ``memory``: gone when the daemon stops."""
    auth_url: Annotated[str, Meta(max_length=512)] = "https://auth.upstash.com"
    """The authorization server."""
    api_url: Annotated[str, Meta(max_length=512)] = "https://api.upstash.com"
    """The Developer API, without ``/v2``."""
    rest_url: Annotated[str, Meta(max_length=512)] = "https://{host}"
    """The REST address of a database; ``{host}`` stands for the database's host."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much goes into the log file."""

    @property
    def api_ports(self) -> tuple[int, ...]:
        """Where the API may be, the one to try first in front."""
        if self.port_policy == "always":
            return (self.port,)
        if self.api_port is not None:
            return (self.api_port,)
        return tuple(port for port in API_PORTS if port != self.port)

    @property
    def redirect_uri(self) -> str:
        """
        Where the authorization server sends the browser.

        As Upstash's guideline registers it, without a trailing slash: RFC 6749, section 3.1.2.3 compares it exactly.
        """
        return f"http://localhost:{self.port}"

    @property
    def console_url(self) -> str | None:
        """Upstash's console; None where the Developer API is not Upstash's own."""
        return "https://console.upstash.com" if self.api_url == Settings().api_url else None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile: its name, its folders, its settings, and where each setting came from."""

    profile: str
    folders: Folders
    settings: Settings
    root: Path | None = None
    """``UPSTASH_HELPER_HOME``, if all folders are below one."""
    sources: dict[str, str]
    """For every setting that is not at its default: the file, the variable or the flag."""

    @property
    def credential_name(self) -> str:
        """
        The name of the keyring's entry.

        An API key belongs to the service that made it: a daemon that is pointed at a sandbox for a while neither sends
        the real key there nor overwrites it. The same goes for a world below ``UPSTASH_HELPER_HOME``.
        """
        name = self.profile
        if self.settings.api_url != Settings().api_url:
            name += f" at {self.settings.api_url}"
        if self.root is not None:
            name += f" in {self.root}"
        return name

    @property
    def credential_file(self) -> Path:
        """Where ``credential_store = "file"`` keeps the API key; one file for each service, as in the keyring."""
        if self.settings.api_url == Settings().api_url:
            return self.folders.state / "credential.json"
        digest = hashlib.sha256(self.settings.api_url.encode()).hexdigest()[:8]
        return self.folders.state / f"credential-{digest}.json"


def load_profile(
    *,
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Profile:
    """
    Read the settings of a profile.

    Args:
        profile: Its name; by default ``UPSTASH_HELPER_PROFILE``, else ``default``.
        flags: Settings given on the command line; None values count as not given.
        environ: The environment, by default the process's own.

    Raises:
        SettingsError: For an unknown key, a bad value, an unreadable file or a profile name that cannot be a folder.
    """
    environ = os.environ if environ is None else environ
    name, folders = locate(profile=profile, environ=environ)

    layers: list[tuple[str, dict[str, object]]] = [
        (str(folders.config_file), _from_file(folders.config_file)),
        ("environment", _from_environment(environ)),
        ("flag", {key: value for key, value in (flags or {}).items() if value is not None}),
    ]

    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for key, value in layer.items():
            where = f"{ENV_PREFIX}{key.upper()}" if source == "environment" else source
            values[key] = _checked(where, key, value)
            sources[key] = where

    settings = msgspec.convert(values, Settings)
    _check_ports(settings, sources)
    return Profile(
        profile=name,
        folders=folders,
        settings=settings,
        root=root_of(environ),
        sources=sources,
    )


def _check_ports(settings: Settings, sources: Mapping[str, str]) -> None:
    """Refuse an ``api_port`` that would not be used, or that is the port of sign-ins."""
    if settings.api_port is None:
        return
    where = sources["api_port"]
    if settings.port_policy == "always":
        message = (
            f"{where}: setting 'api_port': it is used with port_policy = \"on-demand\" alone, and port_policy is "
            f'"always": everything is on port {settings.port}. Set port_policy to "on-demand", or leave api_port out.'
        )
        raise SettingsError(message)
    if settings.api_port == settings.port:
        message = (
            f"{where}: setting 'api_port': {settings.api_port} is the port of sign-ins (setting 'port'), which "
            f'port_policy = "on-demand" leaves to others. Take another one, such as {API_PORTS[0]}.'
        )
        raise SettingsError(message)


def _from_file(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise SettingsError(message) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: {error}"
        raise SettingsError(message) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        key = variable.removeprefix(ENV_PREFIX)
        if key not in _ENV_RESERVED:
            values[key.lower()] = text
    return values


def _checked(where: str, key: str, value: object) -> object:
    """Return ``value`` as the type of its setting; text from a variable or a flag is read leniently."""
    kinds = typing.get_type_hints(Settings, include_extras=True)
    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" Known are: {', '.join(sorted(kinds))}."
        message = f"{where}: unknown setting {key!r}.{hint}"
        raise SettingsError(message)

    lenient = where.startswith(ENV_PREFIX) or where == "flag"
    try:
        converted = msgspec.convert(value, kinds[key], strict=not lenient)
    except msgspec.ValidationError as error:
        choices = [repr(choice) for choice in typing.get_args(kinds[key]) if isinstance(choice, str)]
        taken = f" Taken are: {', '.join(choices)}." if choices else ""
        message = f"{where}: setting {key!r}: {error}.{taken}"
        raise SettingsError(message) from None
    if key == "idle_exit" and 0 < converted < SHORTEST_IDLE_EXIT:
        message = (
            f"{where}: setting 'idle_exit': {converted} is too short: systemd would take the daemon for one that "
            f"cannot run, and no longer start it. Take {SHORTEST_IDLE_EXIT} or more, or 0 for never."
        )
        raise SettingsError(message)
    if key.endswith("_url"):
        _check_url(where, key, str(converted))
    return converted


def _check_url(where: str, key: str, url: str) -> None:
    problem = _url_problem(key, url)
    if problem:
        message = f"{where}: setting {key!r}: {problem}"
        raise SettingsError(message)


def _url_problem(key: str, url: str) -> str | None:
    if key == "rest_url":
        url = url.replace("{host}", "host.example")
        if "{" in url or "}" in url:
            return "only '{host}' can stand in it."
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "this is not a URL."
    if not host or parts.username or parts.query or parts.fragment:
        return "expected an address such as https://host, without user, query or fragment."
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK_HOSTS):
        return None
    return "expected https (http is taken for localhost, 127.0.0.1 and [::1] alone): secrets travel over it."
