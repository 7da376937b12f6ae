"""Text in files and on stdin that people have written, possibly with an editor that does not write plain UTF-8."""

from __future__ import annotations

from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
# Longest first: the mark of UTF-32 in little-endian begins with that of UTF-16.
_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# In UTF-16, every second byte of a text in Latin letters is zero. Text in UTF-8 has none at all.
_LEAST_ZEROS: Final = 0.25


class NotUtf8(ValueError):
    """The text is not UTF-8. ``str()`` is a predicate and an instruction, such as "is encoded in UTF-16. Save …"."""


def decode_utf8(data: bytes) -> str:
    """
    Decode UTF-8, with or without a byte order mark.

    Raises:
        NotUtf8: If it has another encoding, which is named if it can be recognized.
    """
    encoding = foreign_encoding(data)
    if encoding is not None:
        message = f"is encoded in {encoding}. Save it as UTF-8."
        raise NotUtf8(message)
    try:
        return without_bom(data).decode("utf-8")
    except UnicodeDecodeError as error:
        place = line_and_column(error.object, error.start)
        found = error.object[error.start]
        message = (
            f"is not in UTF-8: {place} has the byte 0x{found:02X}. It may be encoded in Latin-1 or Windows-1252. Save"
            " it as UTF-8."
        )
    raise NotUtf8(message)


def without_bom(data: bytes) -> bytes:
    """Return ``data`` without the byte order mark that some editors write in front of UTF-8."""
    return data.removeprefix(_BOM)


def foreign_encoding(data: bytes) -> str | None:
    """Return ``UTF-16`` or ``UTF-32`` if ``data`` is a text in this encoding, with or without a byte order mark."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    zeros = data.count(0)
    if not zeros or zeros < _LEAST_ZEROS * len(data):
        return None
    return "UTF-32" if zeros > len(data) // 2 + 1 else "UTF-16"


def line_and_column(data: bytes, position: int) -> str:
    """Return where the byte at ``position`` is, as ``line 3, column 7``. A column is a character."""
    *lines, last = data[:position].split(b"\n")
    return f"line {len(lines) + 1}, column {len(last.decode('utf-8', 'replace')) + 1}"
