"""`@upstash/realtime`, used unchanged with the sandbox."""

from __future__ import annotations

from tests.support.npm import run_program


async def test_realtime_delivers_events(variables: dict[str, str]) -> None:
    """
    Subscribers get the events of their channels: live, from history, after a cursor, and as a stream for browsers.
    """
    results = await run_program("realtime", **variables)

    paid = [["order.paid", {"total": total}] for total in (1, 2, 3)]
    assert {
        "heard": paid[:2],
        "replayed": [["order.shipped", {"by": "ship"}], *paid[:2]],
        "following": paid[2:],
        "missed": paid[1:],
        "stale": True,
        "invalid": True,
        "history": [["shop", *event] for event in paid],
        "expires": True,
        "denied": 401,
        "type": "text/event-stream",
        "connected": ["elsewhere", "shop"],
        "acknowledged": [1, 2, 3],
        "arrived": ["elsewhere", "order.shipped", {"by": "plane"}],
    } == results
