"""Cleaning text that an app supplies."""

from __future__ import annotations

import time
import unicodedata

import pytest

from upstash_helper.broker.apps.display_text import MAX_NAME, clean

ZWJ, VS16, RLO, PDF = "\u200d", "\ufe0f", "\u202e", "\u202c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Orders", "Orders"),
        ("  Orders  ", "Orders"),
        ("Or\nde\r\nrs", "Or de rs"),
        ("Or\tde\vrs\f", "Or de rs"),
        ("a\u2028b\u2029c\u0085d", "a b cd"),
        ("a\u00a0\u3000\u2003b", "a b"),
        ("a\x00b\x1bc\x7fd", "abcd"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        (f"Up{RLO}hsatsp{PDF}", "Uphsatsp"),
        ("\u2066a\u2069\u200eb\u200f\u061c", "ab"),
        ("Up\u200bsta\u200csh\ufeff\u2060\u00ad", "Upstash"),
        ("a\ue000b\U000f0000", "ab"),
        ("<b>Upstash</b>&amp;", "<b>Upstash</b>&amp;"),
        ("a" + "\u0301" * 50 + "b", "\u00e1\u0301b"),
        ("e\u0301", "\u00e9"),
        ("Zal\u0336\u0336\u0336\u0336go\u0489\u0489\u0489", "Zal\u0336\u0336go\u0489\u0489"),
        ("\u0301\u0302Orders", "Orders"),
        (" \u0301 \u0489Orders", "Orders"),
        ("Ордера", "Ордера"),
        ("日本語アプリ", "日本語アプリ"),
        ("हिन्दी", "हिन्दी"),
        ("مرحبا", "مرحبا"),
    ],
)
def test_name_becomes_one_line_of_visible_text(text: str, expected: str) -> None:
    """Nothing breaks the line, reorders, hides, or stacks up. All scripts stay readable, and HTML is plain text."""
    assert expected == clean(text, MAX_NAME)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("🚀 Orders", "🚀 Orders"),
        (f"❤{VS16} Orders", "❤ Orders"),
        (f"👩{ZWJ}💻 Dev", "👩💻 Dev"),
        (f"👨{ZWJ}👩{ZWJ}👧", "👨👩👧"),
        ("👍🏽 ok", "👍🏽 ok"),
        ("🇩🇪", "🇩🇪"),
        (f"1{VS16}\u20e3", "1\u20e3"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),
    ],
)
def test_emoji_is_kept_or_split_into_its_parts(text: str, expected: str) -> None:
    """Joiners and selectors are removed because they can be invisible; the joined emoji stay."""
    assert expected == clean(text, MAX_NAME)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n\t", "\u200b", f"{RLO}{PDF}", ZWJ * 64, VS16, "\u3164", "\u115f\u1160", "\u2800", "\uffa0",
        "\u00ad", "\u034f", "\u180b\u180c\u180d\u180e\u180f", "\u17b4\u17b5", "\U000e0100\U000e01ef",
        "\U000e0020\U000e007f",
        "\u0301", "\u0489\u0301", "\x00\x01", "\ufeff", "\ue000", "\u2065", "\ufff0", "\u2028", "\ud800",
        " \u3164 \u200b ", "\U00016fe4",
    ],
)  # fmt: skip
def test_invisible_text_becomes_empty(text: str) -> None:
    """A name that would look blank in the prompt is rejected as empty."""
    assert "" == clean(text, MAX_NAME)


def test_all_ignorable_code_points_are_removed() -> None:
    """
    Characters that programs may leave out when they draw text (Unicode's Default_Ignorable_Code_Point) are removed, so
    that names that differ only in them become equal.
    """
    ignorable = [
        *range(0xAD, 0xAE), *range(0x34F, 0x350), *range(0x61C, 0x61D), *range(0x115F, 0x1161), *range(0x17B4, 0x17B6),
        *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164,
        *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4),
        *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
    ]  # fmt: skip

    left = [hex(code) for code in ignorable if clean(f"Up{chr(code)}stash", MAX_NAME) != "Upstash"]

    assert [] == left


@pytest.mark.parametrize("limit", [1, 2, 64, 200])
def test_long_text_is_shortened_with_an_ellipsis(limit: int) -> None:
    """The result never has more characters than the limit, and an ellipsis in the middle."""
    shown = clean("ab " * 4000, limit)

    assert limit >= len(shown)
    assert "…" in shown
    assert "a" * 64 == clean("a" * 64, 64)


def test_long_hostile_text_is_cleaned_quickly() -> None:
    """10 KB of worst-case text takes less than a second and stays within the limit."""
    texts = ["\u0301" * 10_240, " " * 10_240, "a\u0301\u200b" * 3_400, "\ufdfa" * 10_240, RLO * 10_240]

    before = time.perf_counter()
    shown = [clean(text, MAX_NAME) for text in texts]
    took = time.perf_counter() - before

    assert all(len(text) <= MAX_NAME for text in shown)
    assert took < 1


def test_cleaning_is_idempotent() -> None:
    """Cleaning clean text changes nothing."""
    for text in ("🚀 Orders", "e\u0301\u0302\u0303", "हिन्दी", f"a{ZWJ}\u0301", "\u0344\u0344a", "x " * 100):
        once = clean(text, MAX_NAME)

        assert once == clean(once, MAX_NAME)
        assert unicodedata.is_normalized("NFC", once)
