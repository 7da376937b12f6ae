"""
Empties header fields and parameters that the daemon never reads, while they arrive.

All ports of ``localhost`` share their cookies, so every program on the machine decides how many cookies a browser sends
here: up to some hundred KB. They are neither stored nor counted, so that no limit on header fields refuses them. The
same applies to the description of an error in the OAuth redirect, which the authorization server chooses: a sign-in
that was denied must end, however long the explanation is.
"""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = (b"cookie:", b"referer:")
_LONGEST: Final = max(map(len, _NAMES))
_ALL_BUT_LINE_ENDS: Final = bytes(sorted(set(range(256)) - {0x0A, 0x0D}))

_REDIRECTS: Final = (b"GET /?", b"GET /callback?")
"""How the request line of an OAuth redirect begins."""
_PARAMETERS: Final = frozenset({b"error_description", b"error_uri"})
_LONGEST_PARAMETER: Final = max(map(len, _PARAMETERS))
_END_OF_NAME: Final = re.compile(rb"[=& \r\n]")
_END_OF_VALUE: Final = re.compile(rb"[& \r\n]")
_HAS_PARAMETER: Final = re.compile(b"|".join(_PARAMETERS))


class UnreadParameters:
    """The filter of one request line."""

    def __init__(self) -> None:
        self._start: bytes | None = b""
        """The beginning of the line, as long as it can be that of a redirect; None once it is one."""
        self._name: bytes | None = b""
        """The name of the current parameter, as far as it has arrived; None in its value."""
        self._empties = False
        self._off = False

    @property
    def is_new(self) -> bool:
        """Whether nothing of the line has arrived."""
        return self._start == b""

    def feed(self, part: bytes) -> bytes:
        """Return a part of the line without the values of unread parameters."""
        kept, at = [], 0
        while at < len(part) and not self._off:
            if self._start is not None:
                end = at + 1
                self._start += part[at:end]
                if self._start in _REDIRECTS:
                    self._start = None
                elif not any(each.startswith(self._start) for each in _REDIRECTS):
                    self._off = True
                kept.append(part[at:end])
            else:
                end = self._parameter(part, at, kept)
            at = end
        return b"".join((*kept, part[at:]))

    def _parameter(self, part: bytes, at: int, kept: list[bytes]) -> int:
        """Handle the rest of a name or a value with the character that ends it, and return where it ends."""
        found = (_END_OF_VALUE if self._name is None else _END_OF_NAME).search(part, at)
        end = len(part) if found is None else found.start()
        if self._name is not None:
            self._name += part[at : min(end, at + _LONGEST_PARAMETER + 1 - len(self._name))]
        if not self._empties:
            kept.append(part[at:end])
        if found is None:
            return end
        kept.append(found[0])
        if found[0] == b"=":
            self._empties, self._name = self._name in _PARAMETERS, None
        else:
            self._empties, self._name = False, b""
            self._off = found[0] != b"&"
        return found.end()


class UnreadFields:
    """
    The filter of one connection. Only the bytes of values are removed, never a line end: the lines of a request, and so
    its framing, stay as they were sent.
    """

    def __init__(self) -> None:
        self._in_head = True
        self._line = b""
        """The beginning of the current line, as long as it can be the name of an unread field."""
        self._empties = False
        """Whether the rest of the current line is removed."""
        self._passed = 0
        """The number of bytes after the head."""
        self._request_line: UnreadParameters | None = UnreadParameters()
        """None after the first line."""
        self._off = False

    def feed(self, data: bytes) -> bytes:
        """Return ``data`` without the values of unread fields."""
        if self._off:
            return data
        if not self._in_head:
            self._passed += len(data)
            return data
        # A complete head, as almost all are, is looked at line by line only if there is something to remove.
        end = data.find(b"\r\n\r\n")
        is_at_line_start = not self._line and (self._request_line is None or self._request_line.is_new)
        if is_at_line_start and 0 <= end == len(data) - 4 and not _has_unread(data.lower()):
            self._in_head, self._request_line = False, None
            return data
        kept, at = [], 0
        while at < len(data):
            end = data.find(b"\n", at) + 1
            part = data[at : end or len(data)]
            kept.append(self._kept(part) if self._request_line is None else self._request_line.feed(part))
            at += len(part)
            if end:
                is_blank = self._request_line is None and self._line in (b"\n", b"\r\n")
                self._line, self._empties, self._request_line = b"", False, None
                if is_blank:
                    self._in_head = False
                    self._passed = len(data) - at
                    kept.append(data[at:])
                    break
        return b"".join(kept)

    def request_read(self, body_length: int | None) -> None:
        """
        Expect the next request's head: the current request has been read to its end.

        Args:
            body_length: The length of its body; None if it is not known. What arrived beyond it belongs to the next
                request, whose head may be incomplete. Browsers never send that early, and nothing is removed any more.
        """
        if self._in_head:
            return
        self._off = self._off or body_length is None or self._passed != body_length
        self._in_head, self._line, self._empties, self._passed = True, b"", False, 0
        self._request_line = UnreadParameters()

    def _kept(self, part: bytes) -> bytes:
        """Return what is kept of a part of one line."""
        if self._empties:
            return _line_ends(part)
        missing = _LONGEST - len(self._line)
        if missing <= 0:
            return part
        before = len(self._line)
        self._line += part[:missing]
        for name in _NAMES:
            if self._line[: len(name)].lower() == name:
                self._empties = True
                value = len(name) - before
                return part[:value] + _line_ends(part[value:])
        return part


def _has_unread(head: bytes) -> bool:
    """Return whether a line of a head in lower case begins like an unread field, or has an unread parameter."""
    return (
        head.startswith(_NAMES)
        or any(b"\n" + name in head for name in _NAMES)
        or _HAS_PARAMETER.search(head) is not None
    )


def _line_ends(part: bytes) -> bytes:
    """Return the line ends in a part of one line. There is more than one at its end only in an invalid request."""
    text = part.rstrip(b"\r\n")
    return part[len(text) :] if b"\r" not in text else part.translate(None, _ALL_BUT_LINE_ENDS)
