"""
The report of ``doctor``: one text file, which its user can read before sharing it.

Everything in it is redacted. The only secrets that are read for it are those that are then removed from the rest.
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
from upstash_helper.cli.output import printable
from upstash_helper.system import open_files
from upstash_helper.system.redaction import REDACTED, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from upstash_helper.cli.doctor.check import CheckResult
    from upstash_helper.cli.doctor.context import DoctorContext

LOG_LINES: Final = 200
_LOG_BYTES: Final = 256_000
"""How much of the end of a log is read. A line has some hundred bytes."""
_MAX_LINE: Final = 4000

_PREFACE: Final = (
    "Secrets, email addresses, database hosts, and the names of this machine and its user were removed automatically."
    " That may have missed some, so check the report before you share it."
)
_MARKS: Final = {"ok": "✓", "warning": "!", "error": "✗"}
_REQUIREMENT_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def report_text(context: DoctorContext, results: Sequence[CheckResult]) -> str:
    """Return the report."""
    redactor = redactor_for(context)
    parts = [
        "# upstash-helper report",
        f"Version {__version__}, written {time.strftime('%Y-%m-%d %H:%M:%S %z')}. {_PREFACE}",
        _section("Checks", _checks(results), redactor),
        _section("Versions", _versions(), redactor),
        _section("Settings", _settings(context), redactor),
        _section("Daemon", _daemon(context, redactor), redactor),
        _section(f"Last lines of {context.folders.log_file.name}", _log(context.folders.log_file, redactor), redactor),
        _section("Last lines of start.log", _log(context.folders.start_log, redactor), redactor),
    ]
    return "\n\n".join(parts) + "\n"


def write_report(path: Path, text: str, *, force: bool) -> None:
    """
    Write the report to a file that only this user can read.

    Args:
        path: The file.
        text: The report.
        force: Replace an existing file.

    Raises:
        FileExistsError: If it exists and ``force`` is false.
        OSError: If it cannot be written.
    """
    from upstash_helper.system import private_files

    data = text.encode("utf-8", "replace")
    if force:
        private_files.write(path, data)
    else:
        private_files.create(path, data)


def redactor_for(context: DoctorContext) -> Redactor:
    """Return a redactor that knows this machine, this user, and the secrets of this profile."""
    user = ""
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    home = ""
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
    return Redactor(home=home, user=user, host=platform.node(), known=dict(_known_secrets(context)))


def _known_secrets(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield secrets, and other values that must not be shared, with their replacements."""
    from urllib.parse import unquote, urlsplit
    from urllib.request import getproxies

    from upstash_helper.protocol import discovery
    from upstash_helper.protocol.errors import ClientError

    for proxy in (*getproxies().values(), context.settings.https_proxy or ""):
        with contextlib.suppress(ValueError):
            password = urlsplit(proxy if "//" in proxy else f"//{proxy}").password
            if password:
                yield unquote(password), REDACTED
    if context.settings.client_id:
        yield context.settings.client_id, _shortened(context.settings.client_id)
    with contextlib.suppress(ClientError):
        found = discovery.read(context.folders.runtime)
        if found is not None:
            yield found.owner_token, REDACTED
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
        yield "upstash-helper is not installed as a package, so its requirements are unknown"
        return
    names = {match[0] for line in required if (match := _REQUIREMENT_NAME.match(line))}
    for name in sorted(names, key=str.lower):
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name}: not installed"


def _settings(context: DoctorContext) -> Iterator[str]:
    from upstash_helper.system.proxies import without_password

    if context.profile is None:
        yield f"The settings are invalid: {context.settings_error}"
        return
    yield f"profile = {context.profile.name}"
    for key, value in msgspec.structs.asdict(context.settings).items():
        shown = without_password(value) if key == "https_proxy" and value else value
        text = _shortened(value) if key == "client_id" and value else msgspec.json.encode(shown).decode()
        yield f"{key} = {text}    (from: {context.profile.sources.get(key, 'default')})"


def _daemon(context: DoctorContext, redactor: Redactor) -> Iterator[str]:
    answer = context.daemon()
    if answer.status is None:
        yield f"No response. {answer.error or ''}"
        return
    status = redactor.value(msgspec.to_builtins(answer.status))
    yield from msgspec.json.format(msgspec.json.encode(status), indent=2).decode().splitlines()


def _log(file: Path, redactor: Redactor) -> Iterator[str]:
    try:
        with open_files.open_shared(file) as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(log.tell() - _LOG_BYTES, 0))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        yield "The file does not exist."
        return
    except OSError as error:
        yield f"The file cannot be read: {error.strerror}"
        return
    for line in text.splitlines()[-LOG_LINES:]:
        yield _line(line, redactor)


def _line(line: str, redactor: Redactor) -> str:
    """Return a line of the log, redacted field by field: JSON escapes could hide a secret from the patterns."""
    try:
        fields: Any = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return line
    return msgspec.json.encode(redactor.value(fields)).decode()


def _section(title: str, lines: Iterator[str], redactor: Redactor) -> str:
    """Return a section with its lines in a code block, so that nothing in a log becomes a heading or a link."""
    # Truncated after redaction: half a secret would match no pattern.
    cleaned = [printable(redactor.text(line))[:_MAX_LINE] for line in lines]
    body = "\n".join(cleaned) or "(empty)"
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", body)), 3)
    return f"## {redactor.text(title)}\n\n{fence}text\n{body}\n{fence}"
