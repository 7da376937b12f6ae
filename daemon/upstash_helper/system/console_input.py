"""
Keys that are typed or pasted at a console of Windows, without showing them.

``msvcrt.kbhit`` looks at all pending events for each key, so that a pasted address of some thousand characters takes
minutes. Here, the events are read in blocks (``ReadConsoleInputW`` in Microsoft's Console API). That neither shows the
keys nor changes the console's mode, and Ctrl-C stays a signal.
"""

from __future__ import annotations

import codecs
import ctypes
import sys
import time
from ctypes import c_int32, c_uint32, c_ushort, wintypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY_EVENT: Final = 1
_VK_MENU: Final = 0x12
"""The Alt key, whose release ends a character that was typed as a number."""
_BLOCK: Final = 512
_GENERIC_READ_WRITE: Final = 0xC000_0000
_SHARE_READ_WRITE: Final = 3
_OPEN_EXISTING: Final = 3
_ENABLE_PROCESSED_INPUT: Final = 1
_WAIT_TIMEOUT: Final = 0x102


class InputRecord(ctypes.Structure):
    """``INPUT_RECORD`` with a ``KEY_EVENT_RECORD``. Records of other kinds have the same size."""

    _fields_ = (
        ("kind", c_ushort),
        ("down", c_int32),
        ("repeat", c_ushort),
        ("key", c_ushort),
        ("scan_code", c_ushort),
        ("character", c_ushort),
        ("state", c_uint32),
    )


def code_units(records: Iterable[InputRecord]) -> bytes:
    """Return the characters that were typed, in UTF-16. A character beyond the BMP consists of two records."""
    return b"".join(
        record.character.to_bytes(2, "little") * max(1, record.repeat)
        for record in records
        if record.kind == _KEY_EVENT and record.character and (record.down or record.key == _VK_MENU)
    )


if sys.platform == "win32":

    class ConsoleInput:
        """The console's input, which only one reader may use at a time."""

        def __init__(self) -> None:
            self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            self._kernel.CreateFileW.restype = wintypes.HANDLE
            # The console, also if a handle of this process leads elsewhere.
            opened = self._kernel.CreateFileW(
                "CONIN$", _GENERIC_READ_WRITE, _SHARE_READ_WRITE, None, _OPEN_EXISTING, 0, None
            )
            # The value for a failure is also the handle of this process (GetCurrentProcess), which can be waited for.
            self._handle = wintypes.HANDLE(None if opened == wintypes.HANDLE(-1).value else opened)
            self._decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")

        def read(self, seconds: float) -> str | None:
            """Return what was typed, after ``seconds`` at most; None if the console has gone."""
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                waited = self._kernel.WaitForSingleObject(self._handle, int(left * 1000) + 1)
                if waited == _WAIT_TIMEOUT:
                    return ""
                if waited:
                    return None
                records, count = (InputRecord * _BLOCK)(), wintypes.DWORD()
                if not self._kernel.ReadConsoleInputW(self._handle, records, _BLOCK, ctypes.byref(count)):
                    return None
                if text := self._decoder.decode(code_units(records[: count.value])):
                    return text
            return ""

        @property
        def signals_interrupt(self) -> bool:
            """Whether Ctrl-C is a signal (ENABLE_PROCESSED_INPUT), and not only a character."""
            mode = wintypes.DWORD()
            self._kernel.GetConsoleMode(self._handle, ctypes.byref(mode))
            return bool(mode.value & _ENABLE_PROCESSED_INPUT)

        def close(self) -> None:
            """Close the handle."""
            self._kernel.CloseHandle(self._handle)
            self._handle = wintypes.HANDLE(None)

        def discard(self) -> None:
            """Discard what has been typed."""
            self._kernel.FlushConsoleInputBuffer(self._handle)

    def discard() -> None:
        """Discard what has been typed at the console."""
        console = ConsoleInput()
        console.discard()
        console.close()
