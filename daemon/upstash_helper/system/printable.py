"""Text from other processes, made safe to show. Three modules here need it, and none may import the broker's rules."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` without line breaks, control characters, and invisible characters that hide or reorder text."""
    return "".join(character for character in text if character.isprintable())
