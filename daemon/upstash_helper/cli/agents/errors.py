"""Errors for which an agent's configuration is not changed."""

from __future__ import annotations


class Refused(Exception):
    """A configuration is not changed. ``str()`` is a sentence that explains why, with the file."""


class InvalidText(Exception):
    """
    A text cannot be edited. ``str()`` is a predicate with a position, such as "is not valid JSON: line 3, column 7: …".
    """


class FileChanged(Exception):
    """The file was changed between reading and replacing it."""
