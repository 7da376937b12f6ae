"""
The report of ``doctor``: one text that a person can read through before it is sent to anybody.

Everything in it goes through ``redaction``; nothing is read for it that holds a secret, but for what is known to be one
and is looked for in the rest.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from upstash_helper import __version__
from upstash_helper.cli.doctor.redaction import GONE, Redactor
from upstash_helper.cli.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from upstash_helper.cli.doctor.check import CheckResult
    from upstash_helper.cli.doctor.context import DoctorContext

LOG_LINES: Final = 200
_LOG_BYTES: Final = 256_000
"""Of the end of a log, which is read at most: a line has some hundreds."""
_LONGEST_LINE: Final = 4000

_PREFACE: Final = (
    "Secrets, e-mail addresses, and the names of databases' hosts, of this machine and of its user are left out by a"
    " program, which may have overlooked one: read it before you send it to anybody."
)
_MARKS: Final = {"ok": "✓", "warning": "!", "error": "✗"}
_NAME_OF_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9._-]+")


def text_of(context: DoctorContext, results: Sequence[CheckResult]) -> str:
    """Return the report."""
    redactor = redactor_for(context)
    parts = [
        "# A report of upstash-helper",
        f"Version {__version__}, written {time.strftime('%Y-%m-%d %H:%M:%S %z')}. {_PREFACE}",
        _section("Checks", _checks(results), redactor),
        _section("Versions", _versions(), redactor),
        _section("Settings", _settings(context), redactor),
        _section("Daemon", _daemon(context, redactor), redactor),
        _section(f"The end of {context.folders.log_file.name}", _log(context.folders.log_file, redactor), redactor),
        _section("The end of start.log", _log(context.folders.logs / "start.log", redactor), redactor),
    ]
    return "\n\n".join(parts) + "\n"


def write(place: Path, text: str, *, force: bool) -> None:
    """
    Write the report to a file that this user alone can read.

    Args:
        place: The file.
        text: The report.
        force: Replace what is there.

    Raises:
        FileExistsError: If something is there, and ``force`` does not say that it may be replaced.
        OSError: If it cannot be written.
    """
    data = text.encode("utf-8", "replace")
    if force:
        from upstash_helper.system import token_files

        token_files.write(place, data)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(place, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except BaseException:
        place.unlink(missing_ok=True)  # half a report would look like a whole one
        raise


def redactor_for(context: DoctorContext) -> Redactor:
    """Return what takes out of a text what is not for others, with what is known of this machine and this user."""
    user = ""
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    home = ""
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
    return Redactor(home=home, user=user, host=platform.node(), known=dict(_known(context)))


def _known(context: DoctorContext) -> Iterator[tuple[str, str]]:
    from upstash_helper.protocol import discovery
    from upstash_helper.protocol.errors import ClientError

    if context.settings.client_id:
        yield context.settings.client_id, _shortened(context.settings.client_id)
    with contextlib.suppress(ClientError):
        found = discovery.read(context.folders.runtime)
        if found is not None:
            yield found.owner_token, GONE
    status = context.daemon().status
    account = status.connection.account if status else None
    if account is not None:
        name, _, domain = account.email.partition("@")
        yield account.email, f"{name[:1]}***@{domain}"


def _shortened(client_id: str) -> str:
    return f"{client_id[:4]}…"


def _checks(results: Sequence[CheckResult]) -> Iterator[str]:
    for result in results:
        yield f"{_MARKS[result.state]} {result.name}: {result.detail}"
        if result.fix:
            yield f"  → {result.fix}"


def _versions() -> Iterator[str]:
    from importlib import metadata

    yield f"Python {platform.python_version()} ({platform.python_implementation()}), {sys.platform}"
    yield ssl.OPENSSL_VERSION
    try:
        required = metadata.requires("upstash-helper") or []
    except metadata.PackageNotFoundError:
        yield "upstash-helper is not installed as a package here, so what it needs is not known"
        return
    names = {match[0] for line in required if (match := _NAME_OF_REQUIREMENT.match(line))}
    for name in sorted(names, key=str.lower):
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name}: not installed"


def _settings(context: DoctorContext) -> Iterator[str]:
    if context.world is None:
        yield f"They cannot be used: {context.settings_error}"
        return
    yield f"profile = {context.world.profile}"
    for key, value in msgspec.structs.asdict(context.settings).items():
        said = _shortened(value) if key == "client_id" and value else msgspec.json.encode(value).decode()
        yield f"{key} = {said}    (from: {context.world.sources.get(key, 'default')})"


def _daemon(context: DoctorContext, redactor: Redactor) -> Iterator[str]:
    answer = context.daemon()
    if answer.status is None:
        yield f"No answer. {answer.error or ''}"
        return
    told = redactor.value(msgspec.to_builtins(answer.status))
    yield from msgspec.json.format(msgspec.json.encode(told), indent=2).decode().splitlines()


def _log(file: Path, redactor: Redactor) -> Iterator[str]:
    try:
        with file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(log.tell() - _LOG_BYTES, 0))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        yield "There is none."
        return
    except OSError as error:
        yield f"It cannot be read: {error.strerror}"
        return
    for line in text.splitlines()[-LOG_LINES:]:
        yield _line(line, redactor)


def _line(line: str, redactor: Redactor) -> str:
    """Return a line of the log without secrets; its fields are seen to one by one, so that no escape hides anything."""
    try:
        fields: Any = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return line
    return msgspec.json.encode(redactor.value(fields)).decode()


def _section(title: str, lines: Iterator[str], redactor: Redactor) -> str:
    """Return a section whose lines are shown as they are: what a log holds is neither a heading nor a link."""
    # Cut after what is secret is out: half a secret has no form to be known by.
    cleaned = [shown(redactor.text(line))[:_LONGEST_LINE] for line in lines]
    body = "\n".join(cleaned) or "Nothing."
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", body)), 3)
    return f"## {redactor.text(title)}\n\n{fence}text\n{body}\n{fence}"
