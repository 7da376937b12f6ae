"""
The standard streams of our programs: what a terminal cannot show is replaced, and a failure to write is one sentence.

Every program calls ``prepare`` before its first output, and handles ``OutputFailed`` where it handles its other errors.
Only the standard library is imported, because the scripts in ``install`` run before any package is installed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Final, TextIO, cast

BROKEN_PIPE: Final = 141
"""The exit code after the reader of a pipe has gone: 128 + SIGPIPE, as a shell reports it for other programs."""
_FAILED: Final = 1

_HANDLER: Final = "upstash_helper.replace"

# What we print ourselves. Everything else is escaped, as in Python: another letter could make two names look the same.
_SUBSTITUTES: Final = {
    "✓": "ok",
    "✗": "XX",
    "→": "->",
    "…": "...",
    "–": "-",
    "—": "-",
    "·": "-",
    "•": "*",
    "“": '"',
    "”": '"',
    "‘": "'",  # noqa: RUF001 - a quotation mark
    "’": "'",
    "\N{NO-BREAK SPACE}": " ",
    "\N{REPLACEMENT CHARACTER}": "?",
}


class OutputFailed(Exception):
    """Standard output cannot be written. ``str()`` is a sentence for the user."""

    def __init__(self, error: OSError) -> None:
        """
        Args:
            error: Why.
        """
        closed = error.errno == errno.EBADF
        reason = "it is closed" if closed else (error.strerror or "unknown error")
        super().__init__(f"The result cannot be written to standard output: {reason}.")
        self.reader_gone: Final = is_closed_pipe(error)
        """Whether a pipe's reader has gone (``| head``), which is not an error."""
        self.exit_code: Final = BROKEN_PIPE if self.reader_gone else _FAILED


def is_closed_pipe(error: OSError, *, platform: str = sys.platform) -> bool:
    """Return whether the reader of a pipe has gone. Windows reports EINVAL for that, or EPIPE, or ERROR_NO_DATA."""
    return isinstance(error, BrokenPipeError) or (platform == "win32" and error.errno == errno.EINVAL)


def prepare() -> None:
    """
    Prepare the standard streams of this process. Calling it again changes nothing.

    - A character that the encoding of stdout or stderr does not have is replaced with ASCII.
    - If stdout cannot be written, the first write raises ``OutputFailed``. A failure to write stderr is ignored: there
      is no place left to report it.
    - Arguments are read as UTF-8 if they are not in the encoding of the locale, such as ASCII (``LC_ALL=C``).
    - A stream that is closed (``>&-``) is opened on the null device, so that no file or socket gets its number. A
      closed stdin has no input. Writing to a closed stdout raises ``OutputFailed``.
    """
    codecs.register_error(_HANDLER, _replace)
    sys.argv = [_argument(one) for one in sys.argv]
    missing = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
    if any(missing) and not _has_no_console():
        _occupy_closed()
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - for as long as the process lives
    closed = missing[1] and not _has_no_console()
    sys.stdout = _prepared(sys.stdout, sys.__stdout__, _Output, closed=closed)
    sys.stderr = _prepared(sys.stderr, sys.__stderr__, _Diagnostics, closed=False)


def is_terminal(stream: TextIO | None, *, has_console: Callable[[int], bool] | None = None) -> bool:
    """
    Return whether a person is at the other end of a stream. Never raises.

    Args:
        stream: A standard stream; None: it is closed.
        has_console: Returns whether a file descriptor is a console. By default Windows' answer: ``isatty`` there is
            true for every character device, including the null device ``NUL`` and serial ports. Elsewhere, ``isatty``
            asks the driver, and is false for ``/dev/null``.
    """
    try:
        if stream is None or not stream.isatty():
            return False
        return (has_console or _has_console)(stream.fileno())
    except (OSError, ValueError):  # it has been closed
        return False


if sys.platform == "win32":

    def _has_console(descriptor: int) -> bool:
        # GetConsoleMode in Microsoft's Console API.
        import ctypes
        import msvcrt
        from ctypes import wintypes

        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        return bool(ctypes.WinDLL("kernel32").GetConsoleMode(handle, ctypes.byref(wintypes.DWORD())))

else:

    def _has_console(descriptor: int) -> bool:
        return os.isatty(descriptor)


def write_missing_stderr_to(open_file: Callable[[], int]) -> None:
    """
    If this process was started without standard error, as Task Scheduler starts ``pythonw``, write it to a file.

    Otherwise nobody would see why a program has ended: it prints an error message or a traceback there.

    Args:
        open_file: Opens the file for writing, and returns its descriptor. If it fails, nothing changes.
    """
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    if isinstance(raw, _Diagnostics) and raw.discarded:
        with contextlib.suppress(OSError):
            sys.stderr = _text_on(_Diagnostics(open_file(), "w"), "utf-8", line_buffering=True)


def exit_code_of(failure: OutputFailed) -> int:
    """Report that the output could not be written, unless the reader of a pipe has gone, and return the exit code."""
    if not failure.reader_gone:
        sys.stderr.write(f"Error: {failure}\n")
        sys.stderr.flush()
    return failure.exit_code


def run(main: Callable[[], int]) -> int:
    """Run ``main`` with prepared streams. Return its exit code, or that of output that cannot be written."""
    prepare()
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()  # argparse and click end with SystemExit
    except OutputFailed as failure:
        return exit_code_of(failure)


def write_utf8(data: bytes, *, to_stderr: bool = False) -> None:
    """
    Write bytes, such as JSON, which is UTF-8 whatever the encoding of the terminal (RFC 8259, section 8.1).

    Raises:
        OutputFailed: If stdout cannot be written.
    """
    stream = sys.stderr if to_stderr else sys.stdout
    stream.flush()
    stream.buffer.write(data)
    stream.flush()


@contextlib.contextmanager
def unix_lines() -> Iterator[None]:
    """Write lines to stdout with LF on Windows, too."""
    reconfigure = getattr(sys.stdout, "reconfigure", lambda **_: None)  # a program may have put another stream there
    reconfigure(newline="\n")
    try:
        yield
    finally:
        reconfigure(newline=None)


# --- streams ----------------------------------------------------------------------------------------------------------


class _Output(io.FileIO):
    """Standard output. After the first failure nothing more is written, so that the flush at exit cannot fail again."""

    failed: OSError | None = None
    done = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write ``data``, or raise ``OutputFailed``, once."""
        if self.done:
            return len(data)
        try:
            if self.failed is not None:
                raise self.failed
            return super().write(data)
        except OSError as error:
            self.done = True
            raise OutputFailed(error) from None

    def flush(self) -> None:
        """There is no buffer here."""


class _Diagnostics(io.FileIO):
    """Standard error. What cannot be written is dropped."""

    discarded = False
    """Whether it is the null device in place of a stream that is missing."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write ``data`` if that is possible."""
        try:
            return super().write(data)
        except OSError:
            return len(data)

    def flush(self) -> None:
        """There is no buffer here."""


class _Text(io.TextIOWrapper):
    """A text stream on a terminal that only has ASCII."""

    def write(self, text: str, /) -> int:
        """Write ``text``, with everything beyond ASCII replaced."""
        super().write(text.encode("ascii", _HANDLER).decode("ascii"))
        return len(text)


def _prepared(
    stream: TextIO | None, original: TextIO | None, kind: type[_Output | _Diagnostics], *, closed: bool
) -> TextIO:
    if stream is None:
        raw = kind(os.open(os.devnull, os.O_WRONLY), "w")
        if isinstance(raw, _Diagnostics):
            raw.discarded = True
        if closed and isinstance(raw, _Output):
            raw.failed = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return _text_on(raw, "utf-8", line_buffering=True)
    buffer = getattr(stream, "buffer", None)
    raw_now = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is no buffer in between
    if isinstance(raw_now, _Output | _Diagnostics):
        return stream
    if stream is not original or type(raw_now) is not io.FileIO:
        # A Windows console, which shows every character, or a stream that a program has put in its place.
        with contextlib.suppress(AttributeError, ValueError):
            cast("io.TextIOWrapper", stream).reconfigure(errors=_HANDLER)
        return stream
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    raw = kind(stream.fileno(), "w", closefd=False)
    by_line = is_terminal(stream) or raw_now is buffer or kind is _Diagnostics
    return _text_on(raw, stream.encoding or "ascii", line_buffering=by_line)


def _text_on(raw: _Output | _Diagnostics, encoding: str, *, line_buffering: bool) -> TextIO:
    buffer = io.BufferedWriter(cast("io.RawIOBase", raw))
    if codecs.lookup(encoding).name != "ascii":
        return io.TextIOWrapper(buffer, encoding, _HANDLER, line_buffering=line_buffering)
    # click takes "ascii" for a mistake and writes UTF-8 past such a stream. Everything here is ASCII, and thus Latin-1.
    return _Text(buffer, "latin-1", _HANDLER, line_buffering=line_buffering)


def _argument(argument: str) -> str:
    """Return an argument with bytes that Python could not decode, decoded as UTF-8 if they are UTF-8."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeError):
            return os.fsencode(argument).decode("utf-8")
    return argument


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_substitute(one) for one in error.object[error.start : error.end]), error.end


def _substitute(character: str) -> str:
    return _SUBSTITUTES.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")


# --- closed streams ---------------------------------------------------------------------------------------------------


def _has_no_console() -> bool:
    """Return whether this is ``pythonw``, which has no streams by design."""
    return sys.platform == "win32" and sys.executable.lower().endswith("pythonw.exe")


def _occupy_closed() -> None:
    """Open the null device for each of the descriptors 0 to 2 that is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, which is this one. It is not inherited: a program that replaces this one finds the
            # stream closed as well.
            os.open(os.devnull, os.O_RDWR)
