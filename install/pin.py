#!/usr/bin/env python3
"""
Write requirements.txt and requirements-dev.txt anew from pyproject.toml: every package with its version and its hashes.

  python3 install/pin.py                       keep the versions that still fit
  python3 install/pin.py --upgrade             take the newest of everything
  python3 install/pin.py --upgrade-package X   take the newest X

Needs uv on the PATH. The files hold for all platforms and for Python 3.11 and newer, and name no package index.
Versions younger than a week are left out: a bad release is mostly found and withdrawn by then.
"""

import os
import sys

# This file is read by old Pythons too, so that they can say this.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

import shutil

from install.environment import DEVELOPMENT, ROOT, RUNTIME
from install.foreground import guarded
from install.progress import SetupError, run_quietly

COOLDOWN = "7 days"

OPTIONS = (
    *("--extra", "sandbox", "--extra", "tray"),
    *("--universal", "--python-version", "3.11"),
    # With its extras in the pin: pip before 24 does not take "coverage" for a pin of what asks for "coverage[toml]".
    *("--generate-hashes", "--no-strip-extras", "--exclude-newer", COOLDOWN),
    *("--constraints", "install/constraints.txt"),
    *("--custom-compile-command", "python3 install/pin.py"),
)

# The second has the versions of the first, so that an environment for tests is one for the demo, too.
FILES = (
    (RUNTIME, ("--group", "build")),
    (DEVELOPMENT, ("--group", "dev", "--constraints", RUNTIME)),
)


def main(arguments: list[str]) -> int:
    """Write both files."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError("Pinning needs uv on the PATH: see https://docs.astral.sh/uv.")
    for file, own in FILES:
        command = [uv, "pip", "compile", "--quiet", "pyproject.toml", *OPTIONS, *own, *arguments, "--output-file", file]
        run_quietly(f"Pinning {file}", command, cwd=ROOT)
    return 0


if __name__ == "__main__":
    guarded(main)
