"""What a failure of the keyring is called."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from upstash_helper.system.keyring_errors import (
    KeyringLocked,
    NoKeyringYet,
    NoResponse,
    NotAllowed,
    Waiting,
    explain,
    no_answer,
)

SECRET = "made-up-key-0f7a5c1e"


@pytest.fixture(name="reply")
def _reply() -> type[Exception]:
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has a session bus")
    from jeepney.wrappers import DBusErrorResponse  # type: ignore[import-untyped]

    kind: type[Exception] = DBusErrorResponse
    return kind


def a_reply(kind: type[Exception], *data: object) -> Exception:
    """Return an error reply of D-Bus."""
    fields = {4: "org.freedesktop.DBus.Error.Failed"}
    header = SimpleNamespace(fields=fields, message_type=None)
    return kind(SimpleNamespace(header=header, body=data))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (("No such cipher.",), "failed: No such cipher (org.freedesktop.DBus.Error.Failed). Check"),
        ((), "failed: org.freedesktop.DBus.Error.Failed. Check"),
        ((7, "second"), "failed: second (org"),
        (("two\nlines\x1b[31m",), r"failed: two lines\x1b[31m (org"),
        ((f"cannot store '{SECRET}'",), "failed: cannot store '…' (org"),
        (("password=hunter2 rejected",), "failed: password=[redacted] rejected (org"),
        (("x " * 1000,), f"failed: {'x ' * 150}… (org"),
    ],
)
def test_text_of_the_bus_is_shown_without_secrets(reply: type[Exception], data: tuple[object, ...], shown: str) -> None:
    """
    An error of D-Bus is shown with its text and its name: on one line, shortened, and without the entry.
    """
    explained = explain(a_reply(reply, *data), kind="KWallet", hide=SECRET)

    assert f"The keyring (KWallet) {shown}" in str(explained)
    assert SECRET not in str(explained)


def test_reply_behind_another_error_is_shown(reply: type[Exception]) -> None:
    """
    Libraries raise their own errors from a reply of D-Bus.
    """
    error = RuntimeError("unavailable")
    error.__cause__ = a_reply(reply, "The wallet could not be opened")

    assert "failed: The wallet could not be opened (org" in str(explain(error, kind="KWallet"))


@pytest.mark.parametrize(
    ("waiting", "kind", "text"),
    [
        ("", NoResponse, "did not respond within 5 seconds"),
        ("password", KeyringLocked, "unlock it in its password window"),
        ("access", NotAllowed, "is open, and asks in a window"),
        ("new", NoKeyringYet, "asks for the password of a new one"),
        (None, KeyringLocked, "may be waiting for you"),
    ],
)
def test_call_without_an_answer_names_what_it_waits_for(waiting: Waiting | None, kind: type, text: str) -> None:
    """
    Only a keyring that asks for its password, or does not say what it waits for, may be called locked.
    """
    error = no_answer("KWallet", 5.0, waiting=waiting)

    assert kind is type(error)
    assert text in str(error)
