"""Which keyring backends are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from upstash_helper.system.keyring_errors import UntrustedKeyring
from upstash_helper.system.keyrings import SECRET_SERVICE, TRUSTED, candidates, native, why_unusable

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
def test_native_backends_are_trusted(platform: str, kind: str) -> None:
    """
    Without a configured backend, that of the platform is used, and it is a trusted one.
    """
    names = native(platform)

    assert kind == TRUSTED[names[0]]
    assert set(names) <= set(TRUSTED)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_native_keyring_that_cannot_be_loaded_is_explained(platform: str) -> None:
    """
    These systems have one keyring, so there is nothing to start; the library's own words are about Python packages.
    """
    assert "this program cannot use it" == why_unusable(RuntimeError("Security API unavailable"), platform=platform)
    assert "package" in why_unusable(ImportError("no module"), platform=platform)


def test_trusted_backends_exist_in_the_library() -> None:
    """
    A backend that the library renames would never be found.
    """
    import importlib

    for name in TRUSTED:
        module, _, kind = name.rpartition(".")
        assert hasattr(importlib.import_module(module), kind)


def test_configured_backend_is_the_only_candidate(tmp_path: Path) -> None:
    """
    A trusted backend that the user has configured is used, without a fallback.
    """
    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": KWALLET}, config=tmp_path / "none")

    assert (KWALLET,) == names


def test_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    """
    As in the keyring library, the environment comes before the file.
    """
    config = tmp_path / "keyringrc.cfg"
    config.write_text("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")

    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": SECRET_SERVICE}, config=config)

    assert (SECRET_SERVICE,) == names


def test_chainer_is_replaced_by_native_backends(tmp_path: Path) -> None:
    """
    The chainer would also try untrusted backends, so the platform's are used instead.
    """
    names = candidates(trusted=TRUSTED, environ={"PYTHON_KEYRING_BACKEND": CHAINER}, config=tmp_path / "none")

    assert native() == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"default-keyring", "cannot be read"),
        (b"[backend]\n[backend]\n", "cannot be read"),
        (b"\xff\xfe", "is encoded in UTF-16. Save it as UTF-8."),
        (b"# caf\xe9\n", "is not in UTF-8: line 1, column 6"),
    ],
)
def test_unreadable_configuration_is_named(tmp_path: Path, text: bytes, reason: str) -> None:
    """
    The error for an invalid configuration of the keyring library names the file.
    """
    config = tmp_path / "keyringrc.cfg"
    config.write_bytes(text)

    with pytest.raises(UntrustedKeyring, match=rf"keyringrc\.cfg {reason}"):
        candidates(trusted=TRUSTED, environ={}, config=config)


def test_t79_configuration_with_a_bom_is_read(tmp_path: Path) -> None:
    """
    Editors on Windows write a byte order mark and CRLF.
    """
    config = tmp_path / "keyringrc.cfg"
    config.write_bytes(b"\xef\xbb\xbf[backend]\r\ndefault-keyring=" + KWALLET.encode() + b"\r\n")

    assert (KWALLET,) == candidates(trusted=TRUSTED, environ={}, config=config)
