"""
The flags of ``run``, and their parser, which does without click.

Importing click takes longer than binding two sockets, and its memory would be held for the daemon's whole life. So
``__main__`` starts the daemon with this parser alone. click knows the flags only for its help and completion; its
``run``, ``start``, and ``restart`` commands pass their arguments on to this parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class SettingFlag(NamedTuple):
    """A flag whose value becomes a setting."""

    flag: str
    setting: str
    metavar: str
    help: str


SETTING_FLAGS: Final = (
    SettingFlag("--port", "port", "PORT", "Loopback port of the API and the OAuth redirect. Default: 3000."),
    SettingFlag(
        "--port-policy", "port_policy", "POLICY", "always, or on-demand: use PORT only while a sign-in is pending."
    ),
    SettingFlag(
        "--api-port", "api_port", "PORT", "API port with on-demand. Default: the first free port of 26300 to 26302."
    ),
    SettingFlag(
        "--idle-exit", "idle_exit", "SECONDS", "Exit after this long without activity (at least 5); 0 for never."
    ),
    SettingFlag(
        "--sign-in", "sign_in", "FLOW", "open, partner, or auto (partner if there is a client ID, otherwise open)."
    ),
    SettingFlag("--issuer-url", "issuer_url", "URL", "Issuer of the open sign-in."),
    SettingFlag("--client-id", "client_id", "ID", "OAuth client ID from Upstash, for the partner sign-in."),
    SettingFlag("--auth-url", "auth_url", "URL", "Authorization server of the partner sign-in."),
    SettingFlag("--api-url", "api_url", "URL", "Developer API, without /v2."),
    SettingFlag("--rest-url", "rest_url", "URL", "REST URL of a database. {host} is replaced by its host."),
    SettingFlag(
        "--credential-store", "credential_store", "STORE", "Where to store the credential: keyring, file, or memory."
    ),
    SettingFlag(
        "--https-proxy", "https_proxy", "URL", "HTTP proxy for Upstash, without a password. Default: HTTPS_PROXY."
    ),
    SettingFlag("--no-proxy", "no_proxy", "HOSTS", "Hosts that need no proxy, separated by commas. Default: NO_PROXY."),
    SettingFlag("--ca-file", "ca_file", "FILE", "Certificates (PEM) to trust in addition to the system's."),
    SettingFlag("--log-level", "log_level", "LEVEL", "Log level: debug, info, warning, or error."),
)


class SettingSwitch(NamedTuple):
    """A flag without a value, which turns a setting off or on."""

    flag: str
    setting: str
    help: str
    value: bool = False


SETTING_SWITCHES: Final = (
    SettingSwitch("--no-browser", "open_browser", "Never open the browser; only print addresses."),
    SettingSwitch("--no-notifications", "notifications", "Show no desktop notifications."),
    SettingSwitch(
        "--auto-approve", "auto_approve", "Approve every access request automatically. Only with a sandbox.", value=True
    ),
    SettingSwitch(
        "--no-auto-confirm", "auto_confirm", "With --auto-approve, still ask before an app deletes or writes something."
    ),
)

JSON: Final = "--json"
STOP_WITH_PARENT: Final = "--stop-with-parent"
WAIT_FOR_PORT: Final = "--wait-for-port"
RUN_SWITCHES: Final = frozenset({JSON, STOP_WITH_PARENT, WAIT_FOR_PORT})
"""The flags of ``run`` that are not settings."""


class RunUsageError(Exception):
    """The command line is invalid. ``str()`` is the reason, as a sentence."""


class ParsedFlags(NamedTuple):
    """The parsed arguments of ``run``, ``start``, or ``restart``."""

    settings: dict[str, object]
    """Values by the setting's name, as they were typed; a switch has its own value."""
    switches: frozenset[str] = frozenset()
    """The other switches that were given."""


class RunRequest(NamedTuple):
    """How to run the daemon."""

    profile: str | None
    flags: dict[str, object]
    stop_with_parent: bool = False
    wait_for_port: bool = False
    as_json: bool = False


def parse_command_line(arguments: list[str]) -> RunRequest | None:
    """
    Parse ``[--profile NAME] run [FLAG]…``. Return None for any other command line, and for one that asks for help.

    Raises:
        RunUsageError: If a flag of ``run`` is invalid.
    """
    profile, rest = _split_profile(arguments)
    if rest[:1] != ["run"] or not {"-h", "--help"}.isdisjoint(rest):
        return None
    return run_request(profile, parse_flags(rest[1:], switches=RUN_SWITCHES))


def run_request(profile: str | None, parsed: ParsedFlags) -> RunRequest:
    """Return the request that the arguments of ``run`` make."""
    given = parsed.switches
    return RunRequest(profile, parsed.settings, STOP_WITH_PARENT in given, WAIT_FOR_PORT in given, JSON in given)


def parse_flags(arguments: Sequence[str], *, switches: frozenset[str]) -> ParsedFlags:
    """
    Parse flags that are settings, and ``switches``. Of a repeated flag the last value counts.

    Raises:
        RunUsageError: If an argument is unknown, or a value is missing or superfluous.
    """
    settings = {flag.flag: flag.setting for flag in SETTING_FLAGS}
    set_by = {switch.flag: switch for switch in SETTING_SWITCHES}
    known = {*settings, *set_by, *switches}
    values: dict[str, object] = {}
    given: set[str] = set()
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name not in known:
            raise RunUsageError(_unknown(argument, name, known))
        if name in settings:
            values[settings[name]] = value if equals else _next_value(name, remaining, known)
            continue
        if equals:
            raise RunUsageError(f"Option {name!r} does not take a value.")
        if name in set_by:
            values[set_by[name].setting] = set_by[name].value
        else:
            given.add(name)
    return ParsedFlags(values, frozenset(given))


def _next_value(name: str, remaining: Iterator[str], known: set[str]) -> str:
    value = next(remaining, None)
    if value is None or value.partition("=")[0] in known:
        raise RunUsageError(f"Option {name!r} requires an argument.")
    return value


def _unknown(argument: str, name: str, known: set[str]) -> str:
    if not argument.startswith("-"):
        return f"Unexpected argument {argument!r}."
    from difflib import get_close_matches

    match = next(iter(get_close_matches(name, known, n=1)), None)
    return f"No such option {name!r}." + (f" Did you mean {match!r}?" if match else "")


def _split_profile(arguments: list[str]) -> tuple[str | None, list[str]]:
    match arguments:
        case ["--profile", name, *rest]:
            return name, rest
        case [first, *rest] if first.startswith("--profile="):
            return first.removeprefix("--profile="), rest
        case _:
            return None, arguments
