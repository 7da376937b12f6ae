#!/usr/bin/env python3
"""
Demonstrate upstash-helper with a local sandbox. It needs no Upstash account, and no data leaves this machine.

  python3 install/demo.py           run the demo, print its URLs, and keep running until Ctrl-C
  python3 install/demo.py --once    run the demo and exit
  python3 install/demo.py --partner use the partner sign-in, with an OAuth client ID and an API key
  python3 install/demo.py ...       pass other options to `upstash-helper demo`

The first run creates a virtual environment in .venv, with uv if it is installed, otherwise with pip, and downloads the
packages in requirements.txt. Later runs start immediately.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from install.environment import RUNTIME, Environment
from install.foreground import replace_process, run_main


def main(arguments: list[str]) -> int:
    """Prepare the environment, then replace this process with the demo."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    python = Environment().prepare(RUNTIME)
    # -P: do not import modules from the working directory.
    return replace_process([str(python), "-P", "-m", "upstash_helper", "demo", *arguments])


if __name__ == "__main__":
    run_main(main)
