"""
Opening an address in the user's browser, detached from this process, without showing the address to other users.

Every user of the machine can read the arguments of a process, and a browser gets its address as an argument. So it gets
a one-time link of the daemon, which is useless to them (see ``broker.apps.one_time_links``). If there is none, it gets
the address of a private file that redirects. That is second best: a file may open in the program that has its
extension, such as an editor, and a confined browser cannot read it.

A separate process, this module, starts the browser, and writes and removes the file: a browser may run in the
foreground until the user closes it, and write to its terminal.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from upstash_helper.system import bounded_run, core_dumps, open_files, private_files, processes, redirect_page, wsl

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_SECONDS: Final = 1.0
"""
How long a caller waits at most to learn whether there is a browser. A command that still runs then has started the
browser in the foreground.
"""
KEEP_SECONDS: Final = 60.0
"""How long the file is kept. A browser that has to be started first takes some seconds to read it."""

TEXT_BROWSERS: Final = frozenset(
    {"www-browser", "browsh", "carbonyl", "chawan", "elinks", "links", "links2", "lynx", "netrik", "retawq", "w3m"}
)
"""Browsers that need a terminal."""

_GRAPHICAL: Final = (
    "x-www-browser", "firefox", "firefox-esr", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "brave-browser", "microsoft-edge", "vivaldi", "opera", "epiphany", "konqueror", "falkon",
)  # fmt: skip
_ADDRESS: Final = "%s"
WINDOWS_BROWSER: Final = "the default browser of Windows"
_WRAPPERS: Final = frozenset({"env", "nice", "nohup", "setsid"})
"""Programs that run the program that one of their arguments names."""

_MODULE: Final = "upstash_helper.system.browser"
SNAPS: Final = (Path("/var/lib/snapd/desktop/applications"), Path("/snap/bin"), Path("/var/lib/snapd/snap/bin"))
"""Where Snap keeps the desktop files and, depending on the distribution, the commands of its programs."""
_WITHOUT_DESKTOP: Final = ("x-www-browser", "firefox", "chromium", "chromium-browser", "google-chrome")
_LINKS: Final = 8
_SCRIPT_BYTES: Final = 4096
_XDG_SECONDS: Final = 2.0


def browse(address: str, *, watch: float = REPORT_SECONDS) -> bool:
    """
    Open an address that is not secret. Return False if there is no browser, or it fails. Never raises.

    Args:
        address: The address.
        watch: How many seconds to wait for a failure. A command that has not failed by then is taken to have succeeded.
    """
    return _start({"address": address, "watch": watch})


def browse_privately(
    address: str,
    *,
    folder: Path,
    name: str,
    link: str | None = None,
    fallback: str | None = None,
    keep: float = KEEP_SECONDS,
    watch: float = REPORT_SECONDS,
) -> bool:
    """
    Open an address that contains a secret, such as a ticket or a ``state``. Otherwise like ``browse``.

    Args:
        address: The address.
        link: A one-time link to it. None: the browser gets a file.
        folder: A private folder for the file. Another one is used for a browser that cannot read it.
        name: The beginning of the file's name.
        fallback: The address for a browser that gets no response from the first one; empty: show an error. None:
            the browser is not asked.
        keep: Seconds after which the file is removed.
        watch: As for ``browse``.
    """
    if link is not None and not _shows_arguments():
        return browse(link, watch=watch)
    file = {"folder": str(folder), "name": name, "fallback": fallback, "keep": keep}
    return _start({"address": address, "watch": watch, **file})


def _shows_arguments() -> bool:
    """
    Return whether other users could read a link and use it first. On Linux, the daemon knows the user of a connection;
    on Windows, the arguments of a process are visible to its user and to administrators. On macOS they are visible to
    all, so a browser gets its address through LaunchServices, unless the user has configured a command.
    """
    return sys.platform == "darwin" and any(candidate.command for candidate in candidates())


def is_available() -> bool:
    """Return whether there is a browser to start: it was configured, or there is a screen to show it on."""
    return bool(candidates())


class Candidate(NamedTuple):
    """A way to open an address in a browser."""

    name: str
    command: tuple[str, ...] = ()
    """Its command, with ``%s`` for the address. Empty: Python's ``webbrowser`` knows how (macOS and Windows)."""


def candidates(environ: Mapping[str, str] | None = None, *, root: Path = Path("/")) -> list[Candidate]:
    """
    Return the browsers to try, the best first. Browsers that need a terminal are not among them.

    ``BROWSER`` comes first: a list of commands, separated like ``PATH``, each with ``%s`` in place of the address or
    without any. Then, in WSL, the default browser of Windows, which is what the user sees; and on Linux, what is
    installed, if there is a screen.

    Args:
        environ: The environment. Default: that of this process.
        root: The root of the file system.
    """
    environ = os.environ if environ is None else environ
    found = [each for each in map(_configured, _entries(environ)) if each is not None and not _needs_terminal(each)]
    if wsl.is_wsl(environ, root=root):
        if not wsl.runs_windows_programs(root=root):
            found = [each for each in found if not each.command[0].lower().endswith(".exe")]
        # Its window would appear on the screen of that computer, in front of which nobody may be.
        windows = None if _is_ssh(environ) else wsl.powershell(root=root)
        found += [] if windows is None else [Candidate(WINDOWS_BROWSER, (windows,))]
    if sys.platform != "linux":
        # Its window would appear on the screen of that computer, in front of which nobody may be.
        return found if _is_ssh(environ) else [*found, Candidate("the default browser")]
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        installed = (_configured(name) for name in ("xdg-open", *_GRAPHICAL))
        found += (each for each in installed if each is not None and not _needs_terminal(each))
    return found


def missing_browsers(environ: Mapping[str, str] | None = None, *, root: Path = Path("/")) -> list[str]:
    """Return the programs that ``BROWSER`` names and that are not installed, or that cannot be started here."""
    environ = os.environ if environ is None else environ
    usable = wsl.runs_windows_programs(root=root) or not wsl.is_wsl(environ, root=root)
    return [
        entry.split()[0]
        for entry in _entries(environ)
        if (found := _configured(entry)) is None or (found.command[0].lower().endswith(".exe") and not usable)
    ]


def default_browser() -> str | None:
    """Return the browser that ``xdg-open`` starts, as far as that is known; None if there seems to be none."""
    entry = _output("xdg-settings", "get", "default-web-browser")
    return entry or next((name for name in _GRAPHICAL if shutil.which(name)), None)


def remote_session(
    environ: Mapping[str, str] | None = None, *, root: Path = Path("/")
) -> Literal["ssh", "container", "no_screen"] | None:
    """
    Return why the user's browser is probably not on this machine, or cannot reach its loopback addresses; None if it
    probably can.
    """
    environ = os.environ if environ is None else environ
    if _is_ssh(environ):
        return "ssh"
    screen = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    if wsl.is_wsl(environ, root=root):
        # WSL forwards the ports of loopback to Windows, whose browser is on the same computer.
        return None if screen or wsl.powershell(root=root) else "no_screen"
    marks = (root / ".dockerenv", root / "run" / ".containerenv")
    if not screen and (environ.get("container") or any(mark.exists() for mark in marks)):
        return "container"
    return "no_screen" if sys.platform == "linux" and not screen else None


def _is_ssh(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"))


def text_browser() -> str | None:
    """Return the name of a browser that needs a terminal, if it is configured or installed; for a diagnosis."""
    configured = [each for each in map(_configured, _entries(os.environ)) if each is not None]
    installed = [each for each in map(_configured, sorted(TEXT_BROWSERS)) if each is not None]
    return next((each.name for each in configured + installed if _needs_terminal(each)), None)


def _entries(environ: Mapping[str, str]) -> list[str]:
    return [entry.strip() for entry in environ.get("BROWSER", "").split(os.pathsep) if entry.strip()]


def _configured(entry: str) -> Candidate | None:
    """Return the browser with this command, if it is installed."""
    try:
        words = shlex.split(entry, posix=sys.platform != "win32")
    except ValueError:
        return None
    if words and words[-1] == "&":
        words.pop()
    program = shutil.which(words[0]) if words else None
    if program is None:
        return None
    arguments = words[1:] if any(_ADDRESS in word for word in words[1:]) else [*words[1:], _ADDRESS]
    return Candidate(Path(words[0]).name, (program, *arguments))


def _needs_terminal(candidate: Candidate) -> bool:
    program, *arguments = candidate.command
    names = {Path(program).name, Path(program).resolve().name}  # `www-browser` can be a link to any of them
    if not names & _WRAPPERS:
        return bool(names & TEXT_BROWSERS)
    return any(Path(argument).name in TEXT_BROWSERS for argument in arguments)


def _start(job: dict[str, str | float | None]) -> bool:
    if not is_available():
        return False
    try:
        process = subprocess.Popen(
            processes.command_line(module=_MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            **processes.DETACHED,
        )
    except OSError:
        return False
    reports: list[bytes] = []

    def talk() -> None:
        # In a thread, which also waits for the end of the process, so that it does not remain as a zombie.
        with process:
            if process.stdin is not None and process.stdout is not None:
                try:
                    process.stdin.write(json.dumps(job).encode())
                    process.stdin.close()
                    reports.append(process.stdout.read(1))
                except OSError:
                    reports.append(b"")
            reported.set()

    reported = threading.Event()
    threading.Thread(target=talk, name="browser", daemon=True).start()
    watch = job["watch"]
    assert isinstance(watch, float)  # noqa: S101 - for the type checker: `browse` and `browse_privately` set it
    return not reported.wait(watch) or reports == [b"1"]


def main() -> None:
    """Do the job on standard input; write ``1`` to standard output if the browser was started, and ``0`` if not."""
    core_dumps.disable()
    job = json.loads(sys.stdin.buffer.read())
    # The browser inherits standard output. Writing to a closed pipe would end it.
    report = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    file: Path | None = None
    timer: threading.Timer | None = None
    try:
        address = job["address"]
        if "folder" in job:
            folder = readable_folder(Path(job["folder"]))
            file = write_page(folder, f"{job['name']}-{os.urandom(4).hex()}.html", address, job["fallback"])
            address = file.resolve().as_uri()
            timer = threading.Timer(job["keep"], open_files.remove, args=(file,))
            timer.start()
        opened = _is_opened(address, job["watch"])
    except OSError:
        opened = False
    with contextlib.suppress(OSError):  # the caller has not waited
        os.write(report, b"1" if opened else b"0")
    os.close(report)
    if timer is not None and file is not None and not opened:
        timer.cancel()
        open_files.remove(file)


def _is_opened(address: str, watch: float) -> bool:
    deadline = time.monotonic() + watch
    os.environ.pop("TERM", None)  # nothing that is started here has a terminal
    return any(_opens(candidate, address, deadline) for candidate in candidates())


def _opens(candidate: Candidate, address: str, deadline: float) -> bool:
    """Return whether a browser has been started. One whose command still runs at the deadline has."""
    if not candidate.command:
        return open_by_default(address, deadline)
    program, *arguments = candidate.command
    words: list[str] | None = [argument.replace(_ADDRESS, address) for argument in arguments]
    if candidate.name == WINDOWS_BROWSER:
        words = wsl.start_command(address)
    if words is None:
        return False
    try:
        process = subprocess.Popen(
            [program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(candidate),
            **processes.DETACHED,
        )
        return process.wait(max(0.0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False


def _environment(candidate: Candidate) -> dict[str, str]:
    if candidate.name != "xdg-open":
        return dict(os.environ)
    # Without BROWSER, its own list ends with the browsers that need a terminal.
    graphical = [name for name in _GRAPHICAL if shutil.which(name)]
    return {**os.environ, "BROWSER": ":".join(graphical) or "false"}


def open_by_default(address: str, deadline: float) -> bool:
    """
    Open an address as ``webbrowser`` or LaunchServices does. Return False if that has failed by ``deadline``.

    Args:
        address: The address.
        deadline: A time of ``time.monotonic``. Afterwards it continues, and this process does not exit before it ends:
            a browser that has to be started first takes longer, and would be given up with the process.
    """
    results: list[bool] = []

    def run() -> None:
        results.append(open_by_launch_services(address) if sys.platform == "darwin" else _open_by_webbrowser(address))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    return results[0] if results else True


def _open_by_webbrowser(address: str) -> bool:
    import webbrowser

    os.environ.pop("BROWSER", None)  # those have been tried
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


def open_by_launch_services(address: str, program: str = "/usr/bin/osascript") -> bool:
    """
    Open an address on macOS without an argument that other users can read: ``osascript`` reads its script from standard
    input, and the browser gets the address as an Apple event. Python 3.15's ``webbrowser`` passes it to ``open``.
    """
    script = f"open location {json.dumps(address)}"  # AppleScript's strings have the same escapes
    try:
        return bounded_run.run((program,), seconds=KEEP_SECONDS, stdin=script.encode(), captures=False).code == 0
    except OSError:
        return False


def write_page(folder: Path, name: str, address: str, fallback: str | None = None) -> Path:
    """
    Write a private page that continues to ``address`` (see ``redirect_page``), and return its path.

    Raises:
        OSError: If it cannot be written.
    """
    private_files.make_folder(folder)
    file = folder / name
    private_files.write(file, redirect_page.render(address, fallback).encode())
    return file


def readable_folder(private: Path, *, snaps: tuple[Path, ...] = SNAPS) -> Path:
    """
    Return a folder from which the user's browser can read a file of the user.

    Args:
        private: Returned unless the browser is confined. A Snap sees neither the runtime folder nor hidden folders, and
            of the others only those in the home folder. A Flatpak that the desktop starts gets access to the file that
            it is started with; one that BROWSER names usually sees only the folder for downloads.
        snaps: Where Snap keeps the desktop files, and the commands, of its programs.
    """
    if sys.platform != "linux" or not _is_confined(*snaps):
        return private
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home folder, as in some containers
        return private
    downloads = _output("xdg-user-dir", "DOWNLOAD")
    for folder in (Path(downloads) if downloads else home, home / "Downloads"):
        if folder != home and folder.is_dir() and _is_visible(folder, home):
            return folder
    return home


def _is_visible(folder: Path, home: Path) -> bool:
    """Return whether a folder is in the home folder, and neither it nor a folder in between is hidden."""
    return folder.is_relative_to(home) and not any(part.startswith(".") for part in folder.relative_to(home).parts)


def _is_confined(desktop_files: Path, *commands: Path) -> bool:
    first_choice = next(iter(candidates()), None)
    if first_choice is not None and first_choice.name != "xdg-open":
        return _starts_confined(first_choice.command[0], commands)
    entry = _output("xdg-settings", "get", "default-web-browser")
    if entry:
        return "/" not in entry and (desktop_files / entry).is_file()
    # xdg-open tries these in this order if the desktop names no browser.
    first = next((name for name in _WITHOUT_DESKTOP if shutil.which(name)), None)
    return first is not None and _starts_confined(first, commands)


def _starts_confined(command: str, commands: tuple[Path, ...]) -> bool:
    """Return whether a command is a Snap's or a Flatpak's, or a short script that starts one, such as Ubuntu's."""
    found = shutil.which(command)
    if found is None:
        return False
    path = Path(found)
    for _ in range(_LINKS):
        if path.name == "flatpak" or "flatpak" in path.parts or any(path.is_relative_to(one) for one in commands):
            return True
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    with contextlib.suppress(OSError), path.open("rb") as script:
        start = script.read(_SCRIPT_BYTES)
        return start.startswith(b"#!") and any(
            word in start for word in (b"flatpak run", *(os.fsencode(f"{one}/") for one in commands))
        )
    return False


def _output(*command: str) -> str:
    try:
        return bounded_run.run(command, seconds=_XDG_SECONDS).out.decode(errors="replace").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
