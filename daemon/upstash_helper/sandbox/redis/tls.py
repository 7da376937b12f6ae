"""The sandbox's certificate authority, and a TLS-terminating proxy for servers that have no gateway."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path

from upstash_helper.sandbox.errors import PortInUse, ServerError
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.resp import Address, connect
from upstash_helper.system import private_files

CHUNK = 64 * 1024


class CertificateAuthority:
    """The sandbox's certificate authority, created once per data folder. Clients trust it by its certificate file."""

    def __init__(self, folder: Folder, host: str) -> None:
        """
        Args:
            folder: The data folder, with the certificate and the key.
            host: The address that the databases listen on.
        """
        self._folder = folder
        self._host = host
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def ensure(self) -> Path:
        """Create the authority if it does not exist. Return the path of its certificate."""
        certificate, key = self._folder.ca_certificate, self._folder.ca_key
        if not (certificate.exists() and key.exists()):
            import trustme

            authority = trustme.CA(organization_name="Upstash sandbox on this machine")
            private_files.write(key, authority.private_key_pem.bytes())
            private_files.write(certificate, authority.cert_pem.bytes())
        return certificate

    def context(self) -> ssl.SSLContext:
        """Return a server's TLS context, with a certificate for the loopback addresses."""
        with self._lock:  # many databases may need it at the same time
            if self._context is None:
                self._context = self._new_context()
            return self._context

    def _new_context(self) -> ssl.SSLContext:
        import trustme

        self.ensure()
        authority = trustme.CA.from_pem(self._folder.ca_certificate.read_bytes(), self._folder.ca_key.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert(*dict.fromkeys([self._host, "127.0.0.1", "::1", "localhost"])).configure_cert(context)
        return context


class TlsProxy:
    """Accepts TLS connections on a port and forwards the decrypted data."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._backend: Address = ("", 0)

    async def start(self, host: str, port: int, backend: Address) -> None:
        """
        Listen on a port.

        Args:
            host: The address to listen on.
            port: The port to listen on.
            backend: The address that connections are forwarded to.

        Raises:
            PortInUse: If another program uses the port.
        """
        self._backend = backend
        context = await asyncio.to_thread(self._authority.context)
        try:
            self._server = await asyncio.start_server(self._serve, host, port, ssl=context)
        except OSError as error:
            raise PortInUse(f"port {port} is in use") from error

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._server is None:
            return
        self._server.close()
        await self.drop_clients()
        await self._server.wait_closed()
        self._server = None

    async def drop_clients(self) -> None:
        """Close all connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        # `drop_clients` cancels this task. asyncio would log the cancellation as an unhandled exception.
        with contextlib.suppress(asyncio.CancelledError, OSError, ServerError):
            await self._forward(reader, writer)
        writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend_reader, backend_writer = await connect(self._backend)
        directions = [
            asyncio.ensure_future(_copy(reader, backend_writer)),
            asyncio.ensure_future(_copy(backend_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            backend_writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
