"""
Which Redis commands need the user's confirmation, and which cannot run through the daemon.

The confirmation protects against mistakes, not against an agent that wants to destroy data: an agent with
databases:commands may delete keys one at a time. It is required if a call deletes or replaces more than ``MANY_KEYS``
keys with commands that take several (DEL, UNLINK, MSET, JSON.MSET, MSETEX), or if a command

- deletes all keys (FLUSHALL, FLUSHDB);
- deletes or replaces functions (FUNCTION FLUSH, DELETE, RESTORE, LOAD REPLACE), or an index (SEARCH.DROP,
  FT.DROPINDEX);
- runs a script or a function that may write (EVAL, EVALSHA, FCALL). A script can do all of the above without showing
  it: it can compose the name of a command, and EVALSHA and FCALL have no text. Redis itself keeps EVAL_RO, EVALSHA_RO,
  and FCALL_RO from writing, so these need no confirmation;
- changes who can connect to the database (ACL SETUSER, DELUSER, RESTTOKEN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Command

MANY_KEYS: Final = 50

DESTROYS: Final = {
    "FLUSHALL": "deletes all keys",
    "FLUSHDB": "deletes all keys",
    "FUNCTION FLUSH": "deletes all functions",
    "FUNCTION DELETE": "deletes functions",
    "FUNCTION RESTORE": "can replace functions",
    "FUNCTION LOAD REPLACE": "replaces functions",
    "SEARCH.DROP": "deletes a search index",
    "FT.DROPINDEX": "deletes a search index",
    "EVAL": "runs a script, which can change and delete any data",
    "EVALSHA": "runs a script, which can change and delete any data",
    "FCALL": "runs a function, which can change and delete any data",
    "ACL SETUSER": "changes who can connect to the database",
    "ACL DELUSER": "changes who can connect to the database",
    "ACL RESTTOKEN": "creates a token for the database",
}
"""What commands do to the database. Each text is shown in full in questions, so it is short."""
DELETING: Final = frozenset({"DEL", "UNLINK"})
"""Commands that delete the keys in their arguments."""
REPLACING: Final = {"MSET": 2, "JSON.MSET": 3, "MSETEX": 2}
"""
Commands that replace the values of several keys, each of which has this many arguments. Whether a key exists is not
known here. MSETNX is not one of them: it sets keys only if none exists.
"""
MANY: Final = (*sorted(DELETING), *REPLACING)
"""Commands that delete or replace several keys."""
_CREDENTIALS: Final = frozenset({"ACL GETUSER", "ACL LIST", "ACL RESTTOKEN", "ACL SETUSER"})
"""Commands that show, create, or replace passwords and tokens."""

_BLOCKING: Final = frozenset(
    ["BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "WAIT", "WAITAOF"]
)
_LISTENING: Final = frozenset(
    ["MONITOR", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE"]
)
_TRANSACTIONS: Final = frozenset({"DISCARD", "EXEC", "MULTI", "UNWATCH", "WATCH"})
_CONNECTION: Final = frozenset(
    ["ASKING", "AUTH", "CLIENT", "HELLO", "PSYNC", "QUIT", "READONLY", "READWRITE", "RESET", "SELECT", "SYNC"]
)
_WITH_SUBCOMMAND: Final = frozenset({"ACL", "FUNCTION"})


def name_of(command: Command) -> str:
    """Return a command's name in upper case, with its subcommand and option if these determine what it does."""
    name = str(command[0]).strip().upper()
    if name in _WITH_SUBCOMMAND and len(command) > 1:
        name += f" {str(command[1]).strip().upper()}"
    if name == "FUNCTION LOAD" and len(command) > 2 and str(command[2]).strip().upper() == "REPLACE":
        name += " REPLACE"
    return name


def to_confirm(commands: tuple[Command, ...]) -> list[tuple[Command, str]]:
    """Return the commands that the user has to confirm, with what they do, as in "FLUSHALL deletes all keys"."""
    deleted = sum(len(keys_of(command)) for command in commands if name_of(command) in DELETING)
    replaced = sum(len(keys_of(command)) for command in commands if name_of(command) in REPLACING)
    found = []
    for command in commands:
        name = name_of(command)
        effect = DESTROYS.get(name)
        if name in DELETING and deleted + replaced > MANY_KEYS:
            effect = f"deletes keys, {deleted} in all"
        if name in REPLACING and deleted + replaced > MANY_KEYS:
            effect = f"replaces the values of keys, {replaced} in all"
        if effect is not None:
            found.append((command, f"{name} {effect}"))
    return found


def keys_of(command: Command) -> tuple[str | int | float, ...]:
    """Return the keys that a command of ``MANY`` deletes or replaces; nothing of other commands."""
    name = name_of(command)
    if name == "MSETEX":
        # The number of keys comes before them, and options after them. A number that is not one replaces nothing.
        count = str(command[1]) if len(command) > 1 else ""
        last = 2 + 2 * int(count) if count.isascii() and count.isdecimal() and len(count) < 9 else 2
        return command[2:last:2]
    if name in DELETING:
        return command[1:]
    return command[1 :: REPLACING[name]] if name in REPLACING else ()


def is_about_credentials(command: Command) -> bool:
    """Return whether a command shows, creates, or replaces passwords or tokens of the database."""
    return name_of(command) in _CREDENTIALS


def obstacle(command: Command) -> str | None:
    """Return why a command cannot run through the daemon, and what to do instead; None if it can."""
    name = name_of(command)
    if len(command) == 1 and " " in name:
        return 'Send each argument as a separate item: ["SET", "key", "value"], not ["SET key value"].'
    if name in _BLOCKING or _waits(name, command):
        return f"{name} blocks the connection. {_ONLY_TCP} Here, use commands that do not block."
    if name in _LISTENING:
        return f"{name} receives messages over an open connection. {_ONLY_TCP}"
    if name in _TRANSACTIONS:
        return f"{name} applies to a connection. {_ONLY_TCP} Here, you can send several commands in one call."
    if name in _CONNECTION:
        return f"{name} applies to a connection. {_ONLY_TCP} Here, the daemon connects and authenticates for you."
    return None


_ONLY_TCP: Final = (
    "This tool cannot run it. It requires a Redis client that uses REDIS_URL, which env_write can write to a project."
)


def _waits(name: str, command: Command) -> bool:
    """Return whether a command is XREAD or XREADGROUP with the option BLOCK, which comes before the keys."""
    if name not in {"XREAD", "XREADGROUP"}:
        return False
    options = [str(argument).upper() for argument in command[1:]]
    if name == "XREADGROUP":
        options = options[3:]  # GROUP, and the names of the group and the consumer
    before_keys = options[: options.index("STREAMS")] if "STREAMS" in options else options
    return "BLOCK" in before_keys


def how_to_get_the_rest(command: Command) -> str:
    """Return how to read a value that is too long for one reply."""
    return _PARTS.get(name_of(command), "Ask for less at a time.")


_SCANS: Final = {"HGETALL": "HSCAN", "HKEYS": "HSCAN", "HVALS": "HSCAN", "SMEMBERS": "SSCAN", "KEYS": "SCAN"}
_PARTS: Final = {
    **{name: f"Read it in parts with {scan} and COUNT." for name, scan in _SCANS.items()},
    **dict.fromkeys(("SCAN", "HSCAN", "SSCAN", "ZSCAN"), "Repeat it with a smaller COUNT."),
    **dict.fromkeys(("XRANGE", "XREVRANGE", "XREAD"), "Repeat it with COUNT, and continue from the last ID."),
    "GET": "Read it in parts with GETRANGE.",
    "LRANGE": "Read smaller ranges.",
    "ZRANGE": "Read smaller ranges.",
    "MGET": "Read fewer keys at a time.",
    "JSON.GET": "Read part of it with a path.",
}
