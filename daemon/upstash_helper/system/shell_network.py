"""
Variables for proxies and certificates that are set in a terminal, and that a service does not inherit.

A service manager starts the daemon with its own environment, in which HTTPS_PROXY and the like are usually missing.
curl then works in the terminal, and the helper does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upstash_helper.system import proxies, trust

if TYPE_CHECKING:
    from collections.abc import Mapping


class LostVariable(NamedTuple):
    """A variable that the daemon does not have."""

    name: str
    setting: str
    """The setting that replaces it."""
    value: str
    """Its value without a password, for the user."""

    @property
    def hint(self) -> str:
        """What to add to the line; empty if nothing."""
        return " (with the user and the password in place of …)" if "…@" in self.value else ""

    @property
    def line(self) -> str:
        """The line for ``config.toml``."""
        import json  # a string of JSON is one of TOML

        return f"{self.setting} = {json.dumps(self.value, ensure_ascii=False)}"


def lost_variables(
    environ: Mapping[str, str], host: str, *, proxy: bool, exceptions: bool, certificates: bool
) -> list[LostVariable]:
    """
    Return the variables in a terminal's environment that the daemon lacks, and that would make a difference to it.

    Args:
        environ: The environment of the terminal.
        host: The host that the daemon connects to.
        proxy: Whether the daemon has a proxy, or connects directly because it was told to.
        exceptions: Whether it has a list of hosts that need none.
        certificates: Whether it has a file of certificates.
    """
    lost = []
    name, exception = proxies.proxy_variable(environ), proxies.exceptions_variable(environ)
    if name is not None and not proxy:
        address = environ[name].strip()
        # As a setting, a proxy that is not supported would keep the daemon from starting.
        is_usable = proxies.proxy_problem(address) is None
        if is_usable and not proxies.is_exempt(host, environ.get(exception or "", "")):
            lost.append(LostVariable(name, "https_proxy", proxies.without_password(address)))
    # Without a proxy, it has no effect.
    if exception is not None and not exceptions and (proxy or lost):
        lost.append(LostVariable(exception, "no_proxy", environ[exception]))
    certificate = trust.certificate_variable(environ)
    if certificate == "SSL_CERT_FILE" and not certificates:
        # The setting is read in another folder than this one.
        lost.append(LostVariable(certificate, "ca_file", str(Path(environ[certificate]).absolute())))
    return lost
