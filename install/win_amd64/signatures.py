"""
Signatures of Windows programs (Authenticode), checked by osslsigncode.

A program contains its signature. Other files are listed in a signed catalog by their digests, as python.org lists the
modules of the standard library.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from install.progress import SetupError

TOOL = "osslsigncode"
PYTHON = "Python Software Foundation"
MICROSOFT = "Microsoft Corporation"

# The lists of revoked certificates would have to be downloaded. Versions before 2.8 do not download them, and do not
# know these options.
_OFFLINE = ("-ignore-cdp", "-ignore-crl")
_UNKNOWN_OPTION = "Unknown option"

_SIGNER = re.compile(r"^Signer's certificate:\s*(?:-+\s*)?Signer #0:\s*Subject: (?P<subject>.+)$", re.MULTILINE)
_DIGESTS = re.compile(
    r"^Current message digest +: (?P<current>[0-9A-F]+)\s*^Calculated message digest +: (?P<calculated>[0-9A-F]+)",
    re.MULTILINE,
)
_TRUSTED = re.compile(r"^Signature verification: ok$", re.MULTILINE)

_OCTET_STRING_SHA256 = b"\x04\x20"


@dataclass(frozen=True)
class Signature:
    """What osslsigncode reports about a file."""

    organization: str | None
    """The signer, from the certificate in the file. None if it is not signed."""
    trusted: bool
    """Whether the signature is valid, and its certificates lead to a root certificate of this machine."""
    unchanged: bool
    """Whether the program has the digest that its signature states. False for a catalog, which has no such digest."""


def parse(output: str) -> Signature:
    """Return what the output of ``osslsigncode verify`` means."""
    signer = _SIGNER.search(output)
    digests = _DIGESTS.search(output)
    return Signature(
        organization=_organization(signer["subject"]) if signer else None,
        trusted=_TRUSTED.search(output) is not None,
        unchanged=digests is not None and digests["current"] == digests["calculated"],
    )


def _organization(subject: str) -> str | None:
    """Return the organization in a subject such as ``/C=US/O=Python Software Foundation/CN=…``."""
    parts = dict(part.partition("=")[::2] for part in subject.strip().split("/") if part)
    return parts.get("O")


def read(path: Path) -> Signature:
    """
    Check the signature of a program or a catalog.

    Raises:
        SetupError: If osslsigncode is missing.
    """
    output = _output_of("verify", *_OFFLINE, "-in", str(path))
    if _UNKNOWN_OPTION in output:
        output = _output_of("verify", "-in", str(path))
    return parse(output)


def _output_of(*arguments: str) -> str:
    tool = shutil.which(TOOL)
    if tool is None:
        raise SetupError(f"{TOOL} is missing. It checks the signatures of Windows programs.")
    done = subprocess.run(
        [tool, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    return done.stdout


def check_program(path: Path, *, read: Callable[[Path], Signature] = read) -> None:
    """
    Check that a program or library is signed by the Python Software Foundation.

    Microsoft signs the C runtime. Its root certificate is not among those of Debian, so only the digest and the name
    are checked.

    Raises:
        SetupError: If it is not, or was changed after it was signed.
    """
    signature = read(path)
    if not signature.unchanged:
        raise SetupError(f"{path.name} is not signed, or was changed after it was signed.")
    if signature.organization == MICROSOFT and path.name.startswith("vcruntime"):
        return
    _check_signer(path, signature)


def catalog_content(path: Path, *, read: Callable[[Path], Signature] = read) -> bytes:
    """
    Return the signed part of a catalog of the Python Software Foundation.

    Raises:
        SetupError: If the signature is not valid, or it is not a catalog.
    """
    _check_signer(path, read(path))
    return signed_content(path.read_bytes())


def _check_signer(path: Path, signature: Signature) -> None:
    if signature.organization != PYTHON:
        raise SetupError(f"{path.name} is signed by {signature.organization or 'nobody'}, not by the {PYTHON}.")
    if not signature.trusted:
        raise SetupError(f"The signature of {path.name} is not valid, or the package ca-certificates is missing.")


def is_listed(data: bytes, content: bytes) -> bool:
    """Return whether a catalog's content lists a file by its SHA-256 digest."""
    return _OCTET_STRING_SHA256 + hashlib.sha256(data).digest() in content


def signed_content(data: bytes) -> bytes:
    """
    Return the content that a PKCS #7 SignedData structure signs (RFC 2315, section 9.1).

    Raises:
        SetupError: If it is not such a structure.
    """
    try:
        # ContentInfo: the content type, and the content with the tag [0].
        signed_data = _children(_children(data)[0])[1]
        # SignedData: version, digest algorithms, content, and more.
        content = _children(_children(signed_data)[0])[2]
        return _children(content)[1]
    except IndexError:
        raise SetupError("This is not a signed catalog.") from None


def _children(data: bytes) -> list[bytes]:
    """Return the contents of consecutive DER elements (X.690, section 8.1)."""
    found = []
    position = 0
    while position < len(data):
        length = data[position + 1]
        position += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[position : position + octets], "big")
            position += octets
        if position + length > len(data):
            raise IndexError
        found.append(data[position : position + length])
        position += length
    return found
