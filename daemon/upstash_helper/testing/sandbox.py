"""A sandbox and its daemon for tests, in child processes that never outlive this one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from upstash_helper.system import open_files
from upstash_helper.system.processes import DETACHED

if TYPE_CHECKING:
    from upstash_helper.client.daemon import DaemonClient

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
"""Databases are stopped one after the other."""

PROFILE: Final = "sandbox"
_PREFIX: Final = "UPSTASH_HELPER_"
_REGION: Final = "us-east-1"


class SandboxNotStarted(Exception):
    """The sandbox did not start. ``str()`` has the reason."""


@dataclass(frozen=True, kw_only=True)
class SandboxDatabase:
    """A database, with what a client needs to connect."""

    id: str
    name: str
    url: str = field(repr=False)
    """The Redis URL, with the password."""
    rest_url: str
    rest_token: str = field(repr=False)
    read_only_rest_token: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    """The variables of a ``.env`` file, such as ``UPSTASH_REDIS_REST_URL``."""


class TestingSandbox:
    """
    A running sandbox. Its daemon approves every access request.

    An app under test finds the daemon at ``base_url``, or with the variables in ``environment``.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(self, *, home: Path, started: Mapping[str, Any], client: DaemonClient) -> None:
        """Called by ``running``."""
        self.base_url: str = started["daemon"]["base_url"]
        """The daemon's address."""
        self.api_url: str = started["upstream"]["api_url"]
        """The sandbox's Developer API, without ``/v2``."""
        self.environment: Mapping[str, str] = {f"{_PREFIX}HOME": str(home), f"{_PREFIX}PROFILE": PROFILE}
        """Variables with which ``upstash-helper`` and the Python client use this sandbox."""
        self._client = client

    def __repr__(self) -> str:
        return f"TestingSandbox(base_url={self.base_url!r})"

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """
        Start a sandbox in a temporary folder, and stop it on leaving. However this process ends, the sandbox stops.

        Raises:
            SandboxNotStarted: If that is not possible, for example because the extra ``sandbox`` is not installed.
        """
        # A short path, because the paths of Unix sockets are limited to about 100 bytes.
        home = Path(tempfile.mkdtemp(prefix="uh-"))
        try:
            with _process(home) as started:
                yield cls(home=home, started=started, client=_client(home))
        finally:
            with contextlib.suppress(OSError):
                open_files.remove_tree(home)

    def create_database(self, name: str | None = None, *, tls: bool = False) -> SandboxDatabase:
        """
        Create an empty database.

        Args:
            name: Its name. Default: a new one.
            tls: Whether clients must use TLS. If so, they need the file ``REDIS_CA_FILE`` in ``env``.

        Raises:
            ClientError: If it cannot be created, for example because the name is taken.
        """
        from upstash_helper.protocol.wire import CreateDatabase

        wanted = CreateDatabase(name=name or f"test-{uuid.uuid4().hex[:12]}", primary_region=_REGION, tls=tls)
        created = self._client.create_database(wanted, idempotency_key=str(uuid.uuid4()))
        found = self._client.credentials(created.id)
        return SandboxDatabase(
            id=found.id,
            name=found.name,
            url=found.redis_url,
            rest_url=found.rest_url,
            rest_token=found.rest_token,
            read_only_rest_token=found.read_only_rest_token,
            env=dict(found.env),
        )

    def delete_database(self, database_id: str) -> None:
        """Delete a database. It is not an error if the test has already deleted it."""
        from upstash_helper.client.errors import DatabaseNotFound

        with contextlib.suppress(DatabaseNotFound):
            self._client.delete_database(database_id)


@contextlib.contextmanager
def _process(home: Path) -> Iterator[dict[str, Any]]:
    """Run ``sandbox up`` in the foreground, and yield what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    command = [
        sys.executable, "-P", "-m", "upstash_helper", "--profile", PROFILE,
        "sandbox", "up", "--json", "--foreground", "--auto-approve", "--stop-with-parent",
    ]  # fmt: skip
    with (home / "start.log").open("wb") as log:
        # Its standard input is a pipe, which closes however this process ends. Then it stops everything.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment | {f"{_PREFIX}HOME": str(home)},
            # Ctrl-C in the terminal ends the tests first: their fixtures may still need the sandbox to clean up.
            **DETACHED,
        )
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101 - for the type checker
    watch = threading.Timer(START_SECONDS, process.terminate)
    watch.daemon = True
    watch.start()
    try:
        line = process.stdout.readline()
        watch.cancel()
        if not line:
            process.wait(STOP_SECONDS)
            reason = (home / "start.log").read_text("utf-8", "replace").strip().removeprefix("Error: ")
            raise SandboxNotStarted(reason or f"The sandbox did not start within {START_SECONDS:.0f} s.")
        yield json.loads(line)
    finally:
        watch.cancel()
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _client(home: Path) -> DaemonClient:
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.settings.profiles import locate

    _, folders = locate(profile=PROFILE, environ={f"{_PREFIX}HOME": str(home)})
    return DaemonClient.discover(folders.runtime)
