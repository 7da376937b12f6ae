"""Keys at a console of Windows."""

from __future__ import annotations

import ctypes
import sys

from upstash_helper.system.console_input import InputRecord, code_units

KEY, FOCUS = 1, 16
ALT = 0x12


def typed(text: str) -> list[InputRecord]:
    """Return the records of keys that are pressed and released."""
    units = text.encode("utf-16-le")
    pairs = [int.from_bytes(units[at : at + 2], "little") for at in range(0, len(units), 2)]
    return [InputRecord(KEY, down, 1, 0, 0, unit, 0) for unit in pairs for down in (True, False)]


def test_record_has_the_size_that_windows_uses() -> None:
    """INPUT_RECORD has 20 bytes, and the event begins at the fourth."""
    assert (20, 4, 14) == (ctypes.sizeof(InputRecord), InputRecord.down.offset, InputRecord.character.offset)


def test_text_arrives_as_keys() -> None:
    """Each character once, also one that needs two code units; what is no character is skipped."""
    other = [InputRecord(FOCUS, True, 1, 0, 0, 65, 0), InputRecord(KEY, True, 1, 0x10, 0, 0, 0)]

    assert "http://é😀\r" == code_units([*typed("http://é"), *other, *typed("😀\r")]).decode("utf-16-le")


def test_held_key_and_character_by_number() -> None:
    """A held key is one record with a count; Alt with a number gives its character when Alt is released."""
    held, by_number = InputRecord(KEY, True, 3, 0, 0, ord("x"), 0), InputRecord(KEY, False, 1, ALT, 0, ord("€"), 0)

    assert "xxx€" == code_units([held, by_number]).decode("utf-16-le")


if sys.platform == "win32":
    from upstash_helper.system.console_input import ConsoleInput

    def test_console_that_has_gone_is_the_end_of_the_input() -> None:
        """Otherwise a command would ask for keys forever, without a pause."""
        console = ConsoleInput()
        console.close()

        assert console.read(60.0) is None
