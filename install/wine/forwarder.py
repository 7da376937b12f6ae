"""
A Windows library that only forwards its functions to those of another library, so it needs no compiler.

The format: https://learn.microsoft.com/windows/win32/debug/pe-format, in particular "Export Address Table": an address
within the export section is not code, but the name of the function that is called instead.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_SECTION = 0x1000
"""Where the only section is in memory."""
_FILE_ALIGNMENT = 0x200

_MACHINE_AMD64 = 0x8664
_EXECUTABLE_DLL = 0x2022  # an executable image, a library, and aware of large addresses
_PE32_PLUS = 0x20B
_CONSOLE = 3
_DYNAMIC_BASE_NX = 0x0140
_INITIALIZED_READABLE = 0x40000040
_DIRECTORIES = 16


def library(name: str, functions: Mapping[str, str]) -> bytes:
    """
    Return a 64-bit library.

    Args:
        name: The file's name.
        functions: For each function, the one to call instead, such as ``advapi32.SystemFunction036``.
    """
    section = _exports(name, functions)
    size = -(-len(section) // _FILE_ALIGNMENT) * _FILE_ALIGNMENT
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    file_header = struct.pack("<HHIIIHH", _MACHINE_AMD64, 1, 0, 0, 0, 112 + 8 * _DIRECTORIES, _EXECUTABLE_DLL)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        _PE32_PLUS, 0, 0, 0, size, 0, 0, _SECTION,
        0x180000000, _SECTION, _FILE_ALIGNMENT, 6, 0, 0, 0, 6, 0, 0,
        2 * _SECTION, _FILE_ALIGNMENT, 0, _CONSOLE, _DYNAMIC_BASE_NX,
        0x100000, 0x1000, 0x100000, 0x1000, 0, _DIRECTORIES,
    )  # fmt: skip
    directories = struct.pack("<II", _SECTION, len(section)) + bytes(8 * (_DIRECTORIES - 1))
    header = struct.pack(
        "<8sIIIIIIHHI", b".edata", len(section), _SECTION, size, _FILE_ALIGNMENT, 0, 0, 0, 0, _INITIALIZED_READABLE
    )
    headers = dos + b"PE\0\0" + file_header + optional + directories + header
    return headers.ljust(_FILE_ALIGNMENT, b"\0") + section.ljust(size, b"\0")


def _exports(name: str, functions: Mapping[str, str]) -> bytes:
    """Return the export section: the directory, three tables, and the strings that they point to."""
    names = sorted(functions)  # the loader uses binary search
    count = len(names)
    strings = [name, *names, *(functions[one] for one in names)]
    tables = 40
    position = tables + 10 * count
    addresses = []
    for text in strings:
        addresses.append(_SECTION + position)
        position += len(text) + 1
    own, *rest = addresses
    directory = struct.pack(
        "<IIHHIIIIIII", 0, 0, 0, 0, own, 1, count, count,
        _SECTION + tables, _SECTION + tables + 4 * count, _SECTION + tables + 8 * count,
    )  # fmt: skip
    forwards = struct.pack(f"<{count}I", *rest[count:])
    pointers = struct.pack(f"<{count}I", *rest[:count])
    ordinals = struct.pack(f"<{count}H", *range(count))
    return directory + forwards + pointers + ordinals + b"".join(text.encode() + b"\0" for text in strings)
