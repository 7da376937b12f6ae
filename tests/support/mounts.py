"""Full and read-only file systems, for a separate process. Unlike permissions, they also restrict root."""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


_RUN = """
import asyncio, importlib, json, pathlib, sys
module, name, *paths = sys.argv[1:]
use = getattr(importlib.import_module(module), name)
print(json.dumps(asyncio.run(use(*map(pathlib.Path, paths)))))
"""


def run_with_mounts(mounts: str, use: Callable[..., Awaitable[Any]], *paths: Path) -> Any:
    """
    Run ``mounts`` and then ``use`` in a process with its own mounts.

    Args:
        mounts: Lines of sh. The paths are ``$1`` and so on.
        use: A top-level function of a test module. It gets the paths, and returns a JSON-serializable value.
        paths: The paths.

    Returns:
        The value that ``use`` returned, decoded from JSON.
    """
    prefix = _namespace()
    if prefix is None:
        pytest.skip("this system does not allow mounting, not even in a namespace")
    module = ".".join(Path(inspect.getfile(use)).relative_to(ROOT).with_suffix("").parts)
    # The arguments before the paths are shifted away, so that the paths start at $1.
    shell = f'set -e; python=$1 run=$2 module=$3 use=$4; shift 4\n{mounts}\n"$python" -c "$run" "$module" "$use" "$@"'
    words = (sys.executable, _RUN, module, use.__name__, *map(str, paths))
    ended = subprocess.run(
        (*prefix, "sh", "-c", shell, "sh", *words),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    return json.loads(ended.stdout)


@functools.cache
def _namespace() -> tuple[str, ...] | None:
    """Return the command that starts a program with its own mounts, or None if that is not allowed."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has mount namespaces")
    with tempfile.TemporaryDirectory() as folder:
        for prefix in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
            command = [*prefix, "mount", "-t", "tmpfs", "tmpfs", folder]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return prefix
    return None


@functools.cache
def _is_unprivileged() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", folder]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def skip_unless_mounting_is_unprivileged() -> None:
    """Skip the test where a user without rights cannot create a namespace with its own mounts."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has mount namespaces")
    if not _is_unprivileged():
        pytest.skip("this system does not allow mounting in a user namespace")
