"""
Removing secrets and personal data from text: for the log, and for the report of ``doctor``.

This is a safety net, for text that should not contain secrets in the first place. It knows two kinds: values that are
known to be secret, in any common encoding, and named patterns, such as ``password=…``, ``Authorization: …``, a token
with our prefix, a UUID, or a long run of hexadecimal or base64. When in doubt it removes too much.

The log imports this module at startup, so it compiles its patterns only when they are first used.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"

# --- credentials ------------------------------------------------------------------------------------------------------

_NAMES: Final = (
    r"(?:[a-z0-9]{1,32}[_-]){0,6}(?:code|state|token|secret|password|passwd|pwd|api[_-]?key|apikey|ticket|nonce|verifier"
    r"|challenge|cookie|session|idempotency[_-]key)"
)
"""The names of secrets in settings, fields, headers, and queries."""
_EQUALS: Final = r"(?:=|:|%3[dD]|%253[dD]|%3[aA])"

# With these names a plain word or a short number is not a secret: `state=connected`, `code: port_busy`, `code=404`.
_STATUS_NAMES: Final = r"(?:[a-z0-9]+[_-]){0,6}(?:code|state|session)"
_STATUS_VALUES: Final = r"[A-Za-z][a-z]*(?:[_ -][a-z]+)*|\d{1,3}"
_MAX_STATUS_LENGTH: Final = 24

# No repetition is unbounded where a match could start at every character, so that the time is linear in the length.
_CREDENTIALS: Final = (
    (r"-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|\Z)", REDACTED),
    # A header: the rest of the line, or up to the quotation mark that ends it.
    (
        (
            r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\\?[\"']?\s*[:=])"
            r"(?!\s*\\?[\"']?(?:(?:bearer|basic|digest)\s)?\[redacted\])"
            r"(\s*\\?[\"']?)((?:(?:bearer|basic|digest)\s+)?)([^\"'\r\n\\]+)"
        ),
        rf"\1\2\3\4{REDACTED}",
    ),
    (r"(?i)\b(bearer|basic|digest)(\s+|%20|\+)[\w.~+/=%-]{6,}", rf"\1\2{REDACTED}"),
    # The password in a URL. Those of databases are random text, which may contain a slash.
    (
        (
            r"(?i)\b(rediss?(?:://|%3a%2f%2f)[^\s/@:\"'<>%]{0,256}(?::|%3a))"
            r"(?!\[redacted\])[^\s@\"'<>]{1,512}(@|%40)"
        ),
        rf"\1{REDACTED}\2",
    ),
    (
        (
            r"(?i)\b([a-z][a-z0-9+.-]{0,30}(?:://|%3a%2f%2f)[^\s/@:\"'<>%]{0,256}(?::|%3a))"
            r"(?!\[redacted\])[^\s/@\"'<>]{1,512}(@|%40)"
        ),
        rf"\1{REDACTED}\2",
    ),
    # Our own tokens and tickets.
    (r"\buh[a-z]_[\w-]{8,}", REDACTED),
    (r"\beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*", REDACTED),  # a JSON Web Token
)


def redact_credentials(text: str, *, keep_status: bool = False) -> str:
    """
    Return ``text`` without values that are marked as credentials by their name, their header, or their form.

    Args:
        text: Any text, such as a line of the log.
        keep_status: Keep words and short numbers after names such as ``state``, ``code``, and ``session``. They may be
            secrets in a URL, but not in a line that our own code wrote.
    """
    for pattern, replacement in _compiled(_CREDENTIALS):
        text = pattern.sub(replacement, text)
    quoted, bare, any_bare = _named_patterns()

    def quoted_value(match: re.Match[str]) -> str:
        name, equals, mark, value, end = match.groups()
        return f"{name}{equals}{mark}{REDACTED}{end}" if _is_secret(name, value, keep_status=keep_status) else match[0]

    def bare_value(match: re.Match[str]) -> str:
        name, equals, value = match.groups()
        return f"{name}{equals}{REDACTED}" if _is_secret(name, value, keep_status=keep_status) else match[0]

    text = quoted.sub(quoted_value, text)
    if not keep_status:
        text = any_bare.sub(bare_value, text)
    return bare.sub(bare_value, text)


def _is_secret(name: str, value: str, *, keep_status: bool) -> bool:
    if not value or value == REDACTED or not re.fullmatch(_NAMES, name, re.IGNORECASE):
        return False
    if not keep_status:
        return True
    status = len(value) <= _MAX_STATUS_LENGTH and re.fullmatch(_STATUS_VALUES, value)
    return not (status and re.fullmatch(_STATUS_NAMES, name, re.IGNORECASE))


@functools.cache
def _compiled(patterns: tuple[tuple[str, str], ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in patterns)


@functools.cache
def _named_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """
    Return the patterns of a name with a quoted value, with a bare one, and with a bare one with any punctuation.

    With the last one, punctuation that follows a value is redacted as well. That is safer, but harder to read.
    """
    start = rf"(?i)(?<![a-z0-9])({_NAMES})(\\?[\"']?\s*{_EQUALS}\s*)"
    return (
        re.compile(rf"{start}(\\?[\"'])((?:(?!\3)(?:\\.|.))*)(\3|$)", re.MULTILINE),
        re.compile(rf"{start}(?!\[redacted\])((?:%(?!26|2526)|[^\s&\"'\\,;}}\])%])+)"),
        re.compile(rf"(?i)(?<![a-z0-9])({_NAMES})(\\?[\"']?\s*[=:]\s*)(?!\\?[\"']|\[redacted\])([^\s&\"',}}]+)"),
    )


# --- opaque values ----------------------------------------------------------------------------------------------------

_UUID: Final = r"(?i)(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])"
_USER_CODE: Final = r"(?<![A-Za-z0-9-])[A-Z0-9]{4}-[A-Z0-9]{4}(?![A-Za-z0-9-])"
_OPAQUE: Final = ((_UUID, REDACTED), (_USER_CODE, REDACTED))

_RUN: Final = r"[A-Za-z0-9+/_=%.~-]{8,}"
"""Characters of base64, hexadecimal, percent-encoding, and paths."""
_PATH: Final = r"(?:~|\.{1,2}|[A-Za-z]:)?/|.*\.(?:py|toml|json|log|db|md|sock|service|socket|html|js)$"

# Below this length a value is too often a word or a version, and too short for a generated secret.
_MIN_LENGTH: Final = 16
_MIN_MIXED: Final = 20
_MIN_LETTERS: Final = 32
_MIN_BASE64: Final = 24


def _is_opaque(word: str) -> bool:
    """Return whether ``word``, of letters, digits, and ``+_-``, looks like a generated value: hexadecimal or base64."""
    bare = re.sub(r"[^A-Za-z0-9]", "", word)
    if len(bare) < _MIN_LENGTH:
        return False
    lower, upper, digit = (re.search(f"[{kind}]", bare) is not None for kind in ("a-z", "A-Z", "0-9"))
    return (
        (digit and lower and upper)
        or (digit and re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", bare) is not None)
        # Base32, and base64 that happens to have no digit.
        or (digit and max(map(len, re.findall(r"[A-Za-z0-9]+", word))) >= _MIN_MIXED)
        or (lower and upper and len(bare) >= _MIN_LETTERS)
    )


def _is_opaque_run(run: str) -> bool:
    """Return whether a run of ``_RUN`` contains an opaque value, or is one with slashes, as base64 has them."""
    if re.fullmatch(rf"[A-Za-z0-9+/]{{{_MIN_BASE64},}}={{0,2}}", run) and _is_opaque(run.replace("/", "")):
        return True
    if "/" in run and not re.match(_PATH, run) and _is_opaque(run.replace("/", "")):
        return True
    return any(_is_opaque(piece) for piece in re.split(r"[/.~%=]", run))


# --- personal data ----------------------------------------------------------------------------------------------------

_USER_IN_URL: Final = r"(?i)\b([a-z][a-z0-9+.-]{0,30}(?:://|%3a%2f%2f))[^\s/@\"'<>]{1,512}(@|%40)"
_REDIS_HOST: Final = r"(?i)\b(rediss?(?:://|%3a%2f%2f)(?:[^\s@\"']{0,512}(?:@|%40))?)[\w.-]+"
_DATABASE_HOST: Final = r"(?i)(?<![\w-])(?:[\w-]{1,63}\.){1,8}upstash\.io\b"
_EMAIL: Final = (
    r"([^\s\"'<>()\[\],;:=@/\\&?%*])[^\s\"'<>()\[\],;:=@/\\&?%*]{0,63}(@|%40|%2540)"
    r"((?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_][\w-]{1,62})"
)
_PERSONAL: Final = (
    (_USER_IN_URL, rf"\1{REDACTED}\2"),
    (_REDIS_HOST, r"\1<database>"),
    (_DATABASE_HOST, "<database>.upstash.io"),
    (_EMAIL, r"\1***@\3"),
)
_COMMON_NAMES: Final = frozenset({"root", "user", "home", "admin", "localhost"})


def _machine_patterns(home: str, user: str, host: str) -> Iterator[tuple[re.Pattern[str], str]]:
    from urllib.parse import quote

    if len(home) > 1:
        forms = {home, home.replace("\\", "/"), home.replace("\\", "\\\\"), quote(home), quote(home, safe="")}
        pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        yield re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-])"), "~"
    for name, replacement in ((user, "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")):
        if len(name) > 1 and name.lower() not in _COMMON_NAMES:
            yield re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE), replacement


# --- known secrets ----------------------------------------------------------------------------------------------------

_MIN_KNOWN: Final = 6


def _all_encodings(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the encodings of known values with their replacements; the longest first, which contain the others."""
    import base64
    from urllib.parse import quote, quote_plus

    found: dict[str, str] = {}
    for secret, replacement in known.items():
        if len(secret) < _MIN_KNOWN:
            continue
        data = secret.encode("utf-8", "surrogatepass")
        forms = {secret, quote(data), quote(data, safe=""), quote_plus(data), data.hex(), data.hex().upper()}
        forms |= {quote(form, safe="") for form in forms}
        for offset in range(3):
            # Within other data, base64 has one of three forms. The characters at both ends depend on its neighbors.
            encoded = base64.b64encode(bytes(offset) + data).decode()
            inner = encoded[(0, 2, 3)[offset] : len(encoded) - (0, 3, 2)[(len(data) + offset) % 3]].rstrip("=")
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
        found |= dict.fromkeys((form for form in forms if len(form) >= _MIN_KNOWN), replacement)
    yield from sorted(found.items(), key=lambda pair: -len(pair[0]))


class Redactor:
    """Removes credentials, opaque values, personal data, and known secrets from text."""

    def __init__(
        self, *, home: str = "", user: str = "", host: str = "", known: Mapping[str, str] | None = None
    ) -> None:
        """
        Args:
            home: The user's home folder, which is replaced by ``~``.
            user: The user's name on this machine.
            host: The machine's name.
            known: Known secrets with their replacements.
        """
        self._known: Final = tuple(_all_encodings(known or {}))
        self._machine: Final = tuple(_machine_patterns(home, user, host))

    def text(self, text: str) -> str:
        """Return ``text`` without them."""
        for secret, replacement in self._known:
            text = text.replace(secret, replacement)
        text = _redact_patterns(text)
        for pattern, replacement in self._machine:
            text = pattern.sub(replacement, text)
        return re.sub(_RUN, self._run, text)

    def value(self, value: Any, name: str = "") -> Any:
        """Return a JSON value without them, at any depth. The name of a field decides about its value."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(one, str(key)) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one, name) for one in value]
        if not isinstance(value, str):
            return value
        return REDACTED if _is_secret(name, value, keep_status=True) else self.text(value)

    def _run(self, match: re.Match[str]) -> str:
        run = match[0]
        if any(self._contains_secret(decoded) for decoded in _decoded(run)):
            return REDACTED
        if not _is_opaque_run(run):
            return run
        if not re.match(_PATH, run) or re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", run):
            return REDACTED
        return "/".join(REDACTED if _is_opaque_run(part) else part for part in run.split("/"))

    def _contains_secret(self, decoded: str) -> bool:
        known = any(secret in decoded for secret, _ in self._known)
        return known or _redact_patterns(decoded) != decoded or _is_opaque_run(decoded)


def _redact_patterns(text: str) -> str:
    text = redact_credentials(text, keep_status=True)
    for pattern, replacement in (*_compiled(_PERSONAL), *_compiled(_OPAQUE)):
        text = pattern.sub(replacement, text)
    return text


def _decoded(run: str) -> Iterator[str]:
    """Yield what a run may encode: with percent-encoding (also twice), hexadecimal, or base64."""
    import base64
    import binascii
    from urllib.parse import unquote

    if "%" in run:
        once = unquote(run)
        yield from (once, unquote(once))
    for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
        padded = run if decode is bytes.fromhex else run.rstrip("=") + "=" * (-len(run.rstrip("=")) % 4)
        try:
            text = decode(padded).decode()
        except (binascii.Error, ValueError):
            continue
        if text.isprintable():
            yield text
