#!/usr/bin/env python3
"""
Set up the development environment and run the tests.

  python3 install/test.py                   everything: ruff, mypy, import-linter, the JavaScript checks, then pytest
  python3 install/test.py --coverage        the same, and measure branch coverage, which takes some minutes longer
  python3 install/test.py tests/api -q      only pytest, with these arguments
  python3 install/test.py --no-system ...   do not install system packages

The first run creates a virtual environment in .venv, with uv if it is installed, otherwise with pip, and downloads the
packages in requirements-dev.txt. On Debian and Ubuntu, as root or with passwordless sudo, it also installs the system
packages that tests need. If one is missing, the tests that need it are skipped with the reason.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from install import suite, system_packages
from install.environment import DEVELOPMENT, ROOT, Environment
from install.foreground import run_main


def main(arguments: list[str]) -> int:
    """Set up the environment, then run the tests."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    if "--no-system" in arguments:
        arguments = [argument for argument in arguments if argument != "--no-system"]
    else:
        system_packages.install_missing()
    python = Environment().prepare(DEVELOPMENT)
    if arguments == ["--coverage"]:
        return suite.run_everything(python, tests=(*suite.ALL_TESTS, *suite.COVERAGE))
    if arguments:
        return suite.run_tests(python, suite.relative_to(ROOT, arguments))
    return suite.run_everything(python)


if __name__ == "__main__":
    run_main(main)
