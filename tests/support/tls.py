"""A client that insists on TLS, as a browser does for a host that it knows by HSTS."""

from __future__ import annotations

import asyncio
import ssl
import time


async def tls_hello(port: int, host: str = "127.0.0.1") -> float:
    """Begin TLS, and return after how many seconds the far side had closed the connection."""
    context = ssl.create_default_context()
    began = time.monotonic()
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return time.monotonic() - began
    writer.close()
    message = "the far side speaks TLS"
    raise AssertionError(message)
