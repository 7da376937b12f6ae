"""What a set-up tells the person who waits for it: nothing, unless it takes more than a second or fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

QUIET_SECONDS = 1.0
"""What is over sooner is not worth a line."""

_TAIL_LINES = 25

# What pip, uv and apt-get say when nothing answers. Lower case.
_NO_NETWORK = (
    "connection refused",
    "connection reset",
    "connectionerror",
    "could not connect",
    "could not resolve",
    "dns error",
    "error sending request",
    "failed to establish a new connection",
    "failed to lookup address",
    "getaddrinfo failed",
    "name resolution",
    "network is unreachable",
    "newconnectionerror",
    "no route to host",
    "proxyerror",
    "temporary failure resolving",
    "timed out",
    "tunnel error",
)


class SetupError(Exception):
    """Something that stops the set-up. Its message is one sentence (what is wrong, what to do) for a person."""


class CommandFailed(SetupError):
    """A program that the set-up started did not succeed; ``output`` holds what it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def say(text: str) -> None:
    """Print a line for the person who waits. Standard output belongs to the program that is set up for."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def timed(label: str) -> Iterator[threading.Thread]:
    """
    Say ``label`` once a second has passed, and how long it took in the end; say nothing if it was quicker.

    Gives the thread that waits for the second to pass.
    """
    notice = threading.Timer(QUIET_SECONDS, say, [f"{label} ..."])
    notice.daemon = True
    started = time.monotonic()
    notice.start()
    try:
        yield notice
    finally:
        notice.cancel()
    seconds = time.monotonic() - started
    if seconds >= QUIET_SECONDS:
        say(f"{label}: {seconds:.1f} s")


def run_quietly(label: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """
    Run ``command`` to its end without showing what it prints.

    Args:
        label: What is done, for the line that is printed if it takes long.
        command: The program and its arguments.
        cwd: Where it runs.
        env: Variables on top of this process's own.

    Raises:
        CommandFailed: If it could not be started, or its exit code is not 0.
    """
    try:
        with timed(label):
            done = subprocess.run(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
    except OSError as error:
        raise CommandFailed(f"{label} failed: {command[0]} could not be started ({error.strerror}).", "") from error
    if done.returncode:
        raise CommandFailed(f"{label} failed: {reason_in(done.stdout)}", tail_of(done.stdout))


def reason_in(output: str) -> str:
    """Return why a download or an installation failed and what to do about it, as far as ``output`` tells."""
    text = output.lower()
    if "no space left on device" in text or "not enough space" in text:
        return "the disk is full. Make room, then run the same command again."
    if "do not match the hashes" in text or "hash mismatch" in text:
        return "a package is not the one that is pinned. Is there a mirror on the way that changes packages?"
    if any(sign in text for sign in _NO_NETWORK):
        return "the network did not answer. Check it (and the proxy), then run the same command again."
    return "the lines above say why."


def tail_of(output: str) -> str:
    """Return the last lines of ``output``: those that say why."""
    return "\n".join(output.rstrip().splitlines()[-_TAIL_LINES:])
