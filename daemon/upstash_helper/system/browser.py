"""
Opening an address in the user's browser, detached from this process, without showing the address to other users.

Every user of the machine can read the arguments of a process, and a browser gets its address as an argument. So it gets
the address of a private file that redirects. A separate process, this module, writes that file, starts the browser, and
removes the file: a browser may run in the foreground until the user closes it, and write to its terminal.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from upstash_helper.system import core_dumps, private_files, processes

REPORT_SECONDS: Final = 1.0
"""How long the browser's command is watched. One that still runs then has started the browser in the foreground."""
_START_SECONDS: Final = 10.0
"""How long to wait for the separate process, which takes a tenth of a second unless the machine is very busy."""
KEEP_SECONDS: Final = 60.0
"""How long the file is kept. A browser that has to be started first takes some seconds to read it."""

TEXT_BROWSERS: Final = frozenset({"www-browser", "lynx", "links", "elinks", "w3m"})
"""Browsers that need a terminal."""

_MODULE: Final = "upstash_helper.system.browser"
SNAPS: Final = (Path("/var/lib/snapd/desktop/applications"), Path("/snap/bin"))
"""Where Snap keeps the desktop files and the commands of its programs."""
_XDG_SECONDS: Final = 2.0


def browse(address: str, *, watch: float = REPORT_SECONDS) -> bool:
    """
    Open an address that is not secret. Return False if there is no browser, or it fails. Never raises.

    Args:
        address: The address.
        watch: Seconds after which a command that has not failed is taken to have succeeded.
    """
    return _start({"address": address, "watch": watch})


def browse_privately(
    address: str,
    *,
    folder: Path,
    name: str,
    fallback: str | None = None,
    keep: float = KEEP_SECONDS,
    watch: float = REPORT_SECONDS,
) -> bool:
    """
    Open an address that contains a secret, such as a ticket or a ``state``. Otherwise like ``browse``.

    Args:
        address: The address.
        folder: A private folder for the file. Another one is used for a browser that cannot read it.
        name: The beginning of the file's name.
        fallback: The address for a browser that gets no response from the first one; empty: show an error. None:
            the browser is not asked.
        keep: Seconds after which the file is removed.
        watch: As for ``browse``.
    """
    file = {"folder": str(folder), "name": name, "fallback": fallback, "keep": keep}
    return _start({"address": address, "watch": watch, **file})


def _start(job: dict[str, str | float | None]) -> bool:
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
    return not reported.wait(_START_SECONDS) or reports == [b"1"]


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
            timer = threading.Timer(job["keep"], file.unlink, kwargs={"missing_ok": True})
            timer.start()
        opened = _is_opened(address, job["watch"])
    except OSError:
        opened = False
    os.write(report, b"1" if opened else b"0")
    os.close(report)
    if timer is not None and file is not None and not opened:
        timer.cancel()
        file.unlink(missing_ok=True)


def _is_opened(address: str, watch: float) -> bool:
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(_open(address)), daemon=True)
    thread.start()
    thread.join(watch)
    return results[0] if results else True


def _open(address: str) -> bool:
    os.environ.pop("TERM", None)  # with it, text browsers are tried last
    import webbrowser

    try:
        name = Path(getattr(webbrowser.get(), "name", "")).name
        return name not in TEXT_BROWSERS and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


# Whether a browser opens the name shows in whether it gets any response from there.
_SCRIPT: Final = """
const { address, fallback } = document.currentScript.dataset;
fetch(new URL("/reachable", address), { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(5000) }).then(
  () => location.replace(address),
  () => fallback ? location.replace(fallback) : document.getElementById("unreachable").removeAttribute("hidden"),
);
"""
_TRY: Final = """\
<p id="unreachable" hidden>This browser cannot open it: is the helper running? Try again: upstash-helper open</p>
<script data-address="{address}" data-fallback="{fallback}">{script}</script>"""


def write_page(folder: Path, name: str, address: str, fallback: str | None = None) -> Path:
    """
    Write a private page that continues to ``address``, and return its path. It names no referrer, keeps the fragment,
    and reaches the daemon as a navigation to ``/``, which it accepts.

    Unless ``fallback`` is None, a script first tries whether ``address`` responds. Otherwise, no script is needed.

    Raises:
        OSError: If it cannot be written.
    """
    escaped = html.escape(address)
    refresh = f'<meta http-equiv="refresh" content="0;url={escaped}">'
    script = ""
    if fallback is not None:
        refresh = f"<noscript>{refresh}</noscript>"
        script = _TRY.format(address=escaped, fallback=html.escape(fallback), script=_SCRIPT)
    page = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
{refresh}
<title>upstash-helper</title>
<p>Opening the page. If nothing happens, <a href="{escaped}">open it here</a>.</p>
{script}
</html>
"""
    private_files.make_folder(folder)
    file = folder / name
    private_files.write(file, page.encode())
    return file


def readable_folder(private: Path, *, snaps: tuple[Path, Path] = SNAPS) -> Path:
    """
    Return a folder from which the user's browser can read a file of the user.

    Args:
        private: Returned unless the browser is a Snap. Those see neither the runtime folder nor hidden folders, but the
            folder for downloads. (A Flatpak gets access to the file that it is started with.)
        snaps: Where Snap keeps the desktop files and the commands of its programs.
    """
    if sys.platform != "linux" or not _is_snap(*snaps):
        return private
    downloads = _output("xdg-user-dir", "DOWNLOAD")
    for folder in (Path(downloads) if downloads else None, Path.home() / "Downloads"):
        if folder is not None and folder.is_dir() and folder != Path.home():
            return folder
    return private


def _is_snap(desktop_files: Path, commands: Path) -> bool:
    configured = os.environ.get("BROWSER", "").split(os.pathsep)[0].split(" ")[0]
    if configured:
        found = shutil.which(configured)
        return found is not None and Path(found).is_relative_to(commands)
    entry = _output("xdg-settings", "get", "default-web-browser")
    return bool(entry) and "/" not in entry and (desktop_files / entry).is_file()


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_XDG_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip()


if __name__ == "__main__":
    main()
