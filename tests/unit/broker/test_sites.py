"""T62: which identities are counted and blocked together."""

from __future__ import annotations

import pytest

from upstash_helper.broker.apps.sites import Sites, kind_of, name_of
from upstash_helper.broker.identity import Identity, of_origin
from upstash_helper.system.public_suffixes import ListedSuffixes

UUID = "0f3c5c1e-6f0d-4d1a-9c57-0a1b2c3d4e5f"
SITES = Sites(suffixes=ListedSuffixes())


def site_of(origin: str) -> str:
    identity = of_origin(origin)
    assert identity is not None
    return SITES.of(identity)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://example.com", "domain:example.com"),
        ("https://a.b.example.com:8443", "domain:example.com"),
        ("https://example.com.", "domain:example.com"),
        ("https://a..example.com", "domain:example.com"),
        ("https://shop.example.co.uk", "domain:example.co.uk"),
        ("https://a.github.io", "domain:a.github.io"),
        ("https://x.a.github.io", "domain:a.github.io"),
        ("https://github.io", "domain:github.io"),
        ("https://preview-1.vercel.app", "domain:preview-1.vercel.app"),
        ("https://www.ck", "domain:www.ck"),
        ("https://a.b.kawasaki.jp", "domain:a.b.kawasaki.jp"),
        ("https://a.city.kawasaki.jp", "domain:city.kawasaki.jp"),
        ("https://a.xn--85x722f.xn--55qx5d.cn", "domain:xn--85x722f.xn--55qx5d.cn"),
        ("https://xn--zzz--.example.com", "domain:example.com"),
        ("https://server", "domain:server"),
        ("https://a.server.internal", "domain:server.internal"),
        ("https://192.0.2.1:8443", "domain:192.0.2.1"),
        ("https://[2001:db8::1]", "domain:2001:db8::/64"),
        ("https://[2001:db8::ffff:1]:8443", "domain:2001:db8::/64"),
        ("https://[::ffff:c000:201]", "domain:192.0.2.1"),
        ("http://localhost", "loopback:"),
        ("https://localhost:3001", "loopback:"),
        ("http://a.b.localhost:5173", "loopback:"),
        ("https://a.localhost.", "loopback:"),
        ("http://127.0.0.1:8000", "loopback:"),
        ("https://127.9.9.9", "loopback:"),
        ("http://[::1]:8000", "loopback:"),
        ("https://[::ffff:7f00:1]", "loopback:"),
        ("https://0.0.0.0:8443", "loopback:"),
        ("https://[::]", "loopback:"),
        ("chrome-extension://" + "a" * 32, "extension:chrome-extension://" + "a" * 32),
        (f"moz-extension://{UUID.upper()}", f"extension:moz-extension://{UUID}"),
    ],
)
def test_site_of_an_origin(origin: str, site: str) -> None:
    """The registrable domain, whatever the port; an address; all of loopback; or the extension."""
    assert site == site_of(origin)


def test_all_programs_are_one_site() -> None:
    """A program can copy itself to any file. Their limits are counted by file as long as none is denied."""
    paths = ("/usr/bin/curl", "/opt/copy", "")

    assert {"programs:"} == {SITES.of(Identity(kind="native", name=path)) for path in paths}


def test_extension_has_no_larger_site_to_block() -> None:
    """A domain, loopback, and programs have."""
    sites = ("extension:chrome-extension://" + "a" * 32, "domain:2001:db8::/64", "loopback:", "programs:", "")

    assert [None, "domain", "loopback", "programs", None] == [kind_of(site) for site in sites]
    assert "2001:db8::/64" == name_of(sites[1])
