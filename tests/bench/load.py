"""A load generator on plain sockets, with a small cost that is the same for both sides."""

from __future__ import annotations

import asyncio
import time


async def requests_per_second(port: int, path: str, *, token: str, connections: int, seconds: float) -> float:
    """Return the number of requests per second over persistent connections, with one request at a time on each."""
    text = (
        f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n\r\n"
    ).encode()
    end = time.perf_counter() + seconds
    counts = await asyncio.gather(*(_ask(port, text, end) for _ in range(connections)))
    return sum(counts) / seconds


async def _ask(port: int, text: bytes, end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < end:
        writer.write(text)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            message = f"refused: {head[:40]!r}"
            raise RuntimeError(message)
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count
