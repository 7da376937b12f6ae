"""Questions to the user before an agent destroys something or writes a file."""

from __future__ import annotations

import msgspec


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the user is asked."""

    action: str
    """The kind of action, as in the audit log, such as ``database.delete``."""
    title: str
    """The question, in a few words, such as ``Delete the database "orders"?``"""
    detail: str
    """What will be destroyed or written, so that the user can decide without looking anything up."""
    target: str
    """The object, as in the audit log."""
