"""Progress messages of a setup: it prints nothing unless a step takes more than a second or fails."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

QUIET_SECONDS = 1.0
"""Steps that take less time print nothing."""

_TAIL_LINES = 25

# Network errors of pip, uv, and apt-get, in lower case.
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
    """A setup failed. The message for the user names the problem and what to do."""


class CommandFailed(SetupError):
    """A program that the setup started has failed. ``output`` is what it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def say(text: str) -> None:
    """Print a message on standard error. Standard output is for the program that is started afterwards."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def timed(label: str) -> Iterator[threading.Thread]:
    """
    Print ``label`` after a second, and the duration at the end. Print nothing if it takes less than a second.

    Yields the thread that prints the label.
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


def run_quietly(
    label: str,
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    base: Mapping[str, str] = os.environ,
) -> None:
    """
    Run a command without showing its output.

    Args:
        label: A description of the step, for progress messages.
        command: The program and its arguments.
        cwd: The working directory.
        env: Variables to add to ``base``.
        base: The environment. By default, that of this process.

    Raises:
        CommandFailed: If it cannot be started, or its exit code is not 0.
    """
    from upstash_helper.system import bounded_run

    try:
        with timed(label):
            done = bounded_run.run(command, seconds=None, environ={**base, **(env or {})}, folder=cwd, in_terminal=True)
    except OSError as error:
        raise CommandFailed(f"{label} failed: cannot start {command[0]}: {error.strerror}.", "") from error
    if done.code:
        output = "".join(each.decode(errors="replace") for each in (done.out, done.err))
        raise CommandFailed(f"{label} failed: {reason_in(output)}", tail_of(output))


def reason_in(output: str) -> str:
    """Return why a download or an installation failed, and what to do about it, judging from its output."""
    text = output.lower()
    if "no space left on device" in text or "not enough space" in text:
        return "the disk is full. Free some space, then run the same command again."
    if "do not match the hashes" in text or "hash mismatch" in text:
        return "a package differs from the pinned one. Do you use a mirror that changes packages?"
    if any(sign in text for sign in _NO_NETWORK):
        return "the network did not respond. Check your connection and proxy, then run the same command again."
    return "see the output above."


def tail_of(output: str) -> str:
    """Return the last lines of a program's output, which usually contain the error."""
    return "\n".join(output.rstrip().splitlines()[-_TAIL_LINES:])
