"""Whether a word looks as if chance had made it: a token, a key, a password that a program chose."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

SHORTEST: Final = 12
"""Characters. Fewer are too often an abbreviation, and too few for a secret that a program makes."""

# What a reader sees as a unit: a word with or without its capital, a run of capitals, a number.
_HUMP: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_MEAN_HUMP: Final = 2.6
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_MOST_DIGITS: Final = 16
# Numbers that letters touch: names of programs have one or two (x86_64, cp311).
_MIXED: Final = re.compile(r"(?<=[A-Za-z])\d+|\d+(?=[A-Za-z])")
_MOST_MIXED: Final = 2

# The letters that follow each letter in nine tenths of the pairs in English words and in names of programs. Of all 676
# pairs they are less than four tenths, and so of those that chance makes.
_FOLLOWERS: Final = {
    "a": "bcdgiklmnprstuvwy",
    "b": "aeilorsu",
    "c": "acehiklorstu",
    "d": "abdeilorsu",
    "e": "abcdefgilmnopqrstvwxy",
    "f": "aefilortu",
    "g": "aehilnrsu",
    "h": "aeiort",
    "i": "abcdefglmnoprstvxz",
    "k": "eis",
    "l": "adeilostuy",
    "m": "abeimopsu",
    "n": "acdefgiklnopstuv",
    "o": "abcdfgiklmnoprstuvw",
    "p": "aeiloprstuy",
    "q": "u",
    "r": "acdegiklmnoprstuvy",
    "s": "acehiklmopstuy",
    "t": "acdefhilmoprstuy",
    "u": "abcdeilmnprst",
    "v": "aei",
    "w": "aeinors",
    "x": "ceipt",
    "y": "npst",
    "z": "e",
}
_FEWEST_PAIRS: Final = 6
_COMMON_SHARE: Final = 0.66


def looks_random(word: str) -> bool:
    """
    Return whether ``word``, of letters, digits and ``+_=-``, looks random.

    In words and names of programs the units between changes of case, digits and separators are long (StatusNotifier,
    x86_64, storage_unavailable), and their letters follow each other as in a language. In chance neither is so.
    """
    bare = re.sub(r"[^A-Za-z0-9]", "", word)
    if len(bare) < SHORTEST:
        return False
    if bare.isdigit():
        return len(bare) >= _MOST_DIGITS
    if _HEX.fullmatch(bare) and any(map(str.isdigit, bare)):
        return True
    humps = _HUMP.findall(word)
    if len(humps) >= 4 and len(bare) / len(humps) < _MEAN_HUMP:
        return True
    return len(_MIXED.findall(word)) > _MOST_MIXED or is_no_language(bare)


def is_no_language(word: str) -> bool:
    """Return whether the letters of ``word`` follow each other as in no language; what is short is not judged."""
    pairs = [(one, next_one) for one, next_one in pairwise(word.lower()) if one.isalpha() and next_one.isalpha()]
    common = sum(next_one in _FOLLOWERS.get(one, "") for one, next_one in pairs)
    return len(pairs) >= _FEWEST_PAIRS and common / len(pairs) < _COMMON_SHARE
