#!/usr/bin/env python3
"""
Set up what the tests need, and run them.

  python3 install/test.py                   everything: ruff, mypy, import-linter, the checks of our JavaScript, then
                                            pytest with branch coverage
  python3 install/test.py tests/api -q      only pytest, with these arguments
  python3 install/test.py --no-system ...   install no system packages

The first run makes a virtual environment in .venv, with uv if it is installed, else with pip, and downloads what
requirements-dev.txt pins. On Debian and Ubuntu, as root or with a sudo that asks for no password, the system packages
that tests need are installed as well; tests for which something is missing are skipped, and say what.
"""

import os
import sys

# This file is read by old Pythons too, so that they can say this.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from install import suite, system_packages
from install.environment import DEVELOPMENT, ROOT, Environment
from install.foreground import guarded


def main(arguments: list[str]) -> int:
    """Set up what is missing, then run the tests."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    if "--no-system" in arguments:
        arguments = [argument for argument in arguments if argument != "--no-system"]
    else:
        system_packages.provide()
    python = Environment().prepare(DEVELOPMENT)
    if arguments:
        return suite.run_tests(python, suite.seen_from(ROOT, arguments))
    return suite.run_everything(python)


if __name__ == "__main__":
    guarded(main)
