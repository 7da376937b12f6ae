"""
KWallet and KeePassXC on a private session bus and a virtual display, whose windows a test sees and answers.

    with KWallet.running() as wallet:
        wallet.open()
        …
        wallet.answer("KDE Wallet Service", "Escape")
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import psutil
import pytest

from tests.support.display import x_display
from tests.support.keyring import PrivateKeyring
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PASSWORD: Final = "pw"

_SECRETS: Final = "org.freedesktop.secrets"
_SMALLEST: Final = 10
"""Toolkits have invisible windows of a few pixels."""


class DesktopKeyring:
    """A program that provides the Secret Service and shows windows. A context manager stops it."""

    program = ""
    package = ""

    def __init__(self, session: PrivateKeyring, display: str) -> None:
        """
        Args:
            session: The session, with a bus and without a keyring.
            display: The X display.
        """
        self.session = session
        self.display = display
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Run it for the duration of the block, in which this process belongs to its session."""
        cls.skip_unless_installed()
        with ExitStack() as stack:
            session = PrivateKeyring()
            stack.callback(session.stop)
            session.start(keyring=False)
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            session.enter(patch)
            made = cls(session, stack.enter_context(x_display()))
            stack.callback(made.kill)
            made.prepare()
            made.start()
            yield made

    @classmethod
    def skip_unless_installed(cls) -> None:
        """Skip the test where it cannot be run."""
        if sys.platform != "linux":
            pytest.skip("platform: KWallet and KeePassXC are run on Linux")
        if shutil.which(cls.program) is None:
            pytest.skip(f"{cls.program} is missing: apt-get install {cls.package}")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs on this desktop."""
        # KeePassXC runs once for each user, which it finds out with a lock in the folder for temporary files.
        own = {"XDG_CACHE_HOME": str(self.session.home / ".cache"), "TMPDIR": self.session.env["XDG_RUNTIME_DIR"]}
        return {**self.session.env, "DISPLAY": self.display, **own}

    @property
    def command(self) -> Sequence[str]:
        """The command that starts it."""
        return (self.program,)

    def prepare(self) -> None:
        """Write its settings and its store."""

    def start(self) -> None:
        """Start it, and wait until it provides its collections."""
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=silent, stderr=silent
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{PASSWORD}\n".encode())
        self._process.stdin.close()
        until(lambda: self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner", "s", _SECRETS)[0])

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # --- the bus ------------------------------------------------------------------------------------------------------

    def call(self, path: str, interface: str, method: str, signature: str = "", *body: object, name: str = "") -> Any:
        """Call a method, by default of the service that is named like its interface, and return the result."""
        from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]
        from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]
        from jeepney.wrappers import unwrap_msg  # type: ignore[import-untyped]

        with closing(open_dbus_connection(self.session.env["DBUS_SESSION_BUS_ADDRESS"])) as bus:
            message = new_method_call(DBusAddress(path, name or interface, interface), method, signature or None, body)
            return unwrap_msg(bus.send_and_get_reply(message, timeout=30))

    def entries(self) -> dict[str, list[str]]:
        """Return the labels of the entries in each collection."""
        return entries()

    def names(self) -> set[str]:
        """Return the names that services own on the bus."""
        (names,) = self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames")
        return {name for name in names if not name.startswith(":")}

    def processes(self) -> set[int]:
        """Return the processes that belong to the session."""
        address = self.session.env["DBUS_SESSION_BUS_ADDRESS"]
        return {one.pid for one in psutil.process_iter() if _variable(one, "DBUS_SESSION_BUS_ADDRESS") == address}

    # --- the screen ---------------------------------------------------------------------------------------------------

    def windows(self) -> list[str]:
        """Return the titles of the visible windows, without KeePassXC's mark for what is not saved."""
        return [title.replace("*", "") for title in windows(self.display)]

    def answer(self, title: str, *keys: str) -> None:
        """Wait for a window whose title contains ``title``, press keys, by their X names, and wait until it is gone."""
        until(lambda: any(title in one for one in self.windows()))
        press(self.display, *keys)
        until(lambda: not any(title in one for one in self.windows()))


class KWallet(DesktopKeyring):
    """KWallet, with a wallet that is opened without a window, as pam_kwallet does at login."""

    program = "kwalletd5"
    package = "libkf5wallet-bin"
    name: Final = "kdewallet"

    def prepare(self) -> None:
        """Create the wallet. It is shown as a collection from the next start on."""
        self.configure()
        salt = os.urandom(56)
        folder = self.session.home / ".local" / "share" / "kwalletd"
        folder.mkdir(parents=True)
        (folder / f"{self.name}.salt").write_bytes(salt)
        # As in pam_kwallet (kwallet-pam, pam_kwallet.c): 50,000 rounds, 56 bytes.
        self._hash = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 50_000, 56)
        self.start()
        self.open()
        self.kill()

    def configure(self, *, asks: bool = False) -> None:
        """Set whether it asks before a program uses an open wallet ("Prompt when an application accesses a wallet")."""
        settings = self.session.home / ".config" / "kwalletrc"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(
            f"[Wallet]\nEnabled=true\nFirst Use=false\nDefault Wallet={self.name}\nPrompt on Open={str(asks).lower()}\n"
            "\n[org.freedesktop.secrets]\napiEnabled=true\n"
        )
        if self._process is not None:
            self._wallet("reconfigure")

    def open(self) -> None:
        """Open the wallet without a window, as at login."""
        self._wallet("pamOpen", "sayi", self.name, self._hash, 0)
        until(self.is_open)

    def close(self) -> None:
        """Close the wallet, as the user does in KWalletManager."""
        self._wallet("close", "sb", self.name, True)

    def is_open(self) -> bool:
        """Return whether the wallet is open."""
        return bool(self._wallet("isOpen", "s", self.name)[0])

    def _wallet(self, method: str, signature: str = "", *body: object) -> Any:
        return self.call("/modules/kwalletd5", "org.kde.KWallet", method, signature, *body, name="org.kde.kwalletd5")


class KWalletWithoutWallet(KWallet):
    """KWallet as on a new account: nobody has created a wallet."""

    def prepare(self) -> None:
        """Create none."""
        self.configure()


class KeePassXC(DesktopKeyring):
    """KeePassXC with its default settings, and a database that it shares through the Secret Service."""

    program = "keepassxc"
    package = "keepassxc"
    _COLLECTION: Final = "/org/freedesktop/secrets/collection/db"
    _DATABASE: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
  <Meta><DatabaseName>Passwords</DatabaseName><RecycleBinEnabled>False</RecycleBinEnabled><CustomData><Item>
    <Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{{{group}}}</Value>
  </Item></CustomData></Meta>
  <Root><Group><UUID>{encoded}</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
"""

    @property
    def _file(self) -> Path:
        return self.session.home / "db.kdbx"

    @property
    def command(self) -> Sequence[str]:
        """The command that starts it, with the database unlocked."""
        return (self.program, "--pw-stdin", str(self._file))

    def prepare(self) -> None:
        """Create the database."""
        folder = self.session.home / ".config" / "keepassxc"
        folder.mkdir(parents=True)
        (folder / "keepassxc.ini").write_text(
            "[General]\nConfigVersion=2\nUpdateCheckMessageShown=true\n[GUI]\nCheckForUpdates=false\n"
            "[FdoSecrets]\nEnabled=true\n"
        )
        group, source = uuid.uuid4(), self.session.home / "db.xml"
        source.write_text(self._DATABASE.format(group=group, encoded=base64.b64encode(group.bytes).decode()))
        subprocess.run(
            ["keepassxc-cli", "import", "-q", "-p", "-t", "100", str(source), str(self._file)],
            env={**self.environment, "QT_QPA_PLATFORM": "offscreen"},
            input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
            capture_output=True,
            check=True,
            timeout=60,
        )

    def start(self) -> None:
        """Start it with the database unlocked."""
        super().start()
        until(lambda: "Passwords - KeePassXC" in self.windows())  # not "[Locked]" any longer
        until(lambda: self._property("Locked") is False)

    @property
    def saved_at(self) -> int:
        """When it last wrote the database, in nanoseconds. It does so a moment after a change."""
        return self._file.stat().st_mtime_ns

    @property
    def is_saved(self) -> bool:
        """Whether its window shows no change that is not saved. A change is not shown at once."""
        return not any("*" in title for title in windows(self.display))

    def lock(self) -> None:
        """Lock the database, as the user does."""
        (_, prompt) = self.call(
            "/org/freedesktop/secrets", "org.freedesktop.Secret.Service", "Lock", "ao", [self._COLLECTION],
            name=_SECRETS,
        )  # fmt: skip
        if prompt != "/":
            self._prompt(prompt)
        until(lambda: self._property("Locked") is True)

    def _prompt(self, path: str) -> None:
        self.call(path, "org.freedesktop.Secret.Prompt", "Prompt", "s", "", name=_SECRETS)

    def _property(self, name: str) -> object:
        from jeepney.wrappers import DBusErrorResponse

        try:
            ((_, value),) = self.call(
                self._COLLECTION, "org.freedesktop.DBus.Properties", "Get", "ss",
                "org.freedesktop.Secret.Collection", name, name=_SECRETS,
            )  # fmt: skip
        except DBusErrorResponse:  # the database is not shown yet
            return None
        return value


class KeePassXCWithoutDatabase(KeePassXC):
    """KeePassXC in which no database is open."""

    @property
    def command(self) -> Sequence[str]:
        """The command that starts it, without a database."""
        return (self.program,)

    def start(self) -> None:
        """Start it, and wait until it provides the Secret Service."""
        DesktopKeyring.start(self)
        until(lambda: any("KeePassXC" in title for title in self.windows()))


def entries() -> dict[str, list[str]]:
    """Return the labels of the entries in each collection of this process's session."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        return {
            one.collection_path: [item.get_label() for item in one.get_all_items()]
            for one in secretstorage.get_all_collections(bus)
        }


def windows(display: str) -> list[str]:
    """Return the titles of the visible windows on an X display."""
    from Xlib import X, error
    from Xlib.display import Display

    titles, screen = [], Display(display)
    for window in screen.screen().root.query_tree().children:
        try:
            if window.get_attributes().map_state == X.IsViewable and window.get_geometry().width > _SMALLEST:
                titles.append(str(window.get_wm_name() or ""))
        except error.BadWindow:  # it has just been closed
            continue
    screen.close()
    return titles


def press(display: str, *names: str) -> None:
    """Press keys one after the other, by their X names."""
    from Xlib import XK, X
    from Xlib.display import Display
    from Xlib.ext import xtest

    screen = Display(display)
    for name in names:
        code = screen.keysym_to_keycode(XK.string_to_keysym(name))
        for kind in (X.KeyPress, X.KeyRelease):
            xtest.fake_input(screen, kind, code)
            screen.sync()
    screen.close()


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
