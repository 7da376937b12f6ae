"""
Lua scripts with the flag ``allow-key-locking``, which only Upstash supports.

Upstash's rate limiters begin each script with ``#!lua flags=allow-key-locking``. The flag is removed before the server
sees the script. Clients call it by the SHA-1 of the text with the flag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from upstash_helper.sandbox.redis.dialect.translation import MAX_SCRIPTS, Dialect, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply

FLAG = b"allow-key-locking"
NO_SCRIPT = b"NOSCRIPT No matching script. Please use EVAL."


def without_flag(script: bytes) -> bytes:
    """
    Return the script without the flag. The numbers of its lines do not change.

    If the first line has nothing else, it is left empty. With only ``#!lua``, the server would be stricter than
    Upstash: EVAL_RO could not run the script.
    """
    line, newline, code = script.partition(b"\n")
    if not line.startswith(b"#!") or FLAG not in line:
        return script
    engine, *options = line.split()
    kept = []
    for option in options:
        name, equals, value = option.partition(b"=")
        if name == b"flags" and equals:
            flags = [flag for flag in value.split(b",") if flag != FLAG]
            if flags:
                kept.append(b"flags=" + b",".join(flags))
        else:
            kept.append(option)
    first = b" ".join([engine, *kept]) if kept or engine.lower() != b"#!lua" else b""
    return first + newline + code


def translate_eval(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate EVAL and EVAL_RO."""
    if len(command) < 3:
        return None
    name, script, *rest = command
    translated = _remember(script, dialect)
    return None if translated is script else Translation((name, translated, *rest))


def translate_evalsha(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate EVALSHA and EVALSHA_RO."""
    if len(command) < 3:
        return None
    name, sha, *rest = command
    known = dialect.scripts.get(sha.lower())
    if known is None:
        return Translation(tuple(command), _with_upstash_text)
    return None if known == sha else Translation((name, known, *rest))


def translate_script(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate SCRIPT LOAD, EXISTS, SHOW, and FLUSH."""
    if len(command) < 2:
        return None
    subcommand = command[1].lower()
    if subcommand == b"load" and len(command) == 3:
        script = command[2]
        translated = _remember(script, dialect)
        if translated is script:
            return None
        sha = _sha1(script)
        return Translation((*command[:2], translated), lambda reply: sha if isinstance(reply, bytes) else reply)
    if subcommand in {b"exists", b"show"}:
        return Translation((*command[:2], *(dialect.scripts.get(sha.lower(), sha) for sha in command[2:])))
    if subcommand == b"flush":
        return Translation(tuple(command), _forgetting(dialect))
    return None


def _forgetting(dialect: Dialect) -> Callable[[Reply], Reply]:
    """Return what forgets all scripts once the server has done so: not every user may make it."""

    def convert(reply: Reply) -> Reply:
        if not isinstance(reply, ErrorReply):
            dialect.forget_scripts()
        return reply

    return convert


def _remember(script: bytes, dialect: Dialect) -> bytes:
    """Return what the server gets in place of the script: the same object if it needs no change."""
    translated = without_flag(script)
    sha = _sha1(script)
    dialect.scripts[sha] = sha if translated is script else _sha1(translated)
    dialect.scripts.move_to_end(sha)
    if len(dialect.scripts) > MAX_SCRIPTS:
        dialect.scripts.popitem(last=False)
    return translated


def _with_upstash_text(reply: Reply) -> Reply:
    """Complete the server's shorter text, which some clients compare."""
    no_script = isinstance(reply, ErrorReply) and reply.text.startswith(b"NOSCRIPT")
    return ErrorReply(NO_SCRIPT) if no_script else reply


def _sha1(script: bytes) -> bytes:
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
