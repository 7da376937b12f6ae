"""Which keyrings are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from upstash_helper.system.keyrings import SECRET_SERVICE, TRUSTED, UntrustedKeyring, candidates, native

KWALLET = "keyring.backends.kwallet.DBusKeyring"
CHAINER = "keyring.backends.chainer.ChainerBackend"


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        ("linux", "Secret Service"),
        ("freebsd14", "Secret Service"),
        ("darwin", "macOS Keychain"),
        ("win32", "Windows Credential Manager"),
    ],
)
def test_each_system_has_its_keyring(platform: str, kind: str) -> None:
    """
    Without a choice of the user's, the keyring is the one of the system, and a trusted one.
    """
    names = native(platform)

    assert kind == TRUSTED[names[0]]
    assert set(names) <= set(TRUSTED)


def test_every_trusted_backend_exists() -> None:
    """
    The names are those of the installed library: a backend that was renamed would never be found.
    """
    import importlib

    for name in TRUSTED:
        module, _, kind = name.rpartition(".")
        assert hasattr(importlib.import_module(module), kind)


def test_the_users_choice_is_the_only_candidate(tmp_path: Path) -> None:
    """
    A trusted keyring that the user has named is used, and no other in its stead.
    """
    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": KWALLET}, config=tmp_path / "none")

    assert (KWALLET,) == names


def test_the_variable_is_stronger_than_the_file(tmp_path: Path) -> None:
    """
    As in the keyring library, the environment comes before the file.
    """
    config = tmp_path / "keyringrc.cfg"
    config.write_text("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")

    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": SECRET_SERVICE}, config=config)

    assert (SECRET_SERVICE,) == names


def test_a_chain_of_keyrings_is_replaced_by_its_best_trusted_link(tmp_path: Path) -> None:
    """
    The chainer would ask untrusted keyrings too; whoever names it gets the system's.
    """
    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": CHAINER}, config=tmp_path / "none")

    assert native() == names


@pytest.mark.parametrize("text", [b"default-keyring", b"\xff\xfe", b"[backend]\n[backend]\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: bytes) -> None:
    """
    A damaged configuration of the keyring library is an error that says which file it is.
    """
    config = tmp_path / "keyringrc.cfg"
    config.write_bytes(text)

    with pytest.raises(UntrustedKeyring, match=r"keyringrc\.cfg cannot be read"):
        candidates(trusted=TRUSTED, environ={}, config=config)
