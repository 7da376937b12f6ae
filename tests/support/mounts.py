"""File systems that are full or read-only, for a process of its own: permissions do not stop root, these do."""

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
    Run ``mounts``, lines of sh, and then ``use``, in a process that alone sees what was mounted.

    Args:
        mounts: Gets the paths as ``$1`` and so on.
        use: A function at the top of a module of tests; gets the paths, and returns what JSON can hold.
        paths: The paths.

    Returns:
        What ``use`` did, in lists and dictionaries.
    """
    prefix = _namespace()
    if prefix is None:
        pytest.skip("this system lets nobody but root mount, not even in a namespace")
    module = ".".join(Path(inspect.getfile(use)).relative_to(ROOT).with_suffix("").parts)
    # The words in front of the paths are kept out of their numbers.
    shell = f'set -e; python=$1 run=$2 module=$3 use=$4; shift 4\n{mounts}\n"$python" -c "$run" "$module" "$use" "$@"'
    words = (sys.executable, _RUN, module, use.__name__, *map(str, paths))
    ended = subprocess.run(
        (*prefix, "sh", "-c", shell, "sh", *words),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    return json.loads(ended.stdout)


@functools.cache
def _namespace() -> tuple[str, ...] | None:
    """Return what starts a program with mounts of its own."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has mount namespaces")
    with tempfile.TemporaryDirectory() as folder:
        for prefix in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
            command = [*prefix, "mount", "-t", "tmpfs", "tmpfs", folder]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return prefix
    return None
