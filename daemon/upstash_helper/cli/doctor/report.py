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

    from upstash_helper.cli.doctor.check import Finding
    from upstash_helper.cli.doctor.context import Facts

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


def text_of(facts: Facts, findings: Sequence[Finding]) -> str:
    """Return the report."""
    redactor = redactor_for(facts)
    parts = [
        "# A report of upstash-helper",
        f"Version {__version__}, written {time.strftime('%Y-%m-%d %H:%M:%S %z')}. {_PREFACE}",
        _section("Checks", _checks(findings), redactor),
        _section("Versions", _versions(), redactor),
        _section("Settings", _settings(facts), redactor),
        _section("Daemon", _daemon(facts, redactor), redactor),
        _section(f"The end of {facts.folders.log_file.name}", _log(facts.folders.log_file, redactor), redactor),
        _section("The end of start.log", _log(facts.folders.logs / "start.log", redactor), redactor),
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
    from upstash_helper.system import private_files

    data = text.encode("utf-8", "replace")
    if force:
        private_files.write(place, data)
    else:
        private_files.create(place, data)


def redactor_for(facts: Facts) -> Redactor:
    """Return what takes out of a text what is not for others, with what is known of this machine and this user."""
    user = ""
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    home = ""
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
    return Redactor(home=home, user=user, host=platform.node(), known=dict(_known(facts)))


def _known(facts: Facts) -> Iterator[tuple[str, str]]:
    from upstash_helper.protocol import discovery
    from upstash_helper.protocol.errors import ClientError

    if facts.settings.client_id:
        yield facts.settings.client_id, _shortened(facts.settings.client_id)
    with contextlib.suppress(ClientError):
        found = discovery.read(facts.folders.runtime)
        if found is not None:
            yield found.owner_token, GONE
    status = facts.daemon().status
    account = status.connection.account if status else None
    if account is not None:
        name, _, domain = account.email.partition("@")
        yield account.email, f"{name[:1]}***@{domain}"


def _shortened(client_id: str) -> str:
    return f"{client_id[:4]}…"


def _checks(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{_MARKS[finding.state]} {finding.name}: {finding.detail}"
        if finding.fix:
            yield f"  → {finding.fix}"


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


def _settings(facts: Facts) -> Iterator[str]:
    if facts.world is None:
        yield f"They cannot be used: {facts.settings_error}"
        return
    yield f"profile = {facts.world.profile}"
    for key, value in msgspec.structs.asdict(facts.settings).items():
        said = _shortened(value) if key == "client_id" and value else msgspec.json.encode(value).decode()
        yield f"{key} = {said}    (from: {facts.world.sources.get(key, 'default')})"


def _daemon(facts: Facts, redactor: Redactor) -> Iterator[str]:
    answer = facts.daemon()
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
