"""The modules that a process of ours has loaded when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCRIPT = """
import atexit, sys

def write(path=sys.argv.pop(1), before=frozenset(sys.modules)):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\\n".join(sorted(set(sys.modules) - before)))

atexit.register(write)
from upstash_helper.__main__ import main
main()
"""


class Imported:
    """What a process has loaded besides what Python loads itself."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        """All modules. Empty until the process has ended."""

    @property
    def ours(self) -> list[str]:
        """The modules and packages of ``upstash_helper``, without that prefix."""
        prefix = "upstash_helper."
        return sorted(name.removeprefix(prefix) for name in self.names if name.startswith(prefix))

    @property
    def libraries(self) -> set[str]:
        """The packages that are neither ours nor Python's."""
        found = {name.partition(".")[0] for name in self.names} - sys.stdlib_module_names - {"upstash_helper"}
        # Some libraries use these if they are installed. What Cython adds has its version in the name.
        return {name for name in found if "cython" not in name} - {"backports", "typing_extensions"}


@contextmanager
def running(*arguments: str, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Imported]]:
    """Run ``upstash-helper`` during the block. At its end, wait for the process, and fill in what it has loaded."""
    found, listed = Imported(), home / "modules.txt"
    home.mkdir(exist_ok=True)
    # A process whose coverage is measured loads more.
    dropped = ("UPSTASH_HELPER_", "COV_CORE_", "COVERAGE_")
    # With a proxy or a file of certificates, `status` compares them with those of the daemon.
    network = {"https_proxy", "no_proxy", "ssl_cert_file"}
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and name.lower() not in network
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(listed), *arguments],
        env=environment | {"UPSTASH_HELPER_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, found
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    found.names = frozenset(listed.read_text(encoding="utf-8").splitlines())


def imported_by(*arguments: str, home: Path) -> Imported:
    """Run ``upstash-helper`` and return what it has loaded."""
    with running(*arguments, home=home) as (_, found):
        pass
    return found
