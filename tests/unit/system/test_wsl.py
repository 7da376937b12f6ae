"""WSL: how it is recognized, and the browser of Windows. The files and programs of WSL are imitated in a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from upstash_helper.system import browser, wsl

if sys.platform != "linux":
    pytest.skip("platform: WSL is a Linux", allow_module_level=True)

TERMINAL = {"WSL_DISTRO_NAME": "Ubuntu"}


class Machine:
    """The root of a file system with what WSL has there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen = root / "seen"

    def write(self, path: str, text: str, *, mode: int = 0o600) -> Path:
        """Write a file below the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    def kernel(self, release: str) -> None:
        """Set the kernel's release."""
        self.write("proc/sys/kernel/osrelease", f"{release}\n")

    def interoperable(self) -> str:
        """Let it start programs of Windows, and return the path of a PowerShell that notes its arguments."""
        self.write("proc/sys/fs/binfmt_misc/WSLInterop", "enabled\n")
        script = f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.seen}.new && mv {self.seen}.new {self.seen}\n'
        return str(self.write("mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe", script, mode=0o700))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without any of it."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME", "WSL_INTEROP", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("release", "environ", "expected"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", {}, True),
        ("4.4.0-19041-Microsoft", {}, True),
        ("6.1.0-44-amd64", {}, False),
        ("6.1.0-44-amd64", TERMINAL, True),
        (None, {}, False),
    ],
)
def test_wsl_is_recognized(machine: Machine, release: str | None, environ: dict[str, str], expected: bool) -> None:  # noqa: FBT001
    """By the kernel, which a service sees as well, or by the variables of a terminal."""
    if release is not None:
        machine.kernel(release)

    assert expected == wsl.is_wsl(environ, root=machine.root)


def test_container_in_wsl_is_not_wsl(machine: Machine) -> None:
    """It has the same kernel, and cannot start programs of Windows."""
    machine.kernel("5.15.153.1-microsoft-standard-WSL2")
    machine.write(".dockerenv", "")

    assert not wsl.is_wsl({}, root=machine.root)


def test_browser_of_windows_is_used(machine: Machine) -> None:
    """It is on the same computer, so the sign-in can return, although Linux has no screen."""
    powershell = machine.interoperable()

    found = browser.candidates(TERMINAL, root=machine.root)

    assert [(browser.WINDOWS_BROWSER, (powershell,))] == found
    assert browser.remote_session(TERMINAL, root=machine.root) is None


def test_browser_of_windows_is_not_used_without_interop_or_over_ssh(machine: Machine) -> None:
    """Programs of Windows cannot be started then, or their windows are on the screen of another computer."""
    ssh = TERMINAL | {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}
    without = browser.candidates(TERMINAL, root=machine.root)
    machine.interoperable()

    assert ([], []) == (without, browser.candidates(ssh, root=machine.root))
    assert "ssh" == browser.remote_session(ssh, root=machine.root)


def test_missing_browser_of_the_list_is_skipped(machine: Machine) -> None:
    """``BROWSER`` is often copied from another distribution. What it names and is not there is reported."""
    powershell = machine.interoperable()
    there = machine.write("chrome.exe", "#!/bin/sh\n", mode=0o700)
    environ = TERMINAL | {"BROWSER": f"wslview-missing:{there}"}

    found = [each.command[0] for each in browser.candidates(environ, root=machine.root)]

    assert [str(there), powershell] == found
    assert ["wslview-missing"] == browser.missing_browsers(environ, root=machine.root)


def test_program_of_windows_counts_as_missing_without_interop(machine: Machine) -> None:
    """It exists, but cannot be started."""
    there = machine.write("chrome.exe", "#!/bin/sh\n", mode=0o700)
    environ = TERMINAL | {"BROWSER": str(there)}

    assert [] == browser.candidates(environ, root=machine.root)
    assert [str(there)] == browser.missing_browsers(environ, root=machine.root)


def test_path_is_translated_for_windows(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows cannot read file:///home/…; PowerShell takes the address literally, whatever it contains."""
    machine.write("bin/wslpath", "#!/bin/sh\nprintf '\\\\\\\\wsl.localhost\\\\Ubuntu%s' \"$2\"\n", mode=0o700)
    monkeypatch.setenv("PATH", f"{machine.root / 'bin'}{os.pathsep}{os.environ['PATH']}")

    file = wsl.start_command(f"file://{quote('/home/ada/it’s $(id)/page.html')}")
    plain = wsl.start_command("https://auth.example/?a=b&c='$(id)'")

    assert r"Start-Process -FilePath '\\wsl.localhost\Ubuntu/home/ada/it’’s $(id)/page.html'" == (file or [""])[-1]
    assert "Start-Process -FilePath 'https://auth.example/?a=b&c=''$(id)'''" == (plain or [""])[-1]


def test_untranslated_path_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wslpath, the address is printed instead."""
    monkeypatch.setenv("PATH", "/nonexistent")

    assert wsl.start_command("file:///home/ada/page.html") is None


def test_browser_of_linux_is_on_the_same_computer(machine: Machine) -> None:
    """WSLg shows windows of Linux, also if programs of Windows cannot be started."""
    assert browser.remote_session(TERMINAL | {"WAYLAND_DISPLAY": "wayland-0"}, root=machine.root) is None
    assert "no_screen" == browser.remote_session(TERMINAL, root=machine.root)
