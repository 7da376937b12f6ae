"""
The annotations of tools, as Upstash defines them for its hosted server: a tool that only adds something is a write, and
one that can delete or overwrite something is destructive.

``open_world_hint`` is true for every tool that reaches Upstash, and false for one that concerns only this daemon.
"""

from __future__ import annotations

from upstash_helper.api.mcp.tool import Annotations


def reads(title: str, *, open_world: bool = True) -> Annotations:
    """Return the annotations of a tool that changes nothing."""
    return Annotations(
        title=title,
        read_only_hint=True,
        destructive_hint=False,
        idempotent_hint=True,
        open_world_hint=open_world,
    )


def adds(title: str) -> Annotations:
    """Return the annotations of a tool that adds something. Each call adds another one."""
    return Annotations(
        title=title, read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
    )


def overwrites(title: str, *, idempotent: bool = True) -> Annotations:
    """
    Return the annotations of a tool that can delete or overwrite something.

    Args:
        title: The tool's name for people.
        idempotent: Whether repeating the call has no further effect.
    """
    return Annotations(
        title=title, read_only_hint=False, destructive_hint=True, idempotent_hint=idempotent, open_world_hint=True
    )
