"""`@upstash/lock`, used unchanged with the sandbox."""

from __future__ import annotations

from tests.support.npm import run_program


async def test_lock_has_one_holder_at_a_time(variables: dict[str, str]) -> None:
    """
    A lock is acquired once, extended, and released by its holder, and is free when its lease has ended.
    """
    results = await run_program("lock", **variables)

    assert {
        "acquired": True,
        "taken": [False, "FREE", False],
        "held": "ACQUIRED",
        "extended": True,
        "longer": True,
        "released": True,
        "free": [0, "FREE", False],
        "named": True,
        "owner": "mine",
        "expired": [True, True, "FREE", "ACQUIRED"],
    } == results
