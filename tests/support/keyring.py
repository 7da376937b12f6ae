"""
A real GNOME Keyring on a private D-Bus, with private folders and a scripted prompter.

On a desktop, the prompter shows the password window. Here it is a script that records its start and then either exits
(the user declined, or there is no screen) or does nothing (nobody answers).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD: Final = "of the login keyring"

_NAME: Final = "org.freedesktop.secrets"
_SERVICE: Final = "/org/freedesktop/secrets"
_LOGIN: Final = "/org/freedesktop/secrets/collection/login"

_BUS: Final = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/run/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{folder}/services</servicedir>
  <limit name="service_start_timeout">60000</limit>
  <policy context="default">
    {users}
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

_PROMPTER: Final = """\
#!/bin/sh
echo $$ >> '{folder}/prompts'
{then}
"""


def skip_unless_there_is_one() -> None:
    """Skip the test where a private keyring cannot be run."""
    if sys.platform != "linux":
        pytest.skip("platform: the private keyring is GNOME Keyring, on Linux")
    for program in ("dbus-daemon", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


class PrivateKeyring:
    """A session bus and GNOME Keyring's daemon on it; a context manager that starts and stops both."""

    def __init__(
        self,
        *,
        prompts: Literal["declined", "unanswered"] = "declined",
        activatable: bool = False,
        shared: bool = False,
    ) -> None:
        """
        Args:
            prompts: How the prompter reacts.
            activatable: Whether the bus starts a new, locked keyring when there is none, as on a desktop.
            shared: Whether programs of other users may use the bus.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="kr-"))  # short: a socket's path has at most 107 bytes
        for name in ("home", "run", "services"):
            (self._folder / name).mkdir(mode=0o700)
        self.declare("org.gnome.keyring.SystemPrompter", str(self._script(prompts)))
        if activatable:
            daemon = shutil.which("gnome-keyring-daemon")  # the bus needs an absolute path
            self.declare(_NAME, f"{daemon} --start --foreground --components=secrets")
        self._prompts = prompts
        self._shared = shared
        self._bus: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The home folder of the keyring and of programs with ``env``."""
        return self._folder / "home"

    @property
    def env(self) -> dict[str, str]:
        """The environment for programs of this session."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_RUNTIME_DIR": str(self._folder / "run"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._folder}/run/bus",
        }

    @property
    def prompts(self) -> int:
        """How often the keyring has prompted the user."""
        return len(self._prompters())

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put this process in the session until the test ends."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)

    def start(self, *, keyring: bool = True) -> None:
        """
        Start the bus, and the keyring with an unlocked login collection.

        Args:
            keyring: False for a bus without a keyring.
        """
        self.start_bus()
        if keyring:
            self.start_keyring()

    def start_bus(self) -> None:
        """Start the bus and wait until it is ready."""
        configuration = self._folder / "bus.conf"
        users = '<allow user="*"/>' if self._shared else ""
        configuration.write_text(_BUS.format(folder=self._folder, users=users))
        self._bus = subprocess.Popen(
            ["dbus-daemon", "--nofork", "--nopidfile", "--print-address=1", f"--config-file={configuration}"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._bus.stdout is not None
        assert self._bus.stdout.readline(), "the bus did not start"
        if self._shared:
            for folder in (self._folder, self._folder / "run"):
                folder.chmod(0o711)
            (self._folder / "run" / "bus").chmod(0o777)

    def start_keyring(self) -> None:
        """Start the keyring and wait until its login collection exists and is unlocked."""
        self._daemon = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._daemon.stdin is not None
        self._daemon.stdin.write(PASSWORD.encode())
        self._daemon.stdin.close()
        self._wait_for_owner()

    def stop(self) -> None:
        """Stop both, and remove their files."""
        self.kill_keyring()
        self.kill_bus()
        if self._prompts == "unanswered":
            for prompter in self._prompters():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(prompter, signal.SIGTERM)
        # A program of the session that is just ending may still write.
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def lock(self) -> None:
        """Lock the login collection."""
        self._call("org.freedesktop.Secret.Service", "Lock", "ao", [_LOGIN])

    def unlock(self) -> None:
        """Unlock the login collection, as if the user had entered the password."""
        import secretstorage
        from secretstorage.util import format_secret, open_session

        with closing(secretstorage.dbus_init()) as bus:
            secret = format_secret(open_session(bus), PASSWORD.encode(), "text/plain")
            self._call(
                "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface",
                "UnlockWithMasterPassword",
                "o(oayays)",
                _LOGIN,
                secret,
                connection=bus,
            )

    def is_running(self) -> bool:
        """Return whether any program provides the Secret Service."""
        from jeepney import message_bus  # type: ignore[import-untyped]
        from jeepney.io.blocking import Proxy, open_dbus_connection  # type: ignore[import-untyped]

        with closing(open_dbus_connection(self.env["DBUS_SESSION_BUS_ADDRESS"])) as bus:
            return bool(Proxy(message_bus, bus).NameHasOwner(_NAME)[0])

    def freeze(self) -> None:
        """Make the keyring hang."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the keyring continue."""
        self._signal(signal.SIGCONT)

    def kill_keyring(self) -> None:
        """Kill the keyring."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def freeze_bus(self) -> None:
        """Make the bus hang; its connections stay open."""
        assert self._bus is not None
        self._bus.send_signal(signal.SIGSTOP)

    def thaw_bus(self) -> None:
        """Let the bus continue."""
        assert self._bus is not None
        self._bus.send_signal(signal.SIGCONT)

    def kill_bus(self) -> None:
        """Kill the bus, which ends the services it has started."""
        if self._bus is not None:
            self._bus.kill()
            self._bus.wait()
            assert self._bus.stdout is not None
            self._bus.stdout.close()
            self._bus = None
            (self._folder / "run" / "bus").unlink()

    def files(self) -> Mapping[Path, bytes]:
        """The content of every file of the session."""
        return {path: path.read_bytes() for path in self._folder.rglob("*") if path.is_file()}

    def _prompters(self) -> list[int]:
        noted = self._folder / "prompts"
        return [int(line) for line in noted.read_text().splitlines()] if noted.exists() else []

    def _signal(self, number: int) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def _script(self, prompts: str) -> Path:
        script = self._folder / "prompter"
        then = "exit 1" if prompts == "declined" else "exec sleep 60"
        script.write_text(_PROMPTER.format(folder=self._folder, then=then))
        script.chmod(0o700)
        return script

    def declare(self, name: str, command: str) -> None:
        """Make the bus start ``command`` when ``name`` is requested. Call this before the bus is started."""
        service = self._folder / "services" / f"{name}.service"
        service.write_text(f"[D-BUS Service]\nName={name}\nExec={command}\n")

    def _call(self, interface: str, method: str, signature: str, *body: object, connection: object = None) -> None:
        from jeepney import DBusAddress, MessageType, new_method_call
        from jeepney.io.blocking import open_dbus_connection

        message = new_method_call(DBusAddress(_SERVICE, _NAME, interface), method, signature, body)
        if connection is None:
            with closing(open_dbus_connection(self.env["DBUS_SESSION_BUS_ADDRESS"])) as own:
                reply = own.send_and_get_reply(message, timeout=10)
        else:
            reply = connection.send_and_get_reply(message, timeout=10)  # type: ignore[attr-defined]
        assert MessageType.method_return == reply.header.message_type, reply.body

    def _wait_for_owner(self) -> None:
        from jeepney import MatchRule, message_bus
        from jeepney.io.blocking import Proxy, open_dbus_connection

        with closing(open_dbus_connection(self.env["DBUS_SESSION_BUS_ADDRESS"])) as bus:
            rule = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
            rule.add_arg_condition(0, _NAME)
            proxy = Proxy(message_bus, bus)
            proxy.AddMatch(rule)
            with bus.filter(rule) as changes:
                if not proxy.NameHasOwner(_NAME)[0]:
                    bus.recv_until_filtered(changes, timeout=10)
