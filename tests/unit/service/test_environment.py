"""What a service lacks of the terminal's proxy and certificates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.install_context import context
from upstash_helper.service.environment import lost_by_service
from upstash_helper.service.executor import CommandResult
from upstash_helper.settings.config import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CERTIFICATES = str(Path("/etc/ssl/company.pem").absolute())
TERMINAL = {
    "HTTPS_PROXY": "http://ada:s3cret@proxy:3128",
    "no_proxy": "example.com",
    "SSL_CERT_FILE": CERTIFICATES,
}
CA_FILE = f"ca_file = {json.dumps(CERTIFICATES)}"


class Manager:
    """A service manager with variables."""

    def __init__(self, *lines: str, code: int = 0) -> None:
        self._result = CommandResult(code, "\n".join(lines))

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
        """Answer ``show-environment``."""
        assert (("systemctl", "--user", "show-environment"), True) == (tuple(argv), waits), environment
        return self._result


def lost(home: Path, manager: Manager, settings: Settings, environ: Mapping[str, str] = TERMINAL) -> list[str]:
    """Return the lines for the settings file."""
    return [each.line for each in lost_by_service(context(home), settings, environ, runner=manager)]


@pytest.mark.parametrize("manager", [Manager("PATH=/bin", "LANG=C.UTF-8"), Manager(code=1)], ids=["none", "fails"])
def test_variables_of_the_terminal_are_named_with_their_settings(tmp_path: Path, manager: Manager) -> None:
    """Each with the line to add. A password is left out."""
    assert [
        'https_proxy = "http://…@proxy:3128"',
        'no_proxy = "example.com"',
        CA_FILE,
    ] == lost(tmp_path, manager, Settings())


def test_what_the_service_manager_or_a_setting_has_is_not_lost(tmp_path: Path) -> None:
    """Variables imported into systemd, and settings."""
    manager = Manager("https_proxy=http://proxy:3128", "NO_PROXY=example.com")

    assert [CA_FILE] == lost(tmp_path, manager, Settings())
    assert [] == lost(tmp_path, manager, Settings(ca_file=CERTIFICATES))


def test_exceptions_without_a_proxy_are_not_lost(tmp_path: Path) -> None:
    """They have no effect."""
    assert [] == lost(tmp_path, Manager(), Settings(), {"NO_PROXY": "localhost"})


@pytest.mark.parametrize(
    "settings", [Settings(no_proxy="*"), Settings(api_url="http://127.0.0.1:9")], ids=["exempt", "sandbox"]
)
def test_proxy_without_an_effect_is_not_lost(tmp_path: Path, settings: Settings) -> None:
    """The user has set that Upstash is reached directly, or a sandbox on this machine is used."""
    assert [] == lost(tmp_path, Manager(), settings, {"HTTPS_PROXY": "http://proxy:3128"})


def test_service_manager_is_not_asked_without_a_reason(tmp_path: Path) -> None:
    """Most terminals have none of the variables."""

    def fail(*_: object, **__: object) -> CommandResult:
        raise AssertionError

    assert [] == lost_by_service(context(tmp_path), Settings(), {"PATH": "/bin"}, runner=fail)


def test_variables_of_launchd_are_not_lost(tmp_path: Path) -> None:
    """``launchctl setenv`` gives a variable to agents."""

    def launchctl(argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
        assert (("launchctl", "getenv"), {}, True) == (tuple(argv[:2]), environment, waits)
        return CommandResult(0, "http://proxy:3128" if argv[2] == "https_proxy" else "")

    facts = context(tmp_path, platform="darwin", systemd=False)

    found = lost_by_service(facts, Settings(), TERMINAL, runner=launchctl)

    assert ["no_proxy", "SSL_CERT_FILE"] == [each.name for each in found]
