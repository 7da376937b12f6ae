"""A file system whose only file can stop answering, as one on a network does whose server is gone (fuse(4))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# linux/fuse.h
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _INIT, _OPENDIR, _BATCH_FORGET = 1, 2, 3, 14, 15, 26, 27, 42
_HEADER: Final = struct.Struct("=IIQQIIIHH")
_ANSWER: Final = struct.Struct("=IiQ")
_ATTRIBUTES: Final = struct.Struct("=QQQQQQIIIIIIIIII")
_MNT_FORCE: Final = 1
_MNT_DETACH: Final = 2
_ENOSYS: Final = 38
_ROOT: Final = 1
_FILE: Final = 2


class HangingFile:
    """A copy of a program at ``path``, which can be run until ``hang`` was called."""

    def __init__(self, path: Path, content: bytes, device: int) -> None:
        self.path = path
        self._content = content
        self._device = device
        self._hangs = threading.Event()

    def hang(self) -> None:
        """From now on, whatever asks about the file waits."""
        self._hangs.set()

    def serve(self) -> None:
        """Answer requests until the file system is unmounted."""
        with contextlib.suppress(OSError):
            while request := os.read(self._device, 1 << 17):
                _, operation, number, node, *_ = _HEADER.unpack_from(request)
                if operation in {_FORGET, _BATCH_FORGET} or (self._hangs.is_set() and operation == _GETATTR):
                    continue
                error, answer = self._answer(operation, node, request[_HEADER.size :])
                os.write(self._device, _ANSWER.pack(_ANSWER.size + len(answer), -error, number) + answer)

    def _answer(self, operation: int, node: int, arguments: bytes) -> tuple[int, bytes]:
        match operation:
            case _ if operation == _INIT:
                return 0, struct.pack("=IIIIHHIIHHI", 7, 31, 1 << 16, 0, 12, 10, 1 << 16, 1, 0, 0, 0) + bytes(28)
            case _ if operation == _LOOKUP:
                return 0, struct.pack("=QQQQII", _FILE, 0, 0, 0, 0, 0) + self._attributes(_FILE)
            case _ if operation == _GETATTR:
                return 0, struct.pack("=QII", 0, 0, 0) + self._attributes(node)
            case _ if operation in {_OPEN, _OPENDIR}:
                return 0, struct.pack("=QII", 0, 0, 0)
            case _ if operation == _READ:
                _, offset, size = struct.unpack_from("=QQI", arguments)
                return 0, self._content[offset : offset + size]
            case _:
                return _ENOSYS, b""

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40755, 0) if node == _ROOT else (0o100755, len(self._content))
        return _ATTRIBUTES.pack(
            node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, os.geteuid(), os.getegid(), 0, 4096, 0
        )


@contextlib.contextmanager
def hanging_file(folder: Path, program: Path) -> Iterator[HangingFile]:
    """Mount a file system at ``folder`` that has a copy of ``program``. Skips the test if that is not allowed."""
    if sys.platform != "linux":
        pytest.skip("platform: FUSE is Linux's")
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("This user may not mount FUSE file systems.")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
    if libc.mount(b"hanging", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
        os.close(device)
        pytest.skip("This user may not mount FUSE file systems.")
    file = HangingFile(folder / program.name, program.read_bytes(), device)
    server = threading.Thread(target=file.serve, daemon=True)
    server.start()
    try:
        yield file
    finally:
        libc.umount2(os.fsencode(folder), _MNT_FORCE)  # every process that waits gets an error
        server.join()
        libc.umount2(os.fsencode(folder), _MNT_DETACH)
        os.close(device)
