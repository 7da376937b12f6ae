"""What an app says of itself, fit to be shown."""

from __future__ import annotations

import time
import unicodedata

import pytest

from upstash_helper.broker.apps.display_text import LONGEST_NAME, clean

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
def test_a_name_is_one_line_of_what_can_be_seen(text: str, expected: str) -> None:
    """Nothing breaks the line, reorders, hides or piles up; whole scripts stay readable, and HTML is plain text."""
    assert expected == clean(text, LONGEST_NAME)


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
def test_an_emoji_survives_or_falls_into_its_parts(text: str, expected: str) -> None:
    """Joiners and selectors are invisible where they join nothing, so they go; what they joined is still seen."""
    assert expected == clean(text, LONGEST_NAME)


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
def test_what_cannot_be_seen_is_nothing(text: str) -> None:
    """A name that would leave the prompt blank is no name."""
    assert "" == clean(text, LONGEST_NAME)


def test_nothing_invisible_is_left_of_any_character() -> None:
    """
    Whatever Unicode lets a program leave out when it draws (Default_Ignorable_Code_Point), and all that is not for
    reading, is gone: two names that look alike in these are one name.
    """
    ignorable = [
        *range(0xAD, 0xAE), *range(0x34F, 0x350), *range(0x61C, 0x61D), *range(0x115F, 0x1161), *range(0x17B4, 0x17B6),
        *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164,
        *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4),
        *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
    ]  # fmt: skip

    left = [hex(code) for code in ignorable if clean(f"Up{chr(code)}stash", LONGEST_NAME) != "Upstash"]

    assert [] == left


@pytest.mark.parametrize("longest", [1, 2, 64, 200])
def test_what_is_too_long_is_cut_and_says_so(longest: int) -> None:
    """Never more characters than promised, with an ellipsis where there were more."""
    shown = clean("ab " * 4000, longest)

    assert longest >= len(shown)
    assert shown.endswith("…")
    assert "a" * 64 == clean("a" * 64, 64)


def test_a_long_hostile_text_costs_no_time() -> None:
    """10 KB of the worst is done at once, and is within the limit."""
    texts = ["\u0301" * 10_240, " " * 10_240, "a\u0301\u200b" * 3_400, "\ufdfa" * 10_240, RLO * 10_240]

    before = time.perf_counter()
    shown = [clean(text, LONGEST_NAME) for text in texts]
    took = time.perf_counter() - before

    assert all(len(text) <= LONGEST_NAME for text in shown)
    assert took < 1


def test_cleaning_what_is_clean_changes_nothing() -> None:
    """What is shown is what is kept, however often it passes through."""
    for text in ("🚀 Orders", "e\u0301\u0302\u0303", "हिन्दी", f"a{ZWJ}\u0301", "\u0344\u0344a", "x " * 100):
        once = clean(text, LONGEST_NAME)

        assert once == clean(once, LONGEST_NAME)
        assert unicodedata.is_normalized("NFC", once)
