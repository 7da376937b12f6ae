"""The baseline: a minimal aiohttp server. Run as ``python baseline.py PORT``, or by an activator."""

import os
import socket
import sys

from aiohttp import web


async def hello(_request: web.Request) -> web.Response:
    """Return a constant."""
    return web.json_response({"hello": "world"})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/health", hello)
    app.router.add_get("/v1/connection", hello)
    if "LISTEN_FDS" in os.environ:
        web.run_app(app, sock=socket.socket(fileno=3), print=None, access_log=None)
    else:
        web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
