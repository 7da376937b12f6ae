"""Identities: which origins can have access, and how identities are shown."""

from __future__ import annotations

import pytest

from upstash_helper.broker.identity import LOCAL_PROGRAM, Identity, of_origin

EXTENSION = "chrome-extension://" + "abcdefghijklmnop" * 2
FIREFOX = "moz-extension://0f3c5c1e-6f0d-4d1a-9c57-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com", "https://app.example.com:8443", "https://localhost", "https://localhost:3000",
        "https://xn--80ak6aa92e.com", "https://app.example.com.", "https://192.168.1.2", "https://[2001:db8::1]",
        "https://[2001:db8::1]:8443", "https://a_b.example.com", "https://app.example.com:1",
        "https://app.example.com:65535", "http://localhost", "http://localhost:5173", "http://127.0.0.1:8080",
        "http://[::1]:8080", "http://app.localhost:5173", "http://a.b.localhost",
    ],
)  # fmt: skip
def test_https_and_loopback_origins_are_accepted(origin: str) -> None:
    """Pages from https anywhere and from http on loopback, exactly as a browser writes the origin."""
    identity = of_origin(origin)

    assert Identity(kind="web", name=origin) == identity
    assert origin == identity.origin == identity.shown


@pytest.mark.parametrize("origin", [EXTENSION, FIREFOX, "safari-web-extension://0F3C5C1E-6F0D-4D1A-9C57-0A1B2C3D4E5F"])
def test_extension_origins_are_accepted(origin: str) -> None:
    """The browser guarantees that no other extension has this ID."""
    assert Identity(kind="extension", name=origin) == of_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "*", " ", "https://", "http://", "//app.example.com", "app.example.com",
        # not as a browser writes it
        "HTTPS://app.example.com", "https://App.example.com", "https://app.example.com/", "https://app.example.com/x",
        "https://app.example.com?x", "https://app.example.com#x", " https://app.example.com",
        "https://app.example.com ", "https://app.example.com,https://b.example", "https://app.example.com https://b",
        "https://user@app.example.com", "https://user:password@app.example.com", "https://app.example.com@evil.com",
        "https://app.example.com:", "https://app.example.com:443", "http://localhost:80", "https://localhost:0443",
        "https://app.example.com:0", "https://app.example.com:65536", "https://app.example.com:99999",
        "https://app.example.com:100000", "https://app.example.com:-1", "https://app.example.com:8443:1",
        "https://app.example.com:٤٤٣", "https://app.example.com:8443\n", "https://app.example.com\n",
        "https://app.example.com\r\nX: y", "https://app.example.com\x00", "https://app.example.com\udcff",
        # a browser would have used punycode
        "https://аррӏе.com", "https://bücher.example", "https://app。example.com", "https://xn--80ak6aa92e.com\u200b",
        "https://127.1", "https://2130706433", "https://0x7f.0.0.1", "https://010.0.0.1", "https://1.2.3.4.5",
        "https://127.0.0.1.", "https://[0:0:0:0:0:0:0:1]", "https://[::ffff:127.0.0.1]", "https://[1::2::3]",
        # http over the network
        "http://example.com", "http://192.168.1.2", "http://10.0.0.1:3000", "http://[fe80::1]", "http://0.0.0.0:3000",
        "http://localhost.evil.com", "http://localhost.", "http://localhost.:3000", "http://xlocalhost",
        "http://127.0.0.1.evil.com", "http://127.0.0.2", "http://127.1", "http://2130706433", "http://[::ffff:7f00:1]",
        "http://[::1]x", "http://.localhost", "http://a..localhost", "http://LOCALHOST", "http://localhost@evil.com",
        # not web pages
        "file://", "data:", "blob:https://app.example.com", "about:blank", "chrome://settings", "ws://localhost:3000",
        "javascript://localhost", "ftp://localhost",
        # invalid extension IDs
        "chrome-extension://", "chrome-extension://" + "a" * 31, "chrome-extension://" + "a" * 33,
        "chrome-extension://" + "q" * 32, "chrome-extension://" + "A" * 32, EXTENSION + "/", EXTENSION + "\n",
        "moz-extension://" + "a" * 32, "moz-extension://0f3c5c1e-6f0d-4d1a-9c57-0a1b2c3d4e5g", FIREFOX + "/x",
        # longer than a host name can be
        "https://" + "a" * 1000, "https://" + "a" * 254, "http://" + "a." * 500 + "localhost",
    ],
)  # fmt: skip
def test_other_origins_are_rejected(origin: str) -> None:
    """Strings that a browser would not send, or that nothing vouches for, cannot have access."""
    assert of_origin(origin) is None


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "upstash-helper.localhost", "upstash-helper.localhost.", "0123456789abcdef.upstash-helper.localhost",
        "0123456789abcdef.upstash-helper.localhost.", "a.b.upstash-helper.localhost", "a_b.upstash-helper.localhost",
        "-.upstash-helper.localhost", ".upstash-helper.localhost", "a..upstash-helper.localhost",
        "upstash-helper.localhost..",
    ],
)  # fmt: skip
def test_t57_names_of_the_owners_pages_are_rejected(scheme: str, host: str) -> None:
    """The user would take such an app for the helper."""
    assert [None, None] == [of_origin(f"{scheme}://{host}{port}") for port in ("", ":3000")]
    assert of_origin(f"https://{host.rstrip('.')}.example.com") is not None


def test_hostile_origin_is_rejected_quickly() -> None:
    """No pattern backtracks excessively."""
    for text in (
        "http://" + "a" * 16_000,
        "http://" + "a-" * 8_000,
        "http://" + "a." * 8_000,
        "https://[" + ":" * 16_000,
    ):
        assert of_origin(text) is None


def test_native_program_has_no_origin() -> None:
    """It is shown with its executable and process ID, and another process of it is the same app."""
    program = Identity(kind="native", name="/usr/bin/app", pid=7)
    again = Identity(kind="native", name="/usr/bin/app", pid=8)
    unknown = Identity(kind="native", name="")

    assert program.origin is None
    assert ("/usr/bin/app (process 7)", LOCAL_PROGRAM) == (program.shown, unknown.shown)
    assert program.key == again.key != unknown.key


def test_origin_cannot_be_mistaken_for_a_program() -> None:
    """The key starts with the kind."""
    page = of_origin("https://app.example.com")

    assert page is not None
    assert "web:https://app.example.com" == page.key
    assert page.key != Identity(kind="native", name="https://app.example.com").key


def test_t64_doubtful_program_does_not_share_a_key() -> None:
    """
    A program whose path is doubtful is another app than the one that really has this path, and no path can imitate
    the key of another program.
    """
    real = Identity(kind="native", name="/usr/bin/app")
    sandboxed = Identity(kind="native", name="/usr/bin/app", warnings=("sandboxed",))
    named_like_it = Identity(kind="native", name=r"/usr/bin/app\x0asandboxed", warnings=("unprintable",))

    assert 3 == len({real.key, sandboxed.key, named_like_it.key})
    assert "native:/usr/bin/app" == real.key


def test_t64_warnings_are_part_of_the_text() -> None:
    """Wherever an identity is shown, so is what makes its path doubtful; for a page, that of the browser."""
    program = Identity(kind="native", name="/usr/bin/app", pid=7, warnings=("sandboxed", "shared"))
    unknown = Identity(kind="native", name="", warnings=("unsearched",))
    page = Identity(kind="web", name="https://a.example", program="/snap/firefox", pid=8, warnings=("sandboxed",))

    assert "/usr/bin/app (process 7, inside a container or sandbox, one of several programs)" == program.shown
    assert "/usr/bin/app (inside a container or sandbox, one of several programs)" == program.shown_without_pid
    assert f"{LOCAL_PROGRAM} (perhaps one of several programs)" == unknown.shown
    assert ("https://a.example", "https://a.example") == (page.shown, page.shown_without_pid)
    assert "/snap/firefox (process 8, inside a container or sandbox)" == page.shown_sender
    assert "web:https://a.example" == page.key
