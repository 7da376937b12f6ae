"""
The first process of a session's namespaces; see ``tests.support.user_systemd``.

It prepares what an administrator would have set up, becomes an unprivileged user, and then executes the requests on its
standard input: one JSON object per line, each answered by one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from typing import Any, Final

_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_SECONDS: Final = 60.0


def prepare(group: str, system: str) -> None:
    """Bring the network up, and make the session's control group the root of all, like a container."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    mount("--bind", group, "/sys/fs/cgroup")
    # To systemctl, this folder means that the system runs systemd (sd_booted(3)).
    os.makedirs("/run/systemd", exist_ok=True)  # noqa: PTH103 - as short as the rest
    mount("-t", "tmpfs", "tmpfs", "/run/systemd")
    if system == "systemd":
        os.mkdir("/run/systemd/system")  # noqa: PTH102 - as above


def mount(*arguments: str) -> None:
    """Run ``mount``."""
    subprocess.run(("mount", *arguments), check=True)


class Session:
    """The requests that can be executed."""

    def __init__(self) -> None:
        self._manager: subprocess.Popen[bytes] | None = None

    def log_in(self) -> dict[str, Any]:
        """Start the service manager."""
        with open(f"{os.environ['XDG_RUNTIME_DIR']}/manager.log", "ab") as log:  # noqa: PTH123 - as above
            self._manager = subprocess.Popen(
                ("/lib/systemd/systemd", "--user", "--log-target=console"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return {}

    def log_out(self) -> dict[str, Any]:
        """Stop the service manager, like a logout."""
        assert self._manager is not None
        self._manager.terminate()
        return {"code": self._manager.wait(_SECONDS)}

    def run(self, argv: list[str], environ: dict[str, str], typed: str) -> dict[str, Any]:
        """Run a command."""
        ended = subprocess.run(
            argv, env={**os.environ, **environ}, input=typed, capture_output=True, text=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
        return {"code": ended.returncode, "out": ended.stdout, "err": ended.stderr}


def main() -> None:
    """Prepare, drop privileges, then serve."""
    if sys.argv[1] != "serve":
        prepare(*sys.argv[1:])
        become = ("unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-m", __spec__.name)
        os.execvp(become[0], (*become, "serve"))  # noqa: S606 - no shell is involved
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(session, request.pop("do"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
