"""An X display of a test's own, by Xvfb, which is seen by nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SECONDS = 10.0


@contextmanager
def x_display() -> Iterator[str]:
    """Start a server that takes a number that is free, and return its name, as in ``DISPLAY``."""
    program = _program("Xvfb", package="xvfb")
    reading, writing = os.pipe()
    # With -displayfd the server finds a free number by itself and says which, so that no two tests take the same.
    command = [program, "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    try:
        server = subprocess.Popen(
            command, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    finally:
        os.close(writing)
    with os.fdopen(reading, encoding="ascii") as said, server:
        try:
            number = said.readline().strip()
            assert number, "Xvfb has ended"
            yield f":{number}"
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def desk() -> Iterator[Desk]:
    """Start a display with a user who copies and pastes."""
    _program("xclip", package="xclip")
    with x_display() as display:
        found = Desk(display)
        try:
            yield found
        finally:
            # One that a test has stopped does not notice that its display is gone, and the next may have its name.
            for owner in found.owners():
                with suppress(psutil.NoSuchProcess):
                    owner.kill()


class Desk:
    """An X display, and a user who copies and pastes there."""

    def __init__(self, display: str) -> None:
        gone = {"WAYLAND_DISPLAY"}
        self.environ = {name: value for name, value in os.environ.items() if name not in gone} | {"DISPLAY": display}

    def paste(self) -> str:
        """Return what is on the clipboard."""
        command = ["xclip", "-selection", "clipboard", "-o"]
        return subprocess.run(command, env=self.environ, capture_output=True, check=False, timeout=20).stdout.decode()

    def copy(self, text: str) -> None:
        """Put something on the clipboard."""
        command = ["xclip", "-selection", "clipboard"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, env=self.environ, input=text.encode(), check=True, timeout=20, **silent)  # type: ignore[call-overload]

    def owners(self) -> list[psutil.Process]:
        """Return the programs that hold what is on the clipboard."""
        return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "xclip" and self._is_mine(one)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("DISPLAY") == self.environ["DISPLAY"]
        except psutil.Error:
            return False


def _program(name: str, *, package: str) -> str:
    if sys.platform != "linux":
        pytest.skip("platform: elsewhere a desktop is needed")
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: apt-get install {package}")
    return found
