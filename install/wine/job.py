"""
The Windows job: install the project on Windows and run the demo and the tests there, with Wine.

    python -m install.wine.job [pytest arguments]
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from install import report
from install.environment import DEVELOPMENT, RUNTIME
from install.foreground import run_main
from install.progress import CommandFailed, SetupError
from install.win_amd64 import downloads, interpreter, portable, wheels
from install.wine import sources
from install.wine.available import exit_code, reason_to_skip
from install.wine.prefix import Prefix, end_signals
from install.wine.selection import TESTS

# Programs of the static checks, which run on Linux, also for Windows; and browsers.
NOT_NEEDED = ("grimp", "import-linter", "mypy", "playwright", "ruff")

PYTHON = r"C:\Python311\python.exe"
CHECKOUT = r"C:\src\upstash-helper"
TEST_PYTHON = r"C:\TestPython\python.exe"

# A test that hangs must not hold up the whole job: its process is ended, and another one continues.
_HANGS = ("-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true")
IN_PARALLEL = ("-q", "--tb=short", "-n", "2", "--dist", "loadfile", *_HANGS, *TESTS)

_PYTEST_SECONDS = 2400.0

MOST_REPEATED = 10
"""If more tests fail, the reason is not that the machine was busy."""


class Job:
    """One run in a prefix of its own."""

    def __init__(self, prefix: Prefix, cache: Path) -> None:
        self._prefix = prefix
        self._cache = cache
        self._checkout = prefix.drive_c / "src" / "upstash-helper"

    def install_python(self) -> None:
        """
        Install the interpreter, and copy the checkout.

        Raises:
            SetupError: If this fails.
        """
        python = self._prefix.drive_c / "Python311"
        checked = interpreter.unpack(downloads.interpreter(self._cache), python)
        show(f"Python {interpreter.INTERPRETER.python}: SHA-256 as pinned, {checked} signatures are valid")
        sources.copy(self._checkout)

    def install(self) -> None:
        """
        Install the project with ``install/install.py``, as users do.

        Raises:
            SetupError: If this fails.
        """
        folder = downloads.packages(self._cache, RUNTIME)[0].parent
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self._prefix.path(folder)}
        self._prefix.run(
            "install/install.py", [PYTHON, "-P", r"install\install.py", "--no-service"],
            cwd=self._checkout, env=offline, show=show,
        )  # fmt: skip

    def demo(self) -> None:
        """
        Run the installed program.

        Raises:
            SetupError: If it fails.
        """
        program = self._prefix.local_data / "upstash-helper" / "bin" / "upstash-helper.cmd"
        command = ["cmd", "/c", self._prefix.path(program)]
        self._prefix.run("upstash-helper --version", [*command, "--version"], show=show)
        self._prefix.run("upstash-helper demo --once", [*command, "demo", "--once"], seconds=180, show=show)

    def use_portable(self) -> None:
        """
        Build the portable zip file, and run it from a folder with a space and umlauts in its name.

        Raises:
            SetupError: If it fails.
        """
        zip_file = portable.build(self._prefix.folder / "portable.zip", self._cache)
        folder = self._prefix.drive_c / "Grüße mit Leerzeichen"
        with zipfile.ZipFile(zip_file) as archive:
            archive.extractall(folder)
        [program] = folder.glob("*/upstash-helper.cmd")
        command = ["cmd", "/c", self._prefix.path(program)]
        show(f"Portable zip file ({zip_file.stat().st_size / 1e6:.1f} MB): {self._prefix.path(program)}")
        with self._package_of_the_user():
            self._prefix.run("The portable upstash-helper --version", [*command, "--version"], show=show)
            self._prefix.run("The portable demo", [*command, "demo", "--once"], seconds=180, show=show)

    @contextlib.contextmanager
    def _package_of_the_user(self) -> Iterator[None]:
        """Provide a package as ``pip install --user`` does, which ends every program that imports it."""
        from upstash_helper.system import open_files

        roaming = self._prefix.local_data.parent / "Roaming"
        file = roaming / "Python" / "Python311" / "site-packages" / "msgspec.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('A package of the user was imported.')")
        try:
            yield
        finally:
            open_files.remove(file)

    def prepare_tests(self) -> None:
        """
        Create a Python with what the tests need.

        It is not a virtual environment, whose ``python.exe`` starts the real interpreter as another process on Windows:
        tests identify a program by its process, and start thousands of them.

        Raises:
            SetupError: If this fails.
        """
        python = self._prefix.drive_c / "TestPython"
        shutil.copytree(self._prefix.drive_c / "Python311", python)
        packages = python / "Lib" / "site-packages"
        packages.mkdir()
        for wheel in downloads.packages(self._cache, DEVELOPMENT, without=NOT_NEEDED):
            wheels.unpack(wheel, packages)
        (packages / "upstash-helper.pth").write_text(f"{CHECKOUT}\\daemon\n{CHECKOUT}\\tray\n")
        # As when the checkout is installed (install/build_hook.py).
        self._prefix.run("install/manual.py", [TEST_PYTHON, r"install\manual.py"], cwd=self._checkout)

    def test(self, arguments: Sequence[str]) -> None:
        """
        Run tests, and show the result. If a few fail, they are run once more, one at a time.

        Raises:
            SetupError: If a test fails, also the second time, or one is skipped that CI does not allow to be skipped.
        """
        file = self._checkout / "windows.xml"
        try:
            self._pytest(arguments, file)
        except CommandFailed:
            failed = report.read(file).failed if file.exists() else []
            if not 0 < len(failed) <= MOST_REPEATED:
                raise
            # On a busy machine, Wine sometimes fails to start a process, or takes minutes for it.
            show(f"Running failed tests once more ({len(failed)}), one at a time ...")
            self._pytest([*arguments, "-n", "0", "--last-failed", "--last-failed-no-failures", "none"], file)

    def _pytest(self, arguments: Sequence[str], file: Path) -> None:
        options = ["--color=no", f"--junitxml={self._prefix.path(file)}"]
        try:
            self._prefix.run(
                "pytest", [TEST_PYTHON, "-m", "pytest", *options, *arguments],
                cwd=self._checkout, seconds=_PYTEST_SECONDS, show=show,
            )  # fmt: skip
        finally:
            if file.exists():
                for line in report.read(file).lines():
                    show(line)


def show(line: str) -> None:
    """Print a line so that it is not mistaken for a result of the tests on this system."""
    print(f"Windows: {line}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the job, or only the given tests. A failed step does not stop the next one."""
    for number in end_signals():
        if signal.getsignal(number) is not signal.SIG_IGN:  # as with nohup
            # An exception, so that the block below ends the Windows programs.
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    started = time.monotonic()
    reason = reason_to_skip()
    if reason is not None:
        show(f"skipped: {reason}")
        return exit_code(reason)
    cache = downloads.cache_folder()
    failed = 0
    with Prefix() as prefix:
        job = Job(prefix, cache)
        job.install_python()
        steps: list[Callable[[], object]] = [job.prepare_tests, functools.partial(job.test, arguments or IN_PARALLEL)]
        if not arguments:
            steps = [job.install, job.demo, job.use_portable, *steps]
        for step in steps:
            try:
                step()
            except SetupError as error:
                for line in (*getattr(error, "output", "").splitlines(), str(error)):
                    show(line)
                failed += 1
    show(f"{'failed' if failed else 'ok'}, {time.monotonic() - started:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    run_main(main)
