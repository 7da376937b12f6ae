"""
Measures ``sandbox up``: from the start of the command until a client has written and read with the variables it prints.

It is compared with the start of the sandbox alone (``sandbox serve``), from the start of the command until it is ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import redis

from tests.support.daemon import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

_COMMAND = (sys.executable, "-P", "-m", "upstash_helper", "sandbox")


class Times(NamedTuple):
    """Seconds."""

    first: float
    """With an empty home folder: account, sign-in, and database are created."""
    again: float
    """After ``sandbox down``."""
    running: float
    """If everything is running already."""
    alone: float
    """The sandbox alone, with an empty folder."""


def measure(home: Path) -> Times:
    """Measure each once, with files in ``home``."""
    environ = clean_environment() | {"UPSTASH_HELPER_HOME": str(home)}
    try:
        first = _up(environ)
        subprocess.run((*_COMMAND, "down"), env=environ, check=True, capture_output=True)
        again = _up(environ)
        return Times(first, again, _up(environ), _alone(home / "alone", environ))
    finally:
        subprocess.run((*_COMMAND, "down"), env=environ, check=True, capture_output=True)


def _up(environ: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run((*_COMMAND, "up", "--json"), env=environ, check=True, capture_output=True)
    with redis.Redis.from_url(json.loads(done.stdout)["env"]["REDIS_URL"]) as client:
        client.set("key", "value")
        client.get("key")
    return time.perf_counter() - began


def _alone(data: Path, environ: dict[str, str]) -> float:
    began = time.perf_counter()
    words = (*_COMMAND, "serve", "--data", str(data), "--port", "0")
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took = time.perf_counter() - began
        process.terminate()
    return took
