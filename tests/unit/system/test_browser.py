"""Opening the browser: detached (T77), and without the address in the list of processes (T75)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.redirect import page_file, target_of
from tests.support.until import until
from upstash_helper.system.browser import readable_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")

URL = "https://auth.example/authorize?state=a%2Bb&scope=openid%20email&quote=\"'"
linux = pytest.mark.skipif(sys.platform != "linux", reason="platform: /proc and Snap are Linux's")
_CALL = """
import sys, time
from pathlib import Path
from upstash_helper.system.browser import browse, browse_privately
began = time.monotonic()
folder, keep, watch = sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
if folder:
    opened = browse_privately(sys.argv[1], folder=Path(folder), name="sign-in", keep=keep, watch=watch)
else:
    opened = browse(sys.argv[1], watch=watch)
print(opened, time.monotonic() - began, flush=True)
"""


def opening(
    script: Path,
    code: str | None,
    *,
    folder: Path | None = None,
    keep: float = 60.0,
    watch: float = 20.0,
) -> tuple[bool, float, str]:
    """
    Open ``URL`` with a shell script as the browser, or none; return whether it was opened, the seconds that took, and
    what else was printed.
    """
    removed = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    environment = {name: text for name, text in os.environ.items() if name not in removed}
    if code is None:
        environment |= {"PATH": "/nonexistent"}
    else:
        script.write_text(f"#!/bin/sh\n{code}\n")
        script.chmod(0o700)
        environment |= {"BROWSER": f"{script} %s"}
    # In a process of its own, because `webbrowser` reads the environment only once.
    command = (sys.executable, "-c", _CALL, URL, str(folder or ""), str(keep), str(watch))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    opened, took, *rest = done.stdout.split()
    return opened == "True", float(took), " ".join(rest) + done.stderr


def test_address_is_passed_unchanged(tmp_path: Path) -> None:
    """BROWSER is respected, and an address without secrets is passed as it is."""
    seen = tmp_path / "seen"

    opened, _, _ = opening(tmp_path / "browser", f'printf %s "$1" > {seen}')

    assert opened
    assert URL == until(lambda: seen.read_text() if seen.exists() else "")


@linux
def test_t75_secret_is_in_no_list_of_processes(tmp_path: Path) -> None:
    """
    While the browser starts, no process but the caller of this test has the address in its arguments. The browser gets
    a file that only the user can read and that redirects to exactly the address.
    """
    seen, folder = tmp_path / "seen", tmp_path / "run"
    code = f'cat /proc/[0-9]*/cmdline > {seen}.all; printf %s "$1" > {seen}.new; mv {seen}.new {seen}'

    opened, _, _ = opening(tmp_path / "browser", code, folder=folder)
    address = seen.read_text()

    assert opened
    assert URL == target_of(address)
    assert folder == page_file(address).parent
    assert 0o600 == stat.S_IMODE(page_file(address).stat().st_mode)
    assert 'name="referrer" content="no-referrer"' in page_file(address).read_text()
    # Once: the process that this test has started to call the function.
    assert 1 == Path(f"{seen}.all").read_bytes().count(b"state=a%2Bb")


def test_t75_file_is_removed(tmp_path: Path) -> None:
    """The file is removed after a while, or at once if there is no browser."""
    folder, absent = tmp_path / "run", tmp_path / "absent"

    opened, _, _ = opening(tmp_path / "browser", "exit 0", folder=folder, keep=0.2)
    without, _, _ = opening(tmp_path / "none", None, folder=absent)

    assert (True, False) == (opened, without)
    until(lambda: not list(folder.iterdir()))
    until(lambda: not list(absent.iterdir()))


@linux
def test_t77_browser_that_never_ends_is_detached(tmp_path: Path) -> None:
    """
    A browser that runs until the user closes it has a session of its own, no terminal, and no output, and nobody waits
    for it.
    """
    seen = tmp_path / "seen"
    code = (
        f"echo noise; echo noise >&2; (ps -o sid= -p $$; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)"
        f" > {seen}.new;"
        f"echo $$ >> {seen}.new; mv {seen}.new {seen}; exec sleep 60"
    )

    began = time.monotonic()
    opened, took, printed = opening(tmp_path / "browser", code, watch=0.3)
    ended = time.monotonic()
    session, *streams, pid = until(lambda: seen.read_text().split() if seen.exists() else [])
    os.kill(int(pid), 9)

    assert opened
    assert "" == printed
    assert 0.3 <= took < ended - began < 20
    assert ["/dev/null"] * 3 == streams
    assert int(session) != os.getsid(0)


@pytest.mark.parametrize("code", [None, "exit 3"], ids=["missing", "fails"])
def test_t77_missing_or_failing_browser(tmp_path: Path, code: str | None) -> None:
    """The caller learns that there is no browser, and can show the address."""
    opened, _, printed = opening(tmp_path / "browser", code)

    assert (False, "") == (opened, printed)


def test_t77_text_browser_is_none(tmp_path: Path) -> None:
    """A browser that needs a terminal cannot run without one."""
    opened, _, _ = opening(tmp_path / "w3m", "exit 0")

    assert not opened


@linux
@pytest.mark.parametrize(
    ("default", "chosen"), [("firefox_firefox.desktop", "Downloads"), ("firefox.desktop", "run"), ("", "run")]
)
def test_t75_snap_gets_a_file_that_it_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: str, chosen: str
) -> None:
    """If the default browser is a Snap, the file is in the folder for downloads, and otherwise in the private one."""
    entries, commands = tmp_path / "applications", tmp_path / "bin"
    for folder in (entries, commands, tmp_path / "Downloads"):
        folder.mkdir()
    (entries / "firefox_firefox.desktop").touch()
    for name, answer in (("xdg-settings", default), ("xdg-user-dir", str(tmp_path / "Downloads"))):
        (commands / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (commands / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.delenv("BROWSER", raising=False)

    assert tmp_path / chosen == readable_folder(tmp_path / "run", snaps=(entries, tmp_path / "snap"))
