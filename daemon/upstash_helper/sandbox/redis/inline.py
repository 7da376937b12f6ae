"""Inline commands: a line of text, as a person types it into telnet."""

from __future__ import annotations

SPACES = b" \t\r\n\v\f\0"
ESCAPES = {ord("n"): 0x0A, ord("r"): 0x0D, ord("t"): 0x09, ord("b"): 0x08, ord("a"): 0x07}
DOUBLE, SINGLE, BACKSLASH = b"\"'\\"


class UnbalancedQuotes(Exception):
    """A quote is not closed, or text follows it without a space."""


def split_inline(line: bytes) -> list[bytes]:
    r"""
    Return the arguments in a line. Quotes are as in ``redis-cli``: "with \n and \x00", or 'as it is'.

    Raises:
        UnbalancedQuotes: If the quotes are not balanced.
    """
    arguments: list[bytes] = []
    position, length = 0, len(line)
    while True:
        while position < length and line[position] in SPACES:
            position += 1
        if position >= length:
            return arguments
        argument = bytearray()
        while position < length and line[position] not in SPACES:
            if line[position] in (DOUBLE, SINGLE):
                position = _read_quoted(line, position, argument)
                break
            argument.append(line[position])
            position += 1
        arguments.append(bytes(argument))


def _read_quoted(line: bytes, position: int, argument: bytearray) -> int:
    """Append a quoted part to ``argument``. Return the position after it."""
    quote = line[position]
    position += 1
    while position < len(line):
        byte = line[position]
        if byte == quote:
            if position + 1 < len(line) and line[position + 1] not in SPACES:
                raise UnbalancedQuotes
            return position + 1
        if byte == BACKSLASH and position + 1 < len(line) and (quote == DOUBLE or line[position + 1] == SINGLE):
            byte, position = _read_escape(line, position + 1)
        else:
            position += 1
        argument.append(byte)
    raise UnbalancedQuotes


def _read_escape(line: bytes, position: int) -> tuple[int, int]:
    """Return the byte that is written after a backslash, and the position after it."""
    digits = line[position + 1 : position + 3]
    if line[position] == ord("x") and len(digits) == 2:
        try:
            return int(bytes(digits), 16), position + 3
        except ValueError:
            pass
    return ESCAPES.get(line[position], line[position]), position + 1
