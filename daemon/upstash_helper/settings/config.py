"""
The daemon's settings.

Sources of a setting, in increasing precedence: its default, ``config.toml``, an environment variable
``UPSTASH_HELPER_<KEY>``, a flag. An unknown key or an invalid value is an error that names its source: a setting that
is silently ignored is worse than none.
"""

from __future__ import annotations

import os
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from upstash_helper.protocol.literals import LOOPBACK_HOSTS, SignInFlow
from upstash_helper.settings.profiles import ENV_PREFIX, Folders, SettingsError, locate, root_of
from upstash_helper.system import open_files, text
from upstash_helper.system.allowed import ALLOWED, ONE_WORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.system.proxies import ProxySettings

# Variables with the prefix that select the profile and are not settings.
_ENV_RESERVED: Final = frozenset({"HOME", "PROFILE"})

_CREDENTIAL_FILE: Final = "credential.json"
"""Contains the credential for Upstash itself."""

MIN_IDLE_EXIT: Final = 5
"""Seconds. systemd treats a service that restarts more often than this as failed."""
API_PORTS: Final = (26300, 26301, 26302)
"""Ports where pages look for a helper that does not use port 3000. Unassigned, and below the ephemeral ranges."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the daemon."""

    client_id: (
        Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$", extra={ALLOWED: ONE_WORD})] | None
    ) = None
    """OAuth client ID for the partner sign-in, from Upstash (partnerships@upstash.com). Most users need none."""
    sign_in: Literal["auto", "open", "partner"] = "auto"
    """``open``: at Upstash's public sign-in. ``partner``: with ``client_id``. ``auto``: with it if there is one."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 3000
    """Loopback port. Must match the redirect URI registered with Upstash, ``http://localhost:3000``."""
    port_policy: Literal["always", "on-demand"] = "always"
    """``always``: serve everything on ``port``. ``on-demand``: use ``port`` only during sign-ins; see ``api_port``."""
    api_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Port of the API with ``on-demand``. Default: the first free port of 26300, 26301, and 26302."""
    idle_exit: Annotated[int, Meta(ge=0, le=86_400)] = 0
    """Seconds without work after which a daemon that was started on demand exits. At least 5; 0 for never."""
    open_browser: bool = True
    """Open the user's browser for a sign-in."""
    notifications: bool = True
    """Show a desktop notification when an app requests access."""
    credential_store: Literal["keyring", "file", "memory"] = "keyring"
    """``keyring``; ``file``: plaintext, readable only by this user; ``memory``: lost when the daemon stops."""
    auto_approve: bool = False
    """Approve every access request automatically. The daemon refuses to start with it unless it uses a sandbox."""
    auto_confirm: bool = True
    """With ``auto_approve``: also allow whatever apps ask the user to confirm. Without ``auto_approve``: no effect."""
    auth_url: Annotated[str, Meta(max_length=512)] = "https://auth.upstash.com"
    """URL of the partner sign-in's authorization server."""
    issuer_url: Annotated[str, Meta(max_length=512)] = "https://clerk.upstash.com"
    """Issuer of the open sign-in, which describes its endpoints (RFC 8414)."""
    api_url: Annotated[str, Meta(max_length=512)] = "https://api.upstash.com"
    """URL of the Developer API, without ``/v2``."""
    rest_url: Annotated[str, Meta(max_length=512)] = "https://{host}"
    """REST URL of a database. ``{host}`` is replaced with the database's host."""
    https_proxy: Annotated[str, Meta(max_length=1024)] | None = None
    """HTTP proxy for connections to Upstash. Default: ``HTTPS_PROXY``, where the daemon is started, or the system's."""
    no_proxy: Annotated[str, Meta(max_length=4096)] | None = None
    """Hosts that need no proxy, separated by commas; a name includes its subdomains. Default: ``NO_PROXY``."""
    ca_file: Annotated[str, Meta(max_length=4096)] | None = None
    """Certificates (PEM) to trust in addition to the system's, such as that of a proxy that inspects TLS."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of the log file."""

    def __repr__(self) -> str:
        # A proxy's address may have a password.
        return f"Settings(port={self.port}, …)"

    @property
    def proxies(self) -> ProxySettings:
        """The settings that select a proxy."""
        from upstash_helper.system.proxies import ProxySettings

        return ProxySettings(self.https_proxy, self.no_proxy)

    @property
    def certificates(self) -> Path | None:
        """The path of ``ca_file``."""
        return None if self.ca_file is None else Path(self.ca_file)

    @property
    def api_ports(self) -> tuple[int, ...]:
        """Ports to try for the API, in order."""
        if self.port_policy == "always":
            return (self.port,)
        if self.api_port is not None:
            return (self.api_port,)
        return tuple(port for port in API_PORTS if port != self.port)

    @property
    def flow(self) -> SignInFlow | None:
        """
        The sign-in that a connect uses; None if none is possible.

        Tokens of Upstash's own issuer are never sent to another API: a daemon that uses a sandbox needs its issuer.
        """
        if self.sign_in != "open" and self.client_id is not None:
            return "partner"
        # By the host: the same issuer can be written in several ways.
        own = Settings()
        fits = _host(self.api_url) == _host(own.api_url) or _host(self.issuer_url) != _host(own.issuer_url)
        return "open" if self.sign_in != "partner" and fits else None

    @property
    def redirect_uri(self) -> str:
        """
        The redirect URI of the partner sign-in.

        Without a trailing slash, as Upstash registers it: the comparison is exact (RFC 6749, section 3.1.2.3).
        """
        return f"http://localhost:{self.port}"

    @property
    def upstream_urls(self) -> dict[str, str]:
        """The URLs that receive secrets, by the name of their setting: of the API, the databases, and the sign-in."""
        sign_in = "auth_url" if self.flow == "partner" else "issuer_url"
        return {name: getattr(self, name) for name in ("api_url", "rest_url", sign_in)}

    @property
    def may_use_sandbox(self) -> bool:
        """
        Whether all of these URLs are on this machine. Only the server can confirm that it is a sandbox and not, for
        example, a tunnel to Upstash: see ``upstream.sandbox.SandboxCheck``.
        """
        return all(_host(url) in LOOPBACK_HOSTS for url in self.upstream_urls.values())

    @property
    def uses_upstash(self) -> bool:
        """Whether the Developer API is Upstash's own."""
        return self.api_url == Settings().api_url

    @property
    def console_url(self) -> str | None:
        """URL of the Upstash console; None if the Developer API is not Upstash's own."""
        return "https://console.upstash.com" if self.uses_upstash else None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile: its name, its folders, its settings, and the source of each setting."""

    name: str
    folders: Folders
    settings: Settings
    root: Path | None = None
    """``UPSTASH_HELPER_HOME``, if it is set."""
    sources: dict[str, str]
    """The source of every setting that is not at its default: the file, the variable, or ``flag``."""

    @property
    def credential_name(self) -> str:
        """
        The name of the keyring entry.

        It depends on the API's URL, so that a daemon that uses a sandbox for a while neither sends the real API key
        there nor overwrites it. Likewise, each ``UPSTASH_HELPER_HOME`` has entries of its own.
        """
        name = self.name
        if self.settings.api_url != Settings().api_url:
            name += f" at {self.settings.api_url}"
        if self.root is not None:
            name += f" in {self.root}"
        return name

    @property
    def ledger_file(self) -> Path:
        """
        The ledger. Apps that were approved automatically are in a separate file, so that a daemon of the same
        profile without ``auto_approve`` does not know them.
        """
        return self.folders.automatic_ledger_file if self.settings.auto_approve else self.folders.ledger_file

    def require_no_real_credential(self) -> None:
        """
        Check that ``auto_approve`` is not used in a profile that has been connected to Upstash.

        Raises:
            SettingsError: If it has the credential of a real account.
        """
        path = self.folders.state / _CREDENTIAL_FILE
        if self.settings.auto_approve and os.path.lexists(path):
            message = (
                f"{self.sources['auto_approve']}: setting 'auto_approve': the profile {self.name} has the credential of"
                f" a real account ({path}). Use another profile for the sandbox, such as --profile sandbox."
            )
            raise SettingsError(message)

    @property
    def credential_file(self) -> Path:
        """The file of ``credential_store = "file"``. One file for each API URL, as in the keyring."""
        if self.settings.api_url == Settings().api_url:
            return self.folders.state / _CREDENTIAL_FILE
        import hashlib

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
        profile: Name of the profile. Default: ``UPSTASH_HELPER_PROFILE``, or else ``default``.
        flags: Settings from the command line. None values count as not given.
        environ: The environment. Default: the environment of this process.

    Raises:
        SettingsError: For an unknown key, an invalid value, an unreadable file, or an invalid profile name.
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
    if settings.auto_approve:
        _check_auto_approve(settings, sources)
    return Profile(
        name=name,
        folders=folders,
        settings=settings,
        root=root_of(environ),
        sources=sources,
    )


def _host(url: str) -> str | None:
    host = urlsplit(url).hostname
    return None if host is None else host.rstrip(".")


def _check_ports(settings: Settings, sources: Mapping[str, str]) -> None:
    """Reject an ``api_port`` that would have no effect, or that is the callback port."""
    if settings.api_port is None:
        return
    where = sources["api_port"]
    if settings.port_policy == "always":
        message = (
            f"{where}: setting 'api_port': it has no effect unless port_policy is \"on-demand\". Now port_policy is "
            f'"always", and everything is on port {settings.port}. Set port_policy to "on-demand", or remove api_port.'
        )
        raise SettingsError(message)
    if settings.api_port == settings.port:
        message = (
            f"{where}: setting 'api_port': {settings.api_port} is the callback port (setting 'port'), which "
            f'port_policy = "on-demand" leaves to other programs. Choose another port, such as {API_PORTS[0]}.'
        )
        raise SettingsError(message)


def _check_auto_approve(settings: Settings, sources: Mapping[str, str]) -> None:
    """
    Reject ``auto_approve`` with anything that cannot be a sandbox, or with the user's keyring. Whether the server is a
    sandbox is checked when the daemon starts, and again before each approval.
    """
    where = f"{sources['auto_approve']}: setting 'auto_approve':"
    for name, url in settings.upstream_urls.items():
        if _host(url) not in LOOPBACK_HOSTS:
            message = (
                f"{where} it requires a local sandbox (upstash-helper sandbox), but {name} is {url}. Every app would"
                " get access to a real account without your approval. Set the URLs to those of a sandbox, or remove"
                " auto_approve."
            )
            raise SettingsError(message)
    if settings.credential_store == "keyring":
        message = (
            f"{where} it cannot be combined with the keyring, which has your real credentials. Set credential_store to"
            ' "memory" or "file".'
        )
        raise SettingsError(message)


def _from_file(path: Path) -> dict[str, object]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}."
        raise SettingsError(message) from error


def read_toml(path: Path) -> dict[str, object]:
    """
    Return the content of a settings file, also as editors on Windows write it: with CRLF and a byte order mark.

    Raises:
        SettingsError: If it is not TOML in UTF-8.
        OSError: If it cannot be read.
    """
    content = open_files.read_bytes(path)
    # Imported here: most users have no such file.
    import tomllib

    try:
        return tomllib.loads(text.decode_utf8(content))
    except text.NotUtf8 as error:
        message = f"{path} {error}"
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not valid TOML: see {_place(error)}. Fix it, or move the file away."
    except ValueError:
        message = f"{path}: not valid TOML: it has a number with too many digits. Fix it, or move the file away."
    except RecursionError:
        message = f"{path}: not valid TOML: it is nested too deeply. Fix it, or move the file away."
    raise SettingsError(message)


def _place(error: ValueError) -> str:
    """Return where the error is. The rest of the parser's text may quote keys, or characters that cannot be shown."""
    found = re.search(r"\(at (line \d+, column \d+)\)", str(error))
    return found[1] if found else "its end"


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        key = variable.removeprefix(ENV_PREFIX)
        if key not in _ENV_RESERVED:
            values[key.lower()] = value
    return values


def _checked(where: str, key: str, value: object) -> object:
    """Return ``value`` converted to its setting's type. Text from a variable or a flag is converted leniently."""
    # Imported here: without a file, a variable, and a flag there is nothing to check.
    from upstash_helper.system import validation

    kinds = typing.get_type_hints(Settings, include_extras=True)
    if key not in kinds:
        import difflib

        close = difflib.get_close_matches(key, kinds, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" Known settings: {', '.join(sorted(kinds))}."
        message = f"{where}: unknown setting {key!r}.{hint}"
        raise SettingsError(message)

    lenient = where.startswith(ENV_PREFIX) or where == "flag"
    try:
        converted = validation.convert(value, kinds[key], lenient=lenient)
    except validation.ValuesInvalid as error:
        detail = error.errors[0].detail
        message = f"{where}: setting {key!r}: {detail[0].lower()}{detail[1:]}"
        raise SettingsError(message) from None
    if key == "idle_exit" and 0 < converted < MIN_IDLE_EXIT:
        message = (
            f"{where}: setting 'idle_exit': {converted} is too short: systemd would treat the daemon as failed and "
            f"stop starting it. Use {MIN_IDLE_EXIT} or more, or 0 for never."
        )
        raise SettingsError(message)
    if key.endswith("_url"):
        _check_url(where, key, str(converted))
    if converted is not None and key in _NETWORK_PROBLEM:
        problem = _NETWORK_PROBLEM[key](str(converted), where)
        if problem:
            message = f"{where}: setting {key!r}: {problem}"
            raise SettingsError(message)
    return converted


def _https_proxy_problem(proxy: str, where: str) -> str | None:
    """Return why it cannot be used. The value, which may have a password, is not part of it."""
    from upstash_helper.system.proxies import has_password, proxy_problem

    problem = proxy_problem(proxy.strip())
    if problem:
        return f"it {problem}."
    if where == "flag" and has_password(proxy.strip()):
        return "every user could read its password in the list of processes. Set it in config.toml instead."
    return None


def _ca_file_problem(path: str, _where: str) -> str | None:
    example = r"C:\certificates\company.pem" if sys.platform == "win32" else "/etc/ssl/company.pem"
    return None if Path(path).is_absolute() else f"expected an absolute path, such as {example}."


_NETWORK_PROBLEM: Final[dict[str, Callable[[str, str], str | None]]] = {
    "https_proxy": _https_proxy_problem,
    "ca_file": _ca_file_problem,
}


def _check_url(where: str, key: str, url: str) -> None:
    problem = _url_problem(key, url)
    if problem:
        message = f"{where}: setting {key!r}: {problem}"
        raise SettingsError(message)


def _url_problem(key: str, url: str) -> str | None:
    if key == "rest_url":
        url = url.replace("{host}", "host.example")
        if "{" in url or "}" in url:
            return "the only placeholder is '{host}'."
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "not a URL."
    if not url.isprintable() or re.search(r"\s", url):  # which urlsplit removes, or leaves in the host
        return "must not contain spaces, line breaks, or other characters that cannot be seen."
    if not host or parts.username or parts.query or parts.fragment:
        return "expected a URL such as https://host, without user, query, or fragment."
    if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS):
        return None
    return "expected https, because secrets are sent to it (http is allowed only for localhost, 127.0.0.1, and [::1])."
