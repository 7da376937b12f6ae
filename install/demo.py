#!/usr/bin/env python3
"""
Show upstash-helper at work, against a local sandbox: no Upstash account is needed and nothing leaves this machine.

  python3 install/demo.py           set up, do the main job, and stay up until Ctrl-C; the addresses are printed
  python3 install/demo.py --once    the same, and exit
  python3 install/demo.py ...       whatever else `upstash-helper demo` takes

The first run makes a virtual environment in .venv, with uv if it is installed, else with pip, and downloads what
requirements.txt pins. Later runs start at once.
"""

import os
import sys

# This file is read by old Pythons too, so that they can say this.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from install.environment import RUNTIME, Environment
from install.foreground import become, guarded


def main(arguments: list[str]) -> int:
    """Set up what is missing, then become the demo."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    python = Environment().prepare(RUNTIME)
    # -P: a click.py in the folder where the user happens to be is not ours.
    return become([str(python), "-P", "-m", "upstash_helper", "demo", *arguments])


if __name__ == "__main__":
    guarded(main)
