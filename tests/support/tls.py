"""A client that requires TLS, as a browser does for a host with HSTS."""

from __future__ import annotations

import asyncio
import ssl
import time


async def tls_hello(port: int, host: str = "127.0.0.1") -> float:
    """Start TLS, and return the seconds until the server closed the connection."""
    context = ssl.create_default_context()
    began = time.monotonic()
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
    except (ssl.SSLError, ConnectionError):
        return time.monotonic() - began
    writer.close()
    message = "the server speaks TLS"
    raise AssertionError(message)
