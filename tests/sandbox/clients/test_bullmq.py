"""BullMQ, used unchanged with a database of the sandbox."""

from __future__ import annotations

from tests.support.npm import run_program


async def test_bullmq_runs_jobs(variables: dict[str, str]) -> None:
    """
    Workers run jobs in order, later, repeatedly, after their children, and within a rate limit, and report events.
    """
    results = await run_program("bullmq", **variables)

    assert {
        "result": 42,
        "stored": [42, 50, ["half"]],
        "attempts": 2,
        "failed": ["no", [["never", 1]]],
        "counts": {"completed": 2, "failed": 1, "waiting": 0},
        "events": ["active", "added", "completed", "failed", "progress", "waiting"],
    } == results["results"]
    assert {
        "before": {"waiting": 2, "prioritized": 2, "delayed": 1},
        "names": ["zeroth", "first", "second", "third"],
        "early": 0,
    } == results["order"]
    assert {
        "names": ["tick", "tick", "tick"],
        "next": ["-01-01T00:00:00.000Z"],
        "removed": [True, 0],
    } == results["repetition"]
    assert {
        "limited": True,
        "counts": {"completed": 2, "waiting": 2},
        "all": ["1", "2", "3", "4"],
    } == results["rateLimit"]
    assert {"same": True, "value": 12} == results["flow"]
    assert {
        "paused": True,
        "same": True,
        "waiting": 2,
        "removed": 1,
        "name": "once",
        "cleaned": 1,
    } == results["management"]
