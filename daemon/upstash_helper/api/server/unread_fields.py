"""
Empties header fields that the daemon never reads, while they arrive.

All ports of ``localhost`` share their cookies, so every program on the machine decides how many cookies a browser sends
here: up to some hundred KB. They are neither stored nor counted, so that no limit on header fields refuses them.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = (b"cookie:", b"referer:")
_LONGEST: Final = max(map(len, _NAMES))
_ALL_BUT_LINE_ENDS: Final = bytes(sorted(set(range(256)) - {0x0A, 0x0D}))


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
        if not self._line and 0 <= end == len(data) - 4 and not _has_unread(data.lower()):
            self._in_head = False
            return data
        kept, at = [], 0
        while at < len(data):
            end = data.find(b"\n", at) + 1
            part = data[at : end or len(data)]
            kept.append(self._kept(part))
            at += len(part)
            if end:
                is_blank = self._line in (b"\n", b"\r\n")
                self._line, self._empties = b"", False
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
    """Return whether a line of a head in lower case begins like an unread field."""
    return head.startswith(_NAMES) or any(b"\n" + name in head for name in _NAMES)


def _line_ends(part: bytes) -> bytes:
    """Return the line ends in a part of one line. There is more than one at its end only in an invalid request."""
    text = part.rstrip(b"\r\n")
    return part[len(text) :] if b"\r" not in text else part.translate(None, _ALL_BUT_LINE_ENDS)
