"""Where the sandbox keeps everything: one folder, for its user alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from upstash_helper.sandbox.errors import CannotStart
from upstash_helper.system import private_files

# `sockaddr_un.sun_path` holds 108 bytes on Linux and 104 on macOS, the final zero among them.
LONGEST_SOCKET_PATH = 103


class Folder:
    """The data folder and the names in it."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: The folder itself; made if it is missing.

        Raises:
            CannotStart: If it cannot be made or written to.
        """
        self.root = root
        try:
            if root.is_dir() and not self.store.exists() and any(root.iterdir()):
                # It would be made private, and what looks like a leftover of ours would be removed.
                raise CannotStart(
                    f"The folder {root} has other things in it. Name an empty one, or one that is not there."
                )
            self.databases.mkdir(mode=0o700, parents=True, exist_ok=True)
            root.chmod(0o700)
        except OSError as error:
            message = f"The data folder {root} cannot be used: {error.strerror}. Choose another one with --data."
            raise CannotStart(message) from error
        self.sockets = self._make_sockets()

    @property
    def databases(self) -> Path:
        """One folder for each database."""
        return self.root / "databases"

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.root / "sandbox.sqlite3"

    @property
    def ca_certificate(self) -> Path:
        """The certificate that clients of TLS databases must trust."""
        return self.root / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The private key of the sandbox's own certificate authority."""
        return self.root / "ca-key.pem"

    def database(self, database_id: str) -> Path:
        """Return the folder of one database."""
        return self.databases / database_id

    def socket(self, database_id: str) -> Path:
        """Return where one database's server has its unix socket."""
        return self.sockets / database_id[:13]

    def leave_shared_place(self) -> None:
        """Remove the folder outside of the data folder, if there is one; a socket that is left keeps it."""
        if self.sockets.parent != self.root:
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def _make_sockets(self) -> Path:
        """
        Return a folder whose path is short enough for unix sockets.

        Its name depends on the data folder alone, so the next start finds what a crash left behind.
        """
        inside = self.root / "run"
        if len(os.fsencode(inside)) + 14 <= LONGEST_SOCKET_PATH:
            inside.mkdir(mode=0o700, exist_ok=True)
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        outside = Path(tempfile.gettempdir()) / f"upstash-sandbox-{digest}"
        if len(os.fsencode(outside)) + 14 > LONGEST_SOCKET_PATH:
            raise CannotStart(
                f"The temporary folder {outside.parent} has too long a path for unix sockets. "
                "Choose a shorter one with TMPDIR, or a data folder with a shorter path with --data."
            )
        outside.mkdir(mode=0o700, exist_ok=True)
        try:
            private_files.check_folder(outside)
        except private_files.NotPrivate as error:
            # The temporary folder is shared: another user could have created this one first.
            message = f"{outside} {error.reason}. Remove it, or choose a data folder with a shorter path."
            raise CannotStart(message) from error
        return outside


def default_root() -> Path:
    """Return the data folder to use where none is named."""
    home = os.environ.get("UPSTASH_HELPER_HOME")
    if home:
        return Path(home).expanduser().absolute() / "sandbox"
    import platformdirs

    return Path(platformdirs.user_data_dir("upstash-helper-sandbox", appauthor=False))
