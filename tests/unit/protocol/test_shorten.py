"""T76: shortened origins and paths show their end."""

from __future__ import annotations

import pytest

from upstash_helper.protocol.shorten import shorten

LONG = "accounts.google.com." + ".".join(["a" * 20] * 10) + ".evil.example"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("https://app.example.com", 40, "https://app.example.com"),
        ("https://app.example.com", 20, "app.example.com"),
        ("https://login.app.example.com:8443", 24, "….app.example.com:8443"),
        (f"https://{LONG}", 40, "….aaaaaaaaaaaaaaaaaaaa.evil.example"),
        (f"https://{LONG}:8443", 20, "….evil.example:8443"),
        # The label that the site's owner has registered is not shown as if its end were all of it.
        (f"https://x.{'e' * 30}-google.co.uk", 30, "….eeeeeeeeee…eeee-google.co.uk"),
        (f"https://{'e' * 50}-google.com", 20, "eeeeee…-google.com"),
        ("/usr/lib/a/very/long/path/to/a/program", 20, "/usr/lib/…/a/program"),
        ("Orders", 3, "O…s"),
    ],
)
def test_t76_end_is_shown(text: str, limit: int, shown: str) -> None:
    """An origin loses what is in front of its domain, and any other text its middle."""
    assert shown == shorten(text, limit)


@pytest.mark.parametrize("limit", range(3, 300, 7))
@pytest.mark.parametrize("length", [100, 253])
def test_t76_every_limit_is_kept_and_the_end_is_shown(length: int, limit: int) -> None:
    """For domains of 100 and of 253 characters, the result fits and ends like the domain."""
    domain = (LONG if length == 253 else "a." * 50)[-length:].strip(".")

    shown = shorten(f"https://{domain}", limit)

    assert len(shown) <= limit
    assert f"https://{domain}".endswith(shown.rpartition("…")[2])
    assert shown.rpartition("…")[2] or limit < 4
