"""A virtual X display for a test (Xvfb), and a clipboard on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SECONDS = 10.0


@contextmanager
def x_display(*, width: int = 800, height: int = 600) -> Iterator[str]:
    """Run an X server on a free display number, and yield its name, as in ``DISPLAY``."""
    program = required_program("Xvfb", package="xvfb")
    reading, writing = os.pipe()
    # With -displayfd the server chooses a free number and reports it, so that no two tests use the same.
    command = [
        program,
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{width}x{height}x24",
        "-nolisten",
        "tcp",
        "-noreset",
    ]
    try:
        server = subprocess.Popen(
            command, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    finally:
        os.close(writing)
    with os.fdopen(reading, encoding="ascii") as reported, server:
        try:
            number = reported.readline().strip()
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
    """Run a display with a clipboard."""
    required_program("xclip", package="xclip")
    with x_display() as display:
        found = Desk(display)
        try:
            yield found
        finally:
            # An owner that a test has suspended does not notice that its display is gone, whose name may be reused.
            for owner in found.owners():
                with suppress(psutil.NoSuchProcess):
                    owner.kill()


class Desk:
    """The clipboard of an X display, and its user."""

    def __init__(self, display: str) -> None:
        gone = {"WAYLAND_DISPLAY"}
        self.environ = {name: value for name, value in os.environ.items() if name not in gone} | {"DISPLAY": display}

    def paste(self) -> str:
        """Return the text on the clipboard."""
        command = ["xclip", "-selection", "clipboard", "-o"]
        return subprocess.run(command, env=self.environ, capture_output=True, check=False, timeout=20).stdout.decode()

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard. Returns once it can be pasted: xclip exits before the X server knows it."""
        command = ["xclip", "-selection", "clipboard"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, env=self.environ, input=text.encode(), check=True, timeout=20, **silent)  # type: ignore[call-overload]
        until(lambda: self.paste() == text)

    def owners(self) -> list[psutil.Process]:
        """Return the processes that own the clipboard."""
        return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "xclip" and self._is_mine(one)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("DISPLAY") == self.environ["DISPLAY"]
        except psutil.Error:
            return False


def required_program(name: str, *, package: str) -> str:
    """Return the path of a program. Without it, the test is skipped."""
    if sys.platform != "linux":
        pytest.skip("platform: elsewhere this needs a desktop")
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: apt-get install {package}")
    return found
