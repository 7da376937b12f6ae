"""This terminal's proxy settings and certificates that the service, started by its manager, does not inherit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.service.executor import run
from upstash_helper.system.proxies import is_exempt
from upstash_helper.system.shell_network import LostVariable, lost_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.service.context import InstallContext
    from upstash_helper.service.executor import CommandRunner
    from upstash_helper.settings.config import Settings

_NAMES: Final = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE")


def lost_by_service(
    facts: InstallContext, settings: Settings, environ: Mapping[str, str], *, runner: CommandRunner = run
) -> list[LostVariable]:
    """
    Return the variables in this terminal that the service will not have, and for which no setting is made.

    Args:
        facts: The context of the installation.
        settings: The settings, as the service reads them.
        environ: The environment of this terminal.
        runner: Runs commands.
    """
    if facts.platform == "win32" or environ.keys().isdisjoint(_NAMES):
        # Windows starts a task with the variables of the user and the system, which a new terminal has as well.
        return []
    host = urlsplit(settings.api_url).hostname or ""
    if host in LOOPBACK_HOSTS:
        return []  # a sandbox: connections to this machine use no proxy
    known = _manager_variables(facts, runner)
    proxies, exceptions = {"https_proxy", "HTTPS_PROXY"}, {"no_proxy", "NO_PROXY"}
    return lost_variables(
        environ,
        host,
        proxy=settings.https_proxy is not None or bool(known & proxies) or is_exempt(host, settings.no_proxy or ""),
        exceptions=settings.no_proxy is not None or bool(known & exceptions),
        certificates=settings.ca_file is not None or "SSL_CERT_FILE" in known,
    )


def _manager_variables(facts: InstallContext, runner: CommandRunner) -> set[str]:
    """Return the names of the variables that the service manager gives to services, as far as they matter here."""
    if facts.systemd:
        # systemctl(1), show-environment: NAME=VALUE in each line.
        environment = {} if facts.runtime_dir is None else {"XDG_RUNTIME_DIR": str(facts.runtime_dir)}
        result = runner(("systemctl", "--user", "show-environment"), environment=environment)
        return {line.partition("=")[0] for line in result.output.splitlines()} if result.code == 0 else set()
    if facts.platform == "darwin":
        # launchctl(1), getenv: the value, or nothing.
        found = {name: runner(("launchctl", "getenv", name), environment={}) for name in _NAMES}
        return {name for name, result in found.items() if result.code == 0 and result.output.strip()}
    return set()
