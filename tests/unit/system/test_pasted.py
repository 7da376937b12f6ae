"""API keys and email addresses as people paste them."""

from __future__ import annotations

import base64

import pytest

from upstash_helper.system import pasted

KEY = "3f0c1e7a-5b2d-4c8e-9a61-0d2f4b7c9e15"
REST_TOKEN = base64.b64encode(b"\x01\x83\x60\x00\x02\x27p1" + b"0f3c9a7e5d1b2c4f6a8e" * 2 + b"p10").decode()


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{KEY}",
        f" \t{KEY}\r\n\n",
        f"\u00a0{KEY}\u2003",
        f"\x1b[200~{KEY}\x1b[201~",
        f"[200~{KEY}[201~",
        f"^[[200~{KEY}^[[201~",
        f"{KEY[:8]}\u200b{KEY[8:]}\u2060",
        f"{KEY[:8]}\u00ad{KEY[8:]}",
        f'"{KEY}"',
        f"\u201c{KEY}\u201d",
        f"`{KEY}`",
        f"Bearer {KEY}",
        f"Authorization: Bearer {KEY}",
        f"UPSTASH_API_KEY={KEY}",
        f'export UPSTASH_API_KEY="{KEY}";',
        f"$env:UPSTASH_API_KEY = '{KEY}'",
        f'"api_key": "{KEY}",',
        f'"UPSTASH_API_KEY={KEY}"\r\n',
    ],
)
def test_key_is_cleaned_of_what_came_along_with_it(text: str) -> None:
    """A key from a web page, a file, a chat, or a terminal is accepted."""
    assert KEY == pasted.api_key(text)


@pytest.mark.parametrize("key", ["a=b", "12:34", "Aa" + "x" * 60 + "==", "A" * 60, KEY.upper(), "key-s3cret"])
def test_key_of_any_form_is_kept(key: str) -> None:
    """Upstash does not say what a key looks like, so what could be one is left to Upstash."""
    assert key == pasted.api_key(key)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \u200b\ufeff\n", "empty"),
        ("UPSTASH_API_KEY=", "empty"),
        (REST_TOKEN, "REST token"),
        (f"Bearer {REST_TOKEN}", "REST token"),
        ("UPSTASH_REDIS_REST_TOKEN=whatever", "REST token"),
        ("KV_REST_API_READ_ONLY_TOKEN=whatever", "REST token"),
        ("UPSTASH_REDIS_REST_URL=https://eu1-cat-1.upstash.io", "URL"),
        ("https://console.upstash.com/account/api", "URL"),
        ("rediss://default:p@eu1-cat-1.upstash.io:6379", "URL"),
        ("eu1-cat-1.upstash.io", "URL"),
        ("ann@example.com", "email address"),
        (f"{KEY[:8]} {KEY[8:]}", "space"),
        (f"{KEY[:8]}\n{KEY[8:]}", "space"),
        ("UPSTASH_EMAIL=ann@example.com\nUPSTASH_API_KEY=k", "space"),
        ("schl\u00fcssel", "characters"),
        ("\u2022" * 24, "masked"),
        ("************", "masked"),
        ("x" * 513, "too long"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "token"),
        ("QSTASH_TOKEN=abc", "QStash"),
        (f"uhp_{'a' * 40}", "upstash-helper"),
    ],
)
def test_other_texts_are_refused_in_words(text: str, reason: str) -> None:
    """The reason is the most likely mistake. It never repeats the text, which may be another secret."""
    with pytest.raises(pasted.NotUsable) as refused:
        pasted.api_key(text)

    assert reason in str(refused.value)
    assert len(text) < 12 or text not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffann@example.com\r\n",
        "Ann Example <ann@example.com>",
        "<ann@example.com>",
        "mailto:ann@example.com",
        "UPSTASH_EMAIL=ann@example.com",
        "ann@exam\u200bple.com",
        "'ann@example.com',",
    ],
)
def test_email_is_cleaned(text: str) -> None:
    """An address from a mail program or a file is accepted."""
    assert "ann@example.com" == pasted.email(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("ann", "no @"),
        (KEY, "no @"),
        ("ann @example.com", "space"),
        ("ann@@example.com", "more than one @"),
        ("ann@", "complete"),
        ("@example.com", "complete"),
        ("https://example.com/@ann", "URL"),
        (f"{'a' * 250}@b.de", "complete"),
    ],
)
def test_other_texts_are_no_email_address(text: str, reason: str) -> None:
    """The reason is the most likely mistake."""
    with pytest.raises(pasted.NotUsable, match=reason):
        pasted.email(text)
