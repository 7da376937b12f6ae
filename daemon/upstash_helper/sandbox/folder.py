"""The data folder, readable only by its user, and the files in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from upstash_helper.sandbox.errors import StartupError
from upstash_helper.system import private_files

# `sockaddr_un.sun_path` holds 108 bytes on Linux and 104 on macOS, including the terminating zero.
MAX_SOCKET_PATH = 103


class Folder:
    """The data folder and the paths in it."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: The folder. It is created if it does not exist.

        Raises:
            StartupError: If it cannot be created or written to, or contains files of another program.
        """
        self.root = root
        try:
            if root.is_dir() and not self.store.exists() and any(root.iterdir()):
                # The sandbox would change the folder's mode, and could remove files that look like its leftovers.
                raise StartupError(
                    f"The folder {root} contains other files. Choose an empty folder, or one that does not exist yet."
                )
            self.databases.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.chmod(0o700)
        except OSError as error:
            message = f"Cannot use the data folder {root}: {error.strerror}. Choose another one with --data."
            raise StartupError(message) from error
        self._sockets: Path | None = None

    @property
    def databases(self) -> Path:
        """Contains one folder per database."""
        return self.root / "databases"

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.root / "sandbox.sqlite3"

    @property
    def running(self) -> Path:
        """Contains the running sandbox's addresses and admin token. A sandbox that is killed leaves the file behind."""
        return self.root / "running.json"

    @property
    def ca_certificate(self) -> Path:
        """The certificate that TLS clients of databases must trust."""
        return self.root / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The private key of the sandbox's own certificate authority."""
        return self.root / "ca-key.pem"

    def database(self, database_id: str) -> Path:
        """Return the folder of one database."""
        return self.databases / database_id

    def socket(self, database_id: str) -> Path:
        """Return the Unix socket of one database's server."""
        return self.sockets / database_id[:13]

    @property
    def sockets(self) -> Path:
        """
        The folder of Unix sockets, which is created when it is first needed. fakeredis, and so Windows, needs none.

        Raises:
            StartupError: If there is no place for it.
        """
        if self._sockets is None:
            self._sockets = self._create_socket_folder()
        return self._sockets

    def remove_socket_folder(self) -> None:
        """Remove the socket folder if it is outside the data folder. It stays if a socket is left in it."""
        if self._sockets is not None and self._sockets.parent != self.root:
            with contextlib.suppress(OSError):
                self._sockets.rmdir()

    def _create_socket_folder(self) -> Path:
        """
        Create a folder with a path short enough for Unix sockets, and return it.

        Its name depends only on the data folder, so that the next start finds sockets left by a crash.
        """
        inside = self.root / "run"
        if len(os.fsencode(inside)) + 14 <= MAX_SOCKET_PATH:
            inside.mkdir(mode=0o700, exist_ok=True)
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        outside = Path(tempfile.gettempdir()) / f"upstash-sandbox-{digest}"
        if len(os.fsencode(outside)) + 14 > MAX_SOCKET_PATH:
            raise StartupError(
                f"The path of the temporary folder {outside.parent} is too long for Unix sockets. "
                "Set TMPDIR to a shorter path, or choose a data folder with a shorter path with --data."
            )
        outside.mkdir(mode=0o700, exist_ok=True)
        try:
            private_files.check_folder(outside)
        except private_files.NotPrivate as error:
            # The temporary folder is shared, so another user could have created this folder.
            message = f"{outside} {error.reason}. Remove it, or choose a data folder with a shorter path."
            raise StartupError(message) from error
        return outside


def default_root() -> Path:
    """Return the data folder to use if ``--data`` is not given."""
    home = os.environ.get("UPSTASH_HELPER_HOME")
    if home:
        return Path(home).expanduser().absolute() / "sandbox"
    import platformdirs

    return Path(platformdirs.user_data_dir("upstash-helper-sandbox", appauthor=False))
