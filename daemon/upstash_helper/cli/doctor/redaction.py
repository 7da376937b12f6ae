"""
What is left out of a text before it is shown to others: secrets, and what tells who somebody is.

It is a net, for texts that should hold no secret in the first place: log lines, settings, what went wrong. It takes out
what is called a secret, what has the form of one, what is known to be one in any of its encodings, and what looks like
chance. Rather too much goes than too little: a reader of a report can ask.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

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


GONE: Final = "[redacted]"

_NAMES: Final = (
    r"(?:[a-z0-9]{1,32}[_-]){0,6}(?:code|state|token|secret|password|passwd|pwd|api[_-]?key|apikey|ticket|nonce|verifier"
    r"|challenge|cookie|session|idempotency[_-]key)"
)
"""What a secret is called, in settings, fields, headers and queries."""
_SECRET_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
# Of these names a plain word or a short number is no secret: `state=connected`, `code: port_busy`, `code=404`.
_HARMLESS_NAME: Final = re.compile(r"(?:[a-z0-9]+[_-]){0,6}(?:code|state|session)", re.IGNORECASE)
_HARMLESS: Final = re.compile(r"[A-Za-z][a-z]*(?:[_ -][a-z]+)*|\d{1,3}")
_LONGEST_WORD: Final = 24

_IS: Final = r"(?:=|:|%3[dD]|%253[dD]|%3[aA])"
_QUOTED: Final = re.compile(
    rf"(?i)(?<![a-z0-9])({_NAMES})(\\?[\"']?\s*{_IS}\s*)(\\?[\"'])((?:(?!\3)(?:\\.|.))*)(\3|$)", re.MULTILINE
)
_BARE: Final = re.compile(
    rf"(?i)(?<![a-z0-9])({_NAMES})(\\?[\"']?\s*{_IS}\s*)(?!\[redacted\])((?:%(?!26|2526)|[^\s&\"'\\,;}}\])%])+)"
)

_PEM: Final = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)
# The rest of the line, or up to the quotation mark that ends it.
_HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\\?[\"']?\s*[:=])(?!\s*\\?[\"']?\[redacted\])(\s*\\?[\"']?)([^\"'\r\n\\]+)"
)
_SCHEME: Final = re.compile(r"(?i)\b(bearer|basic|digest)(\s+|%20|\+)[\w.~+/=%-]{6,}")
_USER_OF_URL: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}(?:://|%3a%2f%2f))[^\s/@\"'<>]{1,512}(@|%40)")
_REDIS: Final = re.compile(r"(?i)\b(rediss?(?:://|%3a%2f%2f)(?:[^\s@\"']{0,512}(?:@|%40))?)[\w.-]+")
_DATABASE: Final = re.compile(r"(?i)(?<![\w-])(?:[\w-]{1,63}\.){1,8}upstash\.io\b")
_EMAIL: Final = re.compile(
    r"([^\s\"'<>()\[\],;:=@/\\&?%*]{1,64})(@|%40|%2540)((?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_][\w-]{1,62})"
)
_OURS: Final = re.compile(r"\buh[a-z]_[\w-]{8,}")
_UUID: Final = re.compile(
    r"(?i)(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])"
)
_USER_CODE: Final = re.compile(r"(?<![A-Za-z0-9-])[A-Z0-9]{4}-[A-Z0-9]{4}(?![A-Za-z0-9-])")

_KEPT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
"""Moments look like chance."""
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=%.~-]{8,}")
_PATH: Final = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?/|.*\.(?:py|toml|json|log|db|md|sock|service|socket|html|js)$")
# None of the repetitions above is without a bound that one could start at every character: a text as long as you like
# takes time in proportion to its length.
_SHORTEST_KNOWN: Final = 6
_COMMON_NAMES: Final = frozenset({"root", "user", "home", "admin", "localhost"})


class Redactor:
    """Takes out of texts what is not for others."""

    def __init__(
        self, *, home: str = "", user: str = "", host: str = "", known: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            home: The user's home folder, which becomes ``~``.
            user: What the user is called on this machine.
            host: What the machine is called.
            known: What is known to be secret, or long, and what is shown in its place.
        """
        self._known: Final = tuple(_in_all_encodings(known or {}))
        self._people: Final = tuple(_people(home, user, host))

    def text(self, text: str) -> str:
        """Return ``text`` without."""
        for secret, shown in self._known:
            text = text.replace(secret, shown)
        text = _without_named(_without_forms(text))
        for pattern, shown in self._people:
            text = pattern.sub(shown, text)
        return self._without_chance(text)

    def value(self, value: Any, name: str = "") -> Any:
        """Return what JSON can hold, without; strings in it, and the names of fields, are seen to one by one."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one, str(key)) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one, name) for one in value]
        if not isinstance(value, str):
            return value
        return GONE if _is_secret(name, value) else self.text(value)

    def _without_chance(self, text: str) -> str:
        """Take out what looks like chance, and what is a secret once it is decoded."""
        parts, end = [], 0
        for moment in _KEPT.finditer(text):
            parts += [_RUN.sub(self._run, text[end : moment.start()]), moment[0]]
            end = moment.end()
        return "".join([*parts, _RUN.sub(self._run, text[end:])])

    def _run(self, match: re.Match[str]) -> str:
        run = match[0]
        if any(self._hides(decoded) for decoded in _decoded(run)):
            return GONE
        path = _PATH.match(run)
        # Base64 has slashes, too, and between them less than can be told from a word.
        if "/" in run and (is_no_language if path else looks_random)(run.replace("/", "")):
            return GONE
        if not _has_chance(run):
            return run
        if not path:
            return GONE
        return "/".join(GONE if _has_chance(part) else part for part in run.split("/"))

    def _hides(self, decoded: str) -> bool:
        known = any(secret in decoded for secret, _ in self._known)
        return known or _without_named(_without_forms(decoded)) != decoded or _has_chance(decoded)


def _is_secret(name: str, value: str) -> bool:
    if not value or value == GONE or not _SECRET_NAME.fullmatch(name):
        return False
    harmless = len(value) <= _LONGEST_WORD and _HARMLESS.fullmatch(value)
    return not (harmless and _HARMLESS_NAME.fullmatch(name))


def _without_named(text: str) -> str:
    def quoted(match: re.Match[str]) -> str:
        name, sign, mark, value, end = match.groups()
        return f"{name}{sign}{mark}{GONE}{end}" if _is_secret(name, value) else match[0]

    def bare(match: re.Match[str]) -> str:
        name, sign, value = match.groups()
        return f"{name}{sign}{GONE}" if _is_secret(name, value) else match[0]

    return _BARE.sub(bare, _QUOTED.sub(quoted, text))


def _without_forms(text: str) -> str:
    text = _PEM.sub(GONE, text)
    text = _HEADER.sub(rf"\1\2\3{GONE}", text)
    text = _SCHEME.sub(rf"\1\2{GONE}", text)
    text = _USER_OF_URL.sub(rf"\1{GONE}\2", text)
    text = _REDIS.sub(r"\1<database>", text)
    text = _DATABASE.sub("<database>.upstash.io", text)
    text = _EMAIL.sub(lambda match: f"{match[1][0]}***@{match[3]}", text)
    for pattern in (_OURS, _UUID, _USER_CODE):
        text = pattern.sub(GONE, text)
    return text


def _has_chance(run: str) -> bool:
    """Check at what stands between slashes (which base64 has), dots (as a JWT), and names and their values."""
    return any(looks_random(piece) for piece in re.split(r"[/.~%=]", run))


def _decoded(run: str) -> Iterator[str]:
    """Yield what a run of characters may stand for: percent-encoding, twice too, hexadecimal digits, base64."""
    if "%" in run:
        once = unquote(run)
        yield from (once, unquote(once))
    for form in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
        padded = run if form is bytes.fromhex else run.rstrip("=") + "=" * (-len(run.rstrip("=")) % 4)
        try:
            text = form(padded).decode()
        except (binascii.Error, ValueError):
            continue
        if text.isprintable():
            yield text


def _in_all_encodings(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is known in the forms that it may have in a text; the longest first, which hold the others."""
    found: dict[str, str] = {}
    for secret, shown in known.items():
        if len(secret) < _SHORTEST_KNOWN:
            continue
        data = secret.encode("utf-8", "surrogatepass")
        forms = {secret, quote(data), quote(data, safe=""), quote_plus(data), data.hex(), data.hex().upper()}
        forms |= {quote(form, safe="") for form in forms}
        for offset in range(3):
            # Within other text base64 has one of three forms; the characters at both ends depend on what is next to it.
            encoded = base64.b64encode(bytes(offset) + data).decode()
            inner = encoded[(0, 2, 3)[offset] : len(encoded) - (0, 3, 2)[(len(data) + offset) % 3]].rstrip("=")
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
        found |= dict.fromkeys((form for form in forms if len(form) >= _SHORTEST_KNOWN), shown)
    yield from sorted(found.items(), key=lambda pair: -len(pair[0]))


def _people(home: str, user: str, host: str) -> Iterator[tuple[re.Pattern[str], str]]:
    if len(home) > 1:
        forms = {home, home.replace("\\", "/"), home.replace("\\", "\\\\"), quote(home), quote(home, safe="")}
        pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        yield re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-])"), "~"
    for name, shown in ((user, "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")):
        if len(name) > 1 and name.lower() not in _COMMON_NAMES:
            yield re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE), shown
