"""
The zip file for Windows that needs no installation.

    upstash-helper-VERSION/
      upstash-helper.cmd         the command
      upstash-helper-tray.cmd    starts the tray icon
      README.txt
      python/                    the interpreter, with the program and its packages in Lib/site-packages
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from pathlib import Path

from install.environment import ROOT, RUNTIME
from install.foreground import run_main
from install.progress import SetupError, say, timed
from install.win_amd64 import downloads, interpreter, wheels

NAME = "upstash-helper"

# %~dp0 is the folder of the batch file, whatever its name is. The file python311._pth fixes Python's path, so that the
# environment, the registry, and the user's own packages do not change what is run.
COMMAND = '@"%~dp0python\\python.exe" -m upstash_helper %*\r\n'
TRAY = '@start "" "%~dp0python\\pythonw.exe" -m upstash_helper tray %*\r\n'

# https://docs.python.org/3/using/windows.html#finding-modules: these folders and no others, in isolated mode. Not with
# "import site", which in Python 3.11 adds the user's packages (%APPDATA%\Python) before ours:
# https://github.com/python/cpython/issues/120037
PATHS = ("DLLs", "Lib", "Lib\\site-packages")

# Of the standard library: for installing packages and for development.
_NOT_SHIPPED = ("ensurepip", "venv", "pydoc_data", "distutils", "msilib")

_MEMBER_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that zip files can have, for all members: the same checkout gives the same file."""


def read_me(version: str, *, python: str = interpreter.INTERPRETER.python) -> str:
    """Return the text of README.txt."""
    text = f"""\
upstash-helper {version} for 64-bit Windows 10 and 11. It needs no installation and no administrator rights, and
does not change the registry. Unpack it into any folder of yours.

  upstash-helper run           run the daemon in this terminal (Ctrl-C stops it)
  upstash-helper start         run the daemon in the background
  upstash-helper connect       connect your Upstash account
  upstash-helper-tray          show the tray icon
  upstash-helper demo --once   try it without an account

Settings and apps are stored in %LOCALAPPDATA%\\upstash-helper, which only you can read, and the credential is stored in
the Windows Credential Manager, not in this folder. An installed upstash-helper uses the same places.

To start at login, run: upstash-helper install
This writes to the registry and to Task Scheduler; upstash-helper uninstall undoes it. If you move this folder
afterwards, run it again.

To remove everything, run: upstash-helper uninstall --purge
This also removes settings, apps, and the credential. Then delete this folder.

To upgrade, run: upstash-helper stop
Then replace this folder with the new one.

The folder python contains Python {python} from python.org, signed by the Python Software Foundation. Its license is
python\\LICENSE.txt. The licenses of the packages are in python\\Lib\\site-packages.
"""
    return text.replace("\n", "\r\n")


def build(output: Path | None, cache: Path) -> Path:
    """
    Build the zip file, and return its path.

    Args:
        output: The file; None: its usual name, in ``dist``.
        cache: The folder of the downloads.

    Raises:
        SetupError: If this fails.
    """
    with tempfile.TemporaryDirectory(prefix="upstash-helper-portable-") as name:
        folder = Path(name)
        wheel = wheels.build(folder / "wheel")
        version = wheel.name.split("-")[1]
        content = folder / f"{NAME}-{version}"
        assemble(content, version, cache)
        wheels.unpack(wheel, content / "python" / "Lib" / "site-packages")
        file = output or ROOT / "dist" / f"{content.name}-windows-x64.zip"
        with timed(f"Writing {file}"):
            write(content, file)
    return file


def assemble(content: Path, version: str, cache: Path) -> None:
    """
    Put the interpreter, the packages, and the commands into a new folder.

    Raises:
        SetupError: If this fails.
    """
    from upstash_helper.system import open_files

    python = content / "python"
    checked = interpreter.unpack(downloads.interpreter(cache), python)
    say(f"Python {interpreter.INTERPRETER.python}: SHA-256 as pinned, {checked} signatures are valid")
    for name in _NOT_SHIPPED:
        with contextlib.suppress(FileNotFoundError):
            open_files.remove_tree(python / "Lib" / name)
    for file in downloads.packages(cache, RUNTIME):
        if wheels.name_of(file) not in wheels.ONLY_TO_BUILD:
            wheels.unpack(file, python / "Lib" / "site-packages")
    (python / "python311._pth").write_bytes("".join(f"{line}\r\n" for line in PATHS).encode())
    texts = {f"{NAME}.cmd": COMMAND, f"{NAME}-tray.cmd": TRAY, "README.txt": read_me(version)}
    for name, text in texts.items():
        (content / name).write_bytes(text.encode())


def write(content: Path, file: Path) -> None:
    """
    Write a folder to a zip file, in the order of the names and without times.

    Raises:
        SetupError: If the file cannot be written.
    """
    from upstash_helper.system import open_files

    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in content.rglob("*") if path.is_file()):
                member = zipfile.ZipInfo(path.relative_to(content.parent).as_posix(), _MEMBER_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                archive.writestr(member, path.read_bytes())
        open_files.replace(new, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            open_files.remove(new)
        raise SetupError(f"Cannot write {file}: {error.strerror}.") from error


def main(arguments: list[str]) -> int:
    """Build the zip file, and print its path and size."""
    output = Path(arguments[0]) if arguments else None
    file = build(output, downloads.cache_folder())
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    run_main(main)
