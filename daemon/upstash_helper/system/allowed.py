"""
What a pattern allows, in words, as part of an annotation: ``Meta(pattern=…, extra={ALLOWED: …})``.

It is apart from ``validation``, which reads it: every command loads the annotated types, and few validate a value.
"""

from __future__ import annotations

from typing import Final

ALLOWED: Final = "allowed"
"""The key in ``extra`` of the end of a sentence that begins with "Must be", such as "letters and digits"."""

ONE_WORD: Final = "one word of ASCII characters, without spaces"
