"""
Entries of the Secret Service: GNOME Keyring, KWallet, and KeePassXC.

The specification is https://specifications.freedesktop.org/secret-service-spec/latest/. The services differ:

- KeePassXC asks its user before a program may read an entry, and before it deletes one. It recognizes the program by
  its connection to the bus, so one connection is kept: the user is asked once, not at every call.
- KWallet reports a wallet that is open for other programs (pam_kwallet opens it at login) as locked until it is
  unlocked through the Secret Service. That needs no password; with "Prompt on Open" it asks for access.

``keyrings`` imports this module when it uses the Secret Service, since it loads ``secretstorage``.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import weakref
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import secretstorage
from jeepney import DBusAddress, MatchRule, MessageType, message_bus, new_method_call  # type: ignore[import-untyped]
from jeepney.io.blocking import DBusConnection, Proxy  # type: ignore[import-untyped]
from jeepney.wrappers import DBusErrorResponse, unwrap_msg  # type: ignore[import-untyped]
from secretstorage.util import DBusAddressWrapper, format_secret, open_session

from upstash_helper.system.keyring_errors import (
    KEEPASSXC,
    KWALLET,
    NoResponse,
    Waiting,
    has_to_ask,
    locked,
    no_keyring_yet,
    not_allowed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from secretstorage.dhcrypto import Session

    from upstash_helper.system.blocking_call import Call

State = Literal["absent", "locked", "open"]
_T = TypeVar("_T")

DEFAULT_COLLECTION: Final = "/org/freedesktop/secrets/aliases/default"

NAME: Final = "org.freedesktop.secrets"
_SERVICE: Final = "/org/freedesktop/secrets"
_INTERFACE: Final = "org.freedesktop.Secret."
_NO_PROMPT: Final = "/"
_NO_SESSION: Final = ("org.freedesktop.Secret.Error.NoSession", "org.qtproject.QtDBus.Error.InvalidObjectPath")
"""That of the specification, and KWallet's."""

# Names that the program owns besides that of the Secret Service. It is the same program if the owner is the same.
_GNOME: Final = "org.gnome.keyring"
_KEEPASSXC: Final = "org.keepassxc.KeePassXC.MainWindow"
_KWALLETS: Final = {"org.kde.kwalletd5": "/modules/kwalletd5", "org.kde.kwalletd6": "/modules/kwalletd6"}


class SecretService:
    """The entries in one collection, over one connection to the session bus. Its methods may block."""

    def __init__(self, *, collection: str, scheme: Mapping[str, str], application: str, kind: str) -> None:
        """
        Args:
            collection: The path of the collection.
            scheme: The names of the attributes ``service`` and ``username``.
            application: The value of the attribute ``application`` of entries that are stored.
            kind: The name for programs that have no other here.

        Raises:
            SecretServiceNotAvailableException: If there is no session bus.
        """
        self._path = collection
        self._scheme = scheme
        self._application = application
        self._bus = secretstorage.dbus_init()
        self.close: Final = weakref.finalize(self, _close, self._bus)
        """Close the connection, which makes KeePassXC forget what it was allowed to give to this program."""
        self._owners: dict[str, str] = {}
        self._kind = kind
        self.kind = kind
        """The program's name. May be read from any thread."""
        self.waiting: Waiting = ""
        """What the user is being asked for. May be read from any thread."""
        self.prompts = True
        """Whether the user may be asked for anything."""
        self.seconds = 0.0
        """How long the user has to answer."""

    # --- the program --------------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Return whether a program provides the service now. Other calls may start one."""
        return bool(Proxy(message_bus, self._bus).NameHasOwner(NAME)[0])

    @property
    def forgets_entries(self) -> bool:
        """
        Whether an entry can be stored and deleted without a trace. KeePassXC asks in a window before it deletes one,
        KWallet keeps a file about its entries, and other programs are not known.
        """
        return self._owner(_GNOME) is not None

    def state(self) -> State:
        """Return the state of the collection, without asking the user for anything."""
        collection = self._collection()
        self._identify()
        if collection is None:
            return "absent"
        return "locked" if collection.is_locked() and not self._is_open_wallet(collection) else "open"

    def _identify(self) -> None:
        """Find out which program it is now: another one may have been started."""
        bus = Proxy(message_bus, self._bus)
        self._owners = {}
        names = bus.ListNames()[0]
        for name in (NAME, _GNOME, _KEEPASSXC, *_KWALLETS):
            if name in names:
                with contextlib.suppress(DBusErrorResponse):  # it has just ended
                    self._owners[name] = bus.GetNameOwner(name)[0]
        self.kind = KEEPASSXC if self._owner(_KEEPASSXC) else KWALLET if self._kwallet() else self._kind

    def _owner(self, name: str) -> str | None:
        """Return the owner of ``name`` if it is the program that provides the Secret Service."""
        owner = self._owners.get(name)
        return owner if owner is not None and owner == self._owners.get(NAME) else None

    def _kwallet(self) -> str | None:
        return next((name for name in _KWALLETS if self._owner(name)), None)

    def _is_silent(self) -> bool:
        """Whether it opens a wallet that is open for other programs without asking."""
        return self._kwallet() is not None and not kwallet_asks()

    def _is_open_wallet(self, collection: secretstorage.Collection) -> bool:
        name = self._kwallet()
        if name is None:
            return False
        address = DBusAddress(_KWALLETS[name], name, "org.kde.KWallet")
        message = new_method_call(address, "isOpen", "s", (collection.get_label(),))
        return bool(unwrap_msg(self._bus.send_and_get_reply(message))[0])

    # --- the collection -----------------------------------------------------------------------------------------------

    def _collection(self) -> secretstorage.Collection | None:
        with contextlib.suppress(secretstorage.ItemNotFoundException):
            return secretstorage.Collection(self._bus, self._path)
        return None

    def unlock(self) -> None:
        """
        Unlock the collection, if it is locked.

        Raises:
            KeyringLocked: If the user did not enter the password.
            NotAllowed: If it is a wallet that is open for other programs, and the user did not allow access.
        """
        collection = self._collection()
        if collection is None:
            raise no_keyring_yet(self.kind)
        if not collection.is_locked():
            return
        is_open = self._is_open_wallet(collection)
        if not self.prompts and not (is_open and self._is_silent()):
            raise has_to_ask(self.kind) if is_open else locked(self.kind)
        self._unlock(self._path, "access" if is_open else "password")
        if collection.is_locked():
            raise not_allowed(self.kind) if is_open or self._is_open_wallet(collection) else locked(self.kind)

    def create(self) -> None:
        """
        Create the default collection, for which the user is asked for a new password.

        Raises:
            NoKeyringYet: If the user did not create it.
        """
        if not self.prompts or self.kind == KEEPASSXC:  # it would ask for a new database
            raise no_keyring_yet(self.kind)
        label = {f"{_INTERFACE}Collection.Label": ("s", "Default")}
        made, prompt = self._call(_SERVICE, "Service", "CreateCollection", "a{sv}s", label, "default")
        if made == _NO_PROMPT and not self._allowed(prompt, "new"):
            raise no_keyring_yet(self.kind)

    # --- entries ------------------------------------------------------------------------------------------------------

    def get_password(self, service: str, username: str, call: Call | None = None) -> str | None:
        """
        Return the text of an entry, or None if there is none.

        Args:
            service: What it is for.
            username: The account.
            call: Checked after the user was asked, which may have taken longer than the caller waited.

        Raises:
            NotAllowed: If the user did not allow this program to read it.
            UnicodeDecodeError: If it is not text.
        """
        for item in self._items(service, username):
            self._allow(item)
            if call is not None:
                call.check()
            return self._in_session(partial(_secret_of, item)).decode()
        return None

    def set_password(self, service: str, username: str, text: str) -> None:
        """
        Store an entry. It replaces one with the same attributes.

        Raises:
            NotAllowed: If the user did not allow this program to replace it.
        """
        for item in self._items(service, username):
            self._allow(item)
        properties = {
            f"{_INTERFACE}Item.Label": ("s", f"Password for '{username}' on '{service}'"),
            f"{_INTERFACE}Item.Attributes": (
                "a{ss}",
                {**self._query(service, username), "application": self._application},
            ),
        }

        def create(session: Session) -> Any:
            secret = format_secret(session, text.encode(), "text/plain")
            return self._call(self._path, "Collection", "CreateItem", "a{sv}(oayays)b", properties, secret, True)

        made, prompt = self._in_session(create)
        if made == _NO_PROMPT and not self._allowed(prompt, "access"):
            raise not_allowed(self.kind)

    def delete_password(self, service: str, username: str) -> None:
        """
        Delete an entry, if there is one.

        Raises:
            NotAllowed: If the user did not allow this program to delete it.
        """
        for item in self._items(service, username):
            self._allow(item)
            (prompt,) = self._call(item.item_path, "Item", "Delete", "")
            if prompt != _NO_PROMPT and not self._allowed(prompt, "access"):
                raise not_allowed(self.kind)
            return

    def _in_session(self, use: Callable[[Session], _T]) -> _T:
        """
        Use a new session, which encrypts a secret on the bus; that of a program that was restarted is invalid.

        KWallet 5.103 may not find a session that it has just opened, on a busy machine. Another one is used then.
        """
        try:
            return use(open_session(self._bus))
        except DBusErrorResponse as error:
            if error.name not in _NO_SESSION:
                raise
        return use(open_session(self._bus))

    def _items(self, service: str, username: str) -> Iterator[secretstorage.Item]:
        collection = self._collection()
        if collection is None:
            raise no_keyring_yet(self.kind)
        return collection.search_items(self._query(service, username))

    def _query(self, service: str, username: str) -> dict[str, str]:
        return {self._scheme["service"]: service, self._scheme["username"]: username}

    def _allow(self, item: secretstorage.Item) -> None:
        """Ask for access to an entry, unless this program has it. The collection is open."""
        if item.is_locked():
            if not self.prompts and not self._is_silent():
                raise has_to_ask(self.kind)
            self._unlock(item.item_path, "access")
            if item.is_locked():
                raise not_allowed(self.kind)

    # --- prompts ------------------------------------------------------------------------------------------------------

    def _unlock(self, path: str, waiting: Waiting) -> None:
        _, prompt = self._call(_SERVICE, "Service", "Unlock", "ao", [path])
        if prompt != _NO_PROMPT:
            self._allowed(prompt, waiting)

    def _allowed(self, prompt: str, waiting: Waiting) -> bool:
        """
        Let a prompt ask the user, for at most ``seconds``. Return False if it was dismissed.

        Raises:
            KeyringError: If it was not answered. The connection is closed then.
            NoResponse: If the program ended meanwhile.
        """
        if not self.prompts and not self._is_silent():
            raise has_to_ask(self.kind)
        completed = MatchRule(type=MessageType.signal, path=prompt, interface=f"{_INTERFACE}Prompt", member="Completed")
        ended = MatchRule(
            type=MessageType.signal, sender="org.freedesktop.DBus", path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus", member="NameOwnerChanged",
        )  # fmt: skip
        ended.add_arg_condition(0, NAME)
        bus, signals = Proxy(message_bus, self._bus), deque[Any]()
        bus.AddMatch(ended)
        self.waiting = waiting
        try:
            with self._bus.filter(completed, queue=signals), self._bus.filter(ended, queue=signals):
                self._call(prompt, "Prompt", "Prompt", "s", "")
                signal = self._bus.recv_until_filtered(signals, timeout=self.seconds)
        except TimeoutError:
            self.close()  # which withdraws the prompt; GNOME Keyring 42 ends when it is told to dismiss it
            refused = {"password": locked, "new": no_keyring_yet}.get(waiting, not_allowed)
            raise refused(self.kind) from None
        finally:
            self.waiting = ""
            with contextlib.suppress(Exception):  # the bus has ended, which the call above has reported
                bus.RemoveMatch(ended)
        if len(signal.body) != 2:
            message = f"The keyring ({self.kind}) exited while it was waiting for you. Start it, then try again."
            raise NoResponse(message)
        dismissed, _ = signal.body
        return not dismissed

    def _call(self, path: str, interface: str, method: str, signature: str, *body: object) -> Any:
        address = DBusAddressWrapper(path, f"{_INTERFACE}{interface}", self._bus)
        return address.call(method, signature, *body)


def _secret_of(item: secretstorage.Item, session: Session) -> bytes:
    item.session = session
    return item.get_secret()


def _close(bus: DBusConnection) -> None:
    with contextlib.suppress(OSError):
        bus.close()


def kwallet_asks(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether KWallet's settings (``kwalletrc``) make it ask before a program uses an open wallet."""
    folder = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    settings = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        settings.read_string(Path(folder, "kwalletrc").read_text("utf-8"))
        return settings.getboolean("Wallet", "Prompt on Open", fallback=False)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, configparser.Error):
        return True
