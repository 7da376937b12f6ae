"""A Wine prefix: the drives, registry, and processes of a Windows system, in a folder that is deleted afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, cast

from install.progress import CommandFailed, run_quietly, tail_of
from install.wine.forwarder import library

# A prefix begins as Windows 7. This is Windows 10, version 1607, because Python uses socket options of later versions
# that Wine 8 does not have.
_VERSION = r"""Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion]
"ProductName"="Windows 10"
"CSDVersion"=""
"CurrentVersion"="10.0"
"CurrentMajorVersionNumber"=dword:0000000a
"CurrentMinorVersionNumber"=dword:00000000
"CurrentBuild"="14393"
"CurrentBuildNumber"="14393"
"""

# Rust's standard library takes its random numbers from here. Wine has it since version 9.
_RANDOM = "bcryptprimitives.dll"
_RANDOM_FUNCTIONS = {"ProcessPrng": "advapi32.SystemFunction036"}

# Variables of the display and session in which the tests are started, and settings for Linux tools. Python may write
# compiled files: the tests start thousands of processes, each of which would compile everything again.
_NOT_INHERITED = (
    "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV",
    "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR",
)  # fmt: skip
_NOT_INHERITED_PREFIXES = ("PIP_", "UPSTASH_HELPER_", "UV_", "WINE")

# Without this, Wine offers to install .NET and a browser engine.
_OVERRIDES = "mscoree,mshtml="


def environment(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of the programs in a prefix."""
    inherited = {
        name: value
        for name, value in environ.items()
        if name not in _NOT_INHERITED and not name.startswith(_NOT_INHERITED_PREFIXES)
    }
    own = {"WINEPREFIX": str(folder), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": _OVERRIDES}
    # Wine converts file names and arguments between UTF-16 and the encoding of the locale.
    return inherited | own | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


class Prefix:
    """A prefix that exists for the duration of a ``with`` block. All its programs end with the block."""

    def __init__(self) -> None:
        self.folder = Path()
        self.environment: dict[str, str] = {}

    @property
    def drive_c(self) -> Path:
        """The folder of ``C:``."""
        return self.folder / "drive_c"

    @property
    def local_data(self) -> Path:
        """The folder ``%LOCALAPPDATA%`` of the only user."""
        [user] = (path for path in (self.drive_c / "users").iterdir() if path.name != "Public")
        return user / "AppData" / "Local"

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="upstash-helper-windows-")).resolve()
        self.environment = environment(self.folder)
        try:
            self._create()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        """End all programs in the prefix, and delete its folder."""
        with _signals_ignored(), contextlib.ExitStack() as stack:
            # Errors do not matter: a program that is just ending may still write.
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._end()

    def _create(self) -> None:
        self._run_wine("Creating a Windows folder with Wine", "wineboot", "--init")
        file = self.folder / "version.reg"
        file.write_text(_VERSION, encoding="utf-8")
        self._run_wine("Setting the version of Windows", "wine", "regedit", "/S", self.path(file))
        system = self.drive_c / "windows" / "system32"
        if not (system / _RANDOM).exists():
            (system / _RANDOM).write_bytes(library(_RANDOM, _RANDOM_FUNCTIONS))

    def _run_wine(self, label: str, *command: str) -> None:
        run_quietly(label, command, cwd=self.folder, base=self.environment)

    def _end(self) -> None:
        """End all programs in the prefix."""
        for option in ("-k", "-w"):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                command = [_program("wineserver"), option]
                subprocess.run(command, env=self.environment, capture_output=True, timeout=30, check=False)

    def path(self, path: Path) -> str:
        """Return the Windows path of a file: below ``C:``, or else below ``Z:``, which is the root folder here."""
        if path.is_relative_to(self.drive_c):
            return "C:\\" + str(path.relative_to(self.drive_c)).replace("/", "\\")
        return "Z:" + str(path).replace("/", "\\")

    def start(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program with a pipe as its output: with a file, Python does not start under Wine 8."""
        return subprocess.Popen(
            [_program("wine"), *command], cwd=cwd or self.drive_c, env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(
        self,
        label: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 600,
        show: Callable[[str], None] | None = None,
    ) -> str:
        """
        Run a program, and return what it prints. This does not wait for a program that it has started and that keeps
        its output open.

        Args:
            label: A description, for messages.
            command: The program and its arguments.
            cwd: The working directory.
            env: Variables to add to the prefix's environment.
            seconds: How long it may take.
            show: Receives each line as soon as it is printed.

        Raises:
            CommandFailed: If it fails or takes too long.
        """
        process = self.start(command, cwd=cwd, env=env)
        output = _Output(process, show)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            shown = "" if show else tail_of(output.text())
            raise CommandFailed(f"{label} did not finish within {seconds:.0f} s.", shown) from None
        text = output.text()
        if code:
            raise CommandFailed(f"{label} failed with exit code {code}.", "" if show else tail_of(text))
        return text


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """
    Ignore the signals that ask this process to end.

    After Ctrl-C, a second one arrives at once: from the program that runs several checks (``install.parallel``), which
    terminates them all. It would interrupt the cleanup, and leave Wine's processes running.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *end_signals())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that ask a program to end, apart from SIGINT."""
    return tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def _program(name: str) -> str:
    """Return the path of one of Wine's programs."""
    return shutil.which(name) or name


class _Output:
    """Reads a program's output in a thread."""

    _LAST_SECONDS = 1.0
    """How long output is awaited after the program has ended."""

    def __init__(self, process: subprocess.Popen[bytes], show: Callable[[str], None] | None) -> None:
        self._stream = cast("IO[bytes]", process.stdout)
        self._show = show
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self._lines.append(text)
            if self._show is not None:
                self._show(text)

    def text(self) -> str:
        """Return what was read. Call it after the program has ended."""
        self._thread.join(self._LAST_SECONDS)
        return "".join(f"{line}\n" for line in self._lines)
