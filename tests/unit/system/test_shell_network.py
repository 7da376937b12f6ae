"""Which variables of a terminal a daemon lacks, and the line of the settings that replaces each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from upstash_helper.system.shell_network import lost_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "api.upstash.com"


def lost(environ: Mapping[str, str], *, proxy: bool = False) -> list[str]:
    """Return the lines for a daemon with nothing but, if ``proxy``, a proxy."""
    return [one.line for one in lost_variables(environ, HOST, proxy=proxy, exceptions=False, certificates=False)]


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:1080", "ftp://proxy", "http://proxy:99999"])
def test_proxy_that_is_not_supported_is_not_recommended(proxy: str) -> None:
    """With such a setting, the daemon would not start."""
    assert [] == lost({"HTTPS_PROXY": proxy})


@pytest.mark.parametrize("exceptions", ["*", "upstash.com", "localhost, .upstash.com"])
def test_proxy_that_the_terminal_does_not_use_for_upstash_is_not_missing(exceptions: str) -> None:
    """Its exceptions are missing if the daemon has a proxy."""
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": exceptions}

    assert [] == lost(environ)
    assert [f'no_proxy = "{exceptions}"'] == lost(environ, proxy=True)


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon has another working folder, and refuses a relative one."""
    monkeypatch.chdir(tmp_path)

    (found,) = lost_variables({"SSL_CERT_FILE": "company.pem"}, HOST, proxy=False, exceptions=False, certificates=False)

    assert str(Path.cwd() / "company.pem") == found.value


def test_hidden_password_is_mentioned() -> None:
    """The line alone would not work."""
    environ = {"https_proxy": " http://ada:s3cret@proxy:3128"}

    (found,) = lost_variables(environ, HOST, proxy=False, exceptions=False, certificates=False)

    assert 'https_proxy = "http://…@proxy:3128"' == found.line
    assert "in place of …" in found.hint
