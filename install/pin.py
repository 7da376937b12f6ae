#!/usr/bin/env python3
"""
Generate requirements.txt, requirements-test.txt, and requirements-dev.txt from pyproject.toml, with the version and
hashes of each package.

  python3 install/pin.py                       keep versions that are still allowed
  python3 install/pin.py --upgrade             upgrade all packages
  python3 install/pin.py --upgrade-package X   upgrade package X

Requires uv on the PATH. The files are for all platforms and for Python 3.11 and newer, and name no package index.
Versions released less than a week ago are not used, because most bad releases are found and withdrawn within that time.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

import shutil

from install.environment import DEVELOPMENT, ROOT, RUNTIME, TEST
from install.foreground import run_main
from install.progress import SetupError, run_quietly

COOLDOWN = "7 days"

OPTIONS = (
    *("--extra", "sandbox", "--extra", "tray"),
    *("--universal", "--python-version", "3.11"),
    # Pins include extras: for pip before 24, a pin of "coverage" does not satisfy a requirement of "coverage[toml]".
    *("--generate-hashes", "--no-strip-extras", "--exclude-newer", COOLDOWN),
    *("--constraints", "install/constraints.txt"),
    *("--custom-compile-command", "python3 install/pin.py"),
)

# Each file has the versions of the one before, so that an environment for tests can also run the demo.
FILES = (
    (RUNTIME, ("--group", "build")),
    (TEST, ("--group", "test", "--constraints", RUNTIME)),
    (DEVELOPMENT, ("--group", "dev", "--constraints", TEST)),
)


def main(arguments: list[str]) -> int:
    """Generate both files."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError("Pinning requires uv on the PATH: see https://docs.astral.sh/uv.")
    for file, own in FILES:
        command = [uv, "pip", "compile", "--quiet", "pyproject.toml", *OPTIONS, *own, *arguments, "--output-file", file]
        run_quietly(f"Pinning {file}", command, cwd=ROOT)
    return 0


if __name__ == "__main__":
    run_main(main)
