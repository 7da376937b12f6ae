"""
Access to the clipboard in a separate process, which can be killed.

The owner of the clipboard may hang, and then so does every program that asks for its content. Usage::

    python -m upstash_helper_tray.dispatch.clipboard_process put|clear [MECHANISM]

The secret, or its digest, comes in on standard input. The only output is the exit code.
"""

from __future__ import annotations

import hashlib
import sys
import time
from typing import Final

import pyperclip

from upstash_helper.system import core_dumps

NOT_COPIED: Final = 3
"""Exit code: the text did not arrive on the clipboard."""
REPLACED: Final = 4
"""Exit code: something else has been copied since, so the clipboard was not cleared."""

_COPY_SECONDS: Final = 1.0


def put(text: str) -> int:
    """Copy ``text`` to the clipboard, and verify that it is there: the programs that do it fail silently."""
    pyperclip.copy(text)
    deadline = time.monotonic() + _COPY_SECONDS
    # xclip returns before the X server knows the new owner.
    while pyperclip.paste() != text:
        if time.monotonic() >= deadline:
            return NOT_COPIED
        time.sleep(0.02)
    return 0


def clear(expected: str) -> int:
    """Empty the clipboard if the digest of its content is the expected one."""
    if digest(pyperclip.paste()) != expected:
        return REPLACED
    pyperclip.copy("")
    return 0


def digest(text: str) -> str:
    """Return a digest that recognizes ``text``. The secrets are long and random, so it cannot be reversed."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def main(arguments: list[str]) -> int:
    """Do the job, and return the exit code."""
    core_dumps.disable()
    job, *mechanism = arguments
    if mechanism:
        pyperclip.set_clipboard(mechanism[0])
    stdin = sys.stdin.buffer.read().decode()
    return put(stdin) if job == "put" else clear(stdin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
