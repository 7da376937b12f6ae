"""TLS in front of a database's server, with certificates of the sandbox's own authority."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

from upstash_helper.sandbox.errors import PortTaken, ServerFailed
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.resp import Address, connect
from upstash_helper.system import private_files

CHUNK = 64 * 1024


class Authority:
    """The sandbox's certificate authority: made once for each data folder, trusted by whoever reads its file."""

    def __init__(self, folder: Folder, host: str) -> None:
        """
        Args:
            folder: Where certificate and key are kept.
            host: The address that the databases listen on.
        """
        self._folder = folder
        self._host = host
        self._context: ssl.SSLContext | None = None

    def ensure(self) -> Path:
        """Make the authority if there is none. Return the file of its certificate."""
        certificate, key = self._folder.ca_certificate, self._folder.ca_key
        if not (certificate.exists() and key.exists()):
            import trustme

            authority = trustme.CA(organization_name="Upstash sandbox on this machine")
            private_files.write(key, authority.private_key_pem.bytes())
            private_files.write(certificate, authority.cert_pem.bytes())
        return certificate

    def context(self) -> ssl.SSLContext:
        """Return what a server needs to prove that it is this machine."""
        if self._context is None:
            import trustme

            self.ensure()
            authority = trustme.CA.from_pem(self._folder.ca_certificate.read_bytes(), self._folder.ca_key.read_bytes())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            authority.issue_cert(*dict.fromkeys([self._host, "127.0.0.1", "::1", "localhost"])).configure_cert(context)
            self._context = context
        return self._context


class TlsFront:
    """Takes TLS connections on a port and passes on what is inside."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._backend: Address = ("", 0)

    async def start(self, host: str, port: int, backend: Address) -> None:
        """
        Listen.

        Args:
            host: Where to listen.
            port: The same.
            backend: Where connections are passed on to.

        Raises:
            PortTaken: If another program holds the port.
        """
        self._backend = backend
        context = await asyncio.to_thread(self._authority.context)
        try:
            self._server = await asyncio.start_server(self._serve, host, port, ssl=context)
        except OSError as error:
            raise PortTaken(f"port {port} is taken") from error

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is None:
            return
        self._server.close()
        await self.drop()
        await self._server.wait_closed()
        self._server = None

    async def drop(self) -> None:
        """Drop all connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        # Cancelled by `drop`, and asyncio would report it as an error of ours.
        with contextlib.suppress(asyncio.CancelledError, OSError, ServerFailed):
            await self._join(reader, writer)
        writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await connect(self._backend)
        directions = [
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            inner_writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
