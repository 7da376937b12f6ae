"""Opening the browser: detached (T77), and without the address in the list of processes (T75)."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.redirect import page_file, target_of
from tests.support.until import until
from upstash_helper.system.browser import open_by_launch_services, readable_folder
from upstash_helper.system.network_stack import has_wsl_kernel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")

# The tests may run several times at once on this machine.
STATE = f"a%2Bb{secrets.token_hex(8)}"
URL = f"https://auth.example/authorize?state={STATE}&scope=openid%20email&quote=\"'"
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
    assert 1 == Path(f"{seen}.all").read_bytes().count(STATE.encode())


def test_t75_file_is_removed(tmp_path: Path) -> None:
    """The file is removed after a while, or at once if the browser fails. Without a browser, none is written."""
    folder, failed, absent = tmp_path / "run", tmp_path / "failed", tmp_path / "absent"

    opened, _, _ = opening(tmp_path / "browser", "exit 0", folder=folder, keep=0.2)
    failing, _, _ = opening(tmp_path / "browser", "exit 3", folder=failed)
    without, _, _ = opening(tmp_path / "none", None, folder=absent)

    assert (True, False, False) == (opened, failing, without)
    until(lambda: not list(folder.iterdir()))
    until(lambda: not list(failed.iterdir()))
    assert not absent.exists()


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
    monkeypatch.setenv("HOME", str(tmp_path))
    (entries / "firefox_firefox.desktop").touch()
    for name, answer in (("xdg-settings", default), ("xdg-user-dir", str(tmp_path / "Downloads"))):
        (commands / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (commands / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.delenv("BROWSER", raising=False)

    assert tmp_path / chosen == readable_folder(tmp_path / "run", snaps=(entries, tmp_path / "snap"))


@linux
@pytest.mark.parametrize(
    ("downloads", "chosen"),
    [("home/Desktop", "home/Desktop"), ("home/.hidden/x", "home/Downloads"), ("elsewhere", "home/Downloads"),
     ("home", "home/Downloads"), ("home/missing", "home/Downloads")],
)  # fmt: skip
def test_t75_snap_gets_a_file_in_a_visible_folder_of_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: str, chosen: str
) -> None:
    """A Snap sees no other folders, wherever the user keeps downloads. Without such a folder, it is the home folder."""
    machine = Machine(tmp_path, monkeypatch, downloads=tmp_path / downloads)
    for folder in ("home/Desktop", "home/.hidden/x", "elsewhere", "home/Downloads"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("BROWSER", str(machine.command("snap/bin/firefox", "exit")))

    first = machine.readable_folder()
    for folder in ("home/Desktop", "home/Downloads"):
        (tmp_path / folder).rmdir()

    assert tmp_path / chosen == first
    assert tmp_path / "home" == machine.readable_folder()


@linux
@pytest.mark.parametrize("by", ["BROWSER", "x-www-browser"])
@pytest.mark.parametrize(
    ("script", "chosen"),
    [('exec {snaps}/firefox "$@"', "home/Downloads"), ('exec flatpak run org.mozilla.firefox "$@"', "home/Downloads"),
     ('exec /opt/firefox "$@"', "run")],
)  # fmt: skip
def test_t75_script_that_starts_a_snap_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, script: str, chosen: str
) -> None:
    """Ubuntu's /usr/bin/firefox is one, and x-www-browser a link to it, which is used if the desktop names none."""
    machine = Machine(tmp_path, monkeypatch, downloads=tmp_path / "home/Downloads")
    (tmp_path / "home/Downloads").mkdir()
    firefox = machine.command("bin/firefox", script.format(snaps=tmp_path / "snap/bin"))
    (tmp_path / "bin/x-www-browser").symlink_to("firefox")
    if by == "BROWSER":
        monkeypatch.setenv("BROWSER", f"{firefox} %s")

    assert tmp_path / chosen == machine.readable_folder()


class Machine:
    """A machine with a home folder and commands of its own, whose desktop names no browser."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, downloads: Path) -> None:
        self._root = root
        (root / "home").mkdir()
        self.command("bin/xdg-user-dir", f"echo '{downloads}'")
        self.command("bin/xdg-settings", "exit 1")
        monkeypatch.setenv("HOME", str(root / "home"))
        monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        monkeypatch.delenv("BROWSER", raising=False)

    def command(self, name: str, line: str) -> Path:
        """Create a command."""
        file = self._root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o700)
        return file

    def readable_folder(self) -> Path:
        """Return the folder for the user's browser."""
        return readable_folder(self._root / "run", snaps=(self._root / "entries", self._root / "snap/bin"))


# --- which browser ----------------------------------------------------------------------------------------------------


def _executable(path: Path, code: str) -> Path:
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o700)
    return path


def _opened_with(tmp_path: Path, browser: str, **environment: str) -> bool:
    removed = ("DISPLAY", "WAYLAND_DISPLAY")
    inherited = {name: text for name, text in os.environ.items() if name not in removed}
    command = (sys.executable, "-c", _CALL, URL, str(tmp_path / "run"), "60", "20")
    done = subprocess.run(
        command, env=inherited | {"BROWSER": browser} | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.startswith("True")


def test_t77_next_browser_of_the_list_is_tried(tmp_path: Path) -> None:
    """BROWSER is a list: an entry that is not installed, cannot be read, or fails is skipped."""
    seen = tmp_path / "seen"
    fails = _executable(tmp_path / "fails", "exit 1")
    works = _executable(tmp_path / "works", f'printf "%s|" "$@" > {seen}.new; mv {seen}.new {seen}')

    opened = _opened_with(tmp_path, f"/nonexistent/browser:'unbalanced:{fails}:{works} --new-window %s &")

    first, address, end = until(lambda: seen.read_text() if seen.exists() else "").split("|")
    assert opened
    assert ("--new-window", "") == (first, end)
    assert URL == target_of(address)


@pytest.mark.parametrize("how", ["second", "link", "env"])
def test_t77_text_browser_is_never_started(tmp_path: Path, how: str) -> None:
    """Not even after another browser has failed, under another name, or through a program that starts it."""
    seen = tmp_path / "seen"
    text = _executable(tmp_path / "w3m", f"touch {seen}")
    fails = _executable(tmp_path / "fails", "exit 1")
    (tmp_path / "my-browser").symlink_to(text)
    browser = {
        "second": f"{fails}:{text}",
        "link": str(tmp_path / "my-browser"),
        "env": f"env TERM=xterm {text} %s",
    }[how]

    opened = _opened_with(tmp_path, browser)

    assert (False, False) == (opened, seen.exists())


@linux
def test_t77_text_browser_is_not_started_by_xdg_open(tmp_path: Path) -> None:
    """With a screen and no graphical browser, xdg-open would start one that needs a terminal."""
    if shutil.which("xdg-open") is None:
        pytest.skip("xdg-open is missing")
    seen, programs = tmp_path / "seen", tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "sed", "grep", "which", "xdg-open", "uname", "cat", "cut", "head", "tr", "awk", "basename"):
        (programs / name).symlink_to(str(shutil.which(name)))
    _executable(programs / "lynx", f"/usr/bin/touch {seen}")

    opened = _opened_with(tmp_path, "", PATH=str(programs), DISPLAY=":4242", HOME=str(tmp_path))

    assert (False, False) == (opened, seen.exists())


def test_macos_gets_an_address_without_an_argument(tmp_path: Path) -> None:
    """``osascript`` reads it from standard input. Quotes in it do not end the string."""
    seen, program = tmp_path / "seen", tmp_path / "osascript"
    program.write_text(f'#!/bin/sh\ncat > {seen}; printf "%s" "$#" >> {seen}\n')
    program.chmod(0o700)

    opened = open_by_launch_services('http://127.0.0.1:1/links/x"y', str(program))

    assert opened
    assert r'open location "http://127.0.0.1:1/links/x\"y"0' == seen.read_text()
    assert not open_by_launch_services("http://127.0.0.1:1/", str(tmp_path / "absent"))


_SLOW = """
import sys, time, webbrowser
from pathlib import Path
from upstash_helper.system.browser import open_by_default

class Slow(webbrowser.BaseBrowser):
    def open(self, url, new=0, autoraise=True):
        time.sleep(1)
        Path(sys.argv[1]).write_text(url)
        return True

webbrowser.register("slow", None, Slow("slow"), preferred=True)
print(open_by_default("http://127.0.0.1:1/", time.monotonic() + 0.1))
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="platform: macOS starts it with osascript")
def test_browser_that_starts_slowly_is_not_given_up(tmp_path: Path) -> None:
    """The process that starts it has reported success, and stays until it is true."""
    seen = tmp_path / "seen"
    environ = {name: text for name, text in os.environ.items() if name != "BROWSER"}

    done = subprocess.run([sys.executable, "-c", _SLOW, str(seen)], env=environ, capture_output=True, check=True)

    assert b"True" == done.stdout.strip()
    assert "http://127.0.0.1:1/" == seen.read_text()


def test_wsl_is_recognized_by_its_kernel(tmp_path: Path) -> None:
    """A browser of Windows does not reach all loopback addresses of Linux."""
    kernels = {"5.15.153.1-microsoft-standard-WSL2\n": True, "6.1.0-18-amd64\n": False}
    for number, release in enumerate(kernels):
        (tmp_path / str(number)).write_text(release)

    assert [*kernels.values(), False] == [has_wsl_kernel(tmp_path / name) for name in ("0", "1", "absent")]
