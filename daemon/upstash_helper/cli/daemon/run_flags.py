"""
The flags of ``run``, which are settings; and a reader of them that does without click.

Importing click takes longer than binding two sockets, and stays in the daemon's memory for its life. So the usual ways
to start the daemon are read here, and whatever is not plain is left to click, which explains it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RunFlag(NamedTuple):
    """A flag that stands for a setting."""

    flag: str
    setting: str
    metavar: str
    help: str


RUN_FLAGS: Final = (
    RunFlag("--port", "port", "PORT", "Loopback port. A sign-in comes back to the registered one: 3000."),
    RunFlag("--port-policy", "port_policy", "POLICY", "always, or on-demand: take PORT for a sign-in alone."),
    RunFlag(
        "--api-port", "api_port", "PORT", "Where the API is with on-demand; else the first free of 26300 to 26302."
    ),
    RunFlag("--idle-exit", "idle_exit", "SECONDS", "End after so long (5 or more) without anything to do; 0: never."),
    RunFlag("--client-id", "client_id", "ID", "OAuth client id that Upstash gave you."),
    RunFlag("--auth-url", "auth_url", "URL", "Authorization server."),
    RunFlag("--api-url", "api_url", "URL", "Developer API, without /v2."),
    RunFlag("--rest-url", "rest_url", "URL", "REST address of a database; {host} stands for its host."),
    RunFlag("--credential-store", "credential_store", "STORE", "Where the API key is kept: keyring, file or memory."),
    RunFlag("--log-level", "log_level", "LEVEL", "How much is logged: debug, info, warning or error."),
)


class Switch(NamedTuple):
    """A flag that turns a setting off."""

    flag: str
    setting: str
    help: str


SWITCHES: Final = (
    Switch("--no-browser", "open_browser", "Never open the browser; only show the address."),
    Switch("--no-notifications", "notifications", "Show no notification when an app waits for your decision."),
)
STOP_WITH_PARENT: Final = "--stop-with-parent"
WAIT_FOR_PORT: Final = "--wait-for-port"


class RunRequest(NamedTuple):
    """What ``run`` is asked for."""

    profile: str | None
    flags: dict[str, object]
    stop_with_parent: bool = False
    wait_for_port: bool = False


def read_plainly(arguments: list[str]) -> RunRequest | None:
    """Return what a ``[--profile NAME] run [FLAG VALUE]…`` asks for; None for anything that is not just that."""
    profile, rest = _profile(arguments)
    if rest[:1] != ["run"]:
        return None

    settings = {flag.flag: flag.setting for flag in RUN_FLAGS}
    switches = {switch.flag: switch.setting for switch in SWITCHES}
    flags: dict[str, object] = {}
    given_plain: set[str] = set()
    words = iter(rest[1:])
    for word in words:
        if word in switches:
            flags[switches[word]] = False
            continue
        if word in {STOP_WITH_PARENT, WAIT_FOR_PORT}:
            given_plain.add(word)
            continue
        name, equals, given = word.partition("=")
        value = given if equals else next(words, None)
        if name not in settings or value is None or value.startswith("-"):
            return None
        flags[settings[name]] = value
    return RunRequest(profile, flags, STOP_WITH_PARENT in given_plain, WAIT_FOR_PORT in given_plain)


def _profile(arguments: list[str]) -> tuple[str | None, list[str]]:
    match arguments:
        case ["--profile", name, *rest]:
            return name, rest
        case [first, *rest] if first.startswith("--profile="):
            return first.removeprefix("--profile="), rest
        case _:
            return None, arguments
