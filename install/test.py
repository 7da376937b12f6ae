#!/usr/bin/env python3
"""
Set up the development environment and run the tests.

  python3 install/test.py                   everything: the Windows job, tests in other Python versions, the static
                                            checks, then pytest
  python3 install/test.py --quick           without the Windows job and the other Python versions
  python3 install/test.py --coverage        also measure branch coverage, which takes some minutes longer
  python3 install/test.py tests/api -q      only pytest, with these arguments
  python3 install/test.py --python 3.13     only the tests that depend on the interpreter, in another Python version
  python3 install/test.py --newest          the same, with the newest versions of all packages
  python3 install/test.py --windows         only the Windows job: install the project under Wine, and run the demo and
                                            the tests of code that differs on Windows
  python3 install/test.py --no-system ...   do not install system packages

--python, --newest, and --windows also take pytest arguments, and then run only pytest with these.

The first run creates a virtual environment in .venv, with uv if it is installed, otherwise with pip, and downloads the
packages in requirements-dev.txt. On Debian and Ubuntu, as root or with passwordless sudo, it also installs the system
packages that tests need. If one is missing, the tests that need it are skipped with the reason. The Windows job needs
Wine and an x86-64 processor, and is skipped otherwise.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

from install import pythons, suite, system_packages
from install.environment import DEVELOPMENT, ROOT, Environment
from install.foreground import run_main
from install.progress import SetupError


def main(arguments: list[str]) -> int:
    """Set up the environment, then run the tests."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    flags = {name for name in ("--no-system", "--quick", "--windows") if name in arguments}
    arguments = [argument for argument in arguments if argument not in flags]
    if "--quick" in flags and ("--windows" in flags or arguments not in ([], ["--coverage"])):
        raise SetupError("--quick can be combined only with --coverage and --no-system.")
    if "--no-system" not in flags:
        system_packages.install_missing()
    if arguments[:1] in (["--python"], ["--newest"]):
        return pythons.run_in_one(arguments)
    python = Environment().prepare(DEVELOPMENT)
    checks = suite.STATIC_CHECKS if "--quick" in flags else suite.ALL_CHECKS
    if "--windows" in flags:
        return suite.run_windows(python, arguments)
    if arguments == ["--coverage"]:
        return suite.run_everything(python, checks=checks, tests=(*suite.ALL_TESTS, *suite.COVERAGE))
    if arguments:
        return suite.run_tests(python, suite.relative_to(ROOT, arguments))
    return suite.run_everything(python, checks=checks)


if __name__ == "__main__":
    run_main(main)
