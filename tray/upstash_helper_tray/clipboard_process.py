"""
The clipboard, in a process of its own: ``python -m upstash_helper_tray.clipboard_process put|clear [MECHANISM]``.

Whoever owns the clipboard may hang, and with it whoever asks for its content; a process can be ended then. What is
secret comes in on standard input, and nothing goes out but the exit code.
"""

from __future__ import annotations

import hashlib
import sys
import time
from typing import Final

import pyperclip

NOT_THERE: Final = 3
"""What was put is not on the clipboard."""
NOT_OURS: Final = 4
"""Something else is on it by now, and stays."""

_SHOWN_SECONDS: Final = 1.0


def put(text: str) -> int:
    """Put ``text`` on the clipboard, and see that it is there: the programs that do it fail silently."""
    pyperclip.copy(text)
    deadline = time.monotonic() + _SHOWN_SECONDS
    # xclip returns before the server knows the new owner.
    while pyperclip.paste() != text:
        if time.monotonic() >= deadline:
            return NOT_THERE
        time.sleep(0.02)
    return 0


def clear(digest: str) -> int:
    """Empty the clipboard if what is on it has this digest."""
    if digest_of(pyperclip.paste()) != digest:
        return NOT_OURS
    pyperclip.copy("")
    return 0


def digest_of(text: str) -> str:
    """Return by what a text is known again. What is put is long and random: nobody finds it out from this."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def main(arguments: list[str]) -> int:
    """Do the job, and return the exit code."""
    job, *mechanism = arguments
    if mechanism:
        pyperclip.set_clipboard(mechanism[0])
    given = sys.stdin.buffer.read().decode()
    return put(given) if job == "put" else clear(given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
