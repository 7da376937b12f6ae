"""
ACL: database users, as at Upstash.

Only the user ``default`` may use the subcommands that manage users. Others get the server's error, and no rule can
grant them these subcommands. The users that the sandbox itself needs are hidden.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence

from upstash_helper.sandbox.redis.dialect import functions
from upstash_helper.sandbox.redis.dialect.permissions import PERMITTED
from upstash_helper.sandbox.redis.dialect.tokens import MAX_NAME_BYTES, UserToken, is_too_weak, parse_token
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply, SimpleString

ADMINISTRATOR = b"sandbox"
"""The user that the sandbox itself uses."""
BUILT_IN = frozenset({b"default", b"default_ro"})
HIDDEN = frozenset({ADMINISTRATOR, b"default_ro"})

# Allowed to the users that may manage users, and only to them. Its reply does not matter.
LIST = (b"ACL", b"USERS")

FLAGS = frozenset(b"on off reset resetpass resetkeys resetchannels allkeys allchannels allcommands nocommands".split())
# Without @write and @keyspace, which contain MIGRATE.
HARMLESS_CATEGORIES = frozenset(
    b"read string hash list set sortedset stream bitmap hyperloglog geo json search pubsub transaction"
    b" scripting blocking".split()
)
GETUSER_FIELDS = (b"flags", b"passwords", b"commands", b"keys", b"channels")
"""In Upstash's reply to ACL GETUSER. It has no selectors."""

_PLAIN = re.compile(rb"[!#-&(-\[\]-~]+")
_HASH = re.compile(rb"#([0-9a-f]{64})")


def translate_acl(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate ACL.

    Raises:
        Refused: If a rule is not available, or a built-in user would be changed.
    """
    subcommand, arguments = command[1].lower() if len(command) > 1 else b"", list(command[2:])
    translator = _TRANSLATORS.get((subcommand, len(arguments)), _TRANSLATORS.get((subcommand, None)))
    return translator(command, arguments, dialect) if translator else None


def is_listed(line: bytes) -> bool:
    """Return whether a line of ACL LIST is about a user that clients created."""
    return line.split()[1] not in HIDDEN | BUILT_IN


def quoted(line: bytes) -> str:
    """Return a line of ACL LIST as a line of a configuration file."""
    return " ".join(word.decode() if _PLAIN.fullmatch(word) else _escaped(word) for word in line.split(b" "))


def _escaped(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"'


# --- changing users ---------------------------------------------------------------------------------------------------


def _set_user(command: Sequence[bytes], arguments: list[bytes], dialect: Dialect) -> Translation:
    if not arguments:
        return Translation(tuple(command))  # the server's own error
    name, *rules = arguments
    _require_own(name, "modified")
    for rule in rules:
        if problem := _problem_with(rule, name, dialect):
            raise Refused(b"ERR Error in ACL SETUSER modifier '%b': %b" % (_shown(rule), problem))
    if any(map(_grants_administration, rules)):
        # A script can call MIGRATE, which connects to other servers and is not classified as administrative.
        rules += [b"-@admin", b"-migrate"]
    return Translation((*command[:3], *rules, *functions.acl_rules()), _after_change(dialect))


def _delete_users(command: Sequence[bytes], arguments: list[bytes], dialect: Dialect) -> Translation:
    for name in arguments:
        _require_own(name, "removed")
    return Translation(tuple(command), _after_change(dialect))


def _after_change(dialect: Dialect) -> Callable[[Reply], Reply]:
    def convert(reply: Reply) -> Reply:
        if not isinstance(reply, ErrorReply):
            dialect.users_changed()
        return reply

    return convert


def _require_own(name: bytes, participle: str) -> None:
    if name in BUILT_IN or name == ADMINISTRATOR:
        raise Refused(b"ERR The '%b' user cannot be %b" % (name, participle.encode()))


def _problem_with(rule: bytes, user: bytes, dialect: Dialect) -> bytes:
    """Return why a rule is not available, or nothing if it is."""
    kind, value = rule[:1], rule[1:]
    if rule.lower() in FLAGS or kind in {b"~", b"&", b"<", b"!"}:
        return b""
    if kind in {b"+", b"-"}:
        return _problem_with_command(kind, value, dialect)
    token = parse_token(value) if kind == b">" else None
    if token is not None and (token.database_id, token.user) == (dialect.database_id, user):
        return b""
    return {
        b">": b"The password must be a token that ACL GENTOKEN has returned for this user",
        b"#": b"A hashed password is not supported. Use > and a token that ACL GENTOKEN has returned",
        b"n": b"Every user must have a password" if rule.lower() == b"nopass" else b"",
    }.get(kind.lower()) or b"Syntax error"


def _problem_with_command(kind: bytes, name: bytes, dialect: Dialect) -> bytes:
    if b"|" in name:
        return b"Rules for subcommands are not supported"
    if kind == b"+" and _is_administrative(name.lower(), dialect):
        return b"Administrative commands are not available to this user"
    return b""


def _is_administrative(name: bytes, dialect: Dialect) -> bool:
    if name in {b"acl", b"@admin"}:
        return True
    subcommands = {command for command in dialect.restricted if command.partition(b"|")[0] == name}
    return bool(subcommands) and not subcommands & PERMITTED


def _grants_administration(rule: bytes) -> bool:
    """Return whether a rule grants a category that may contain MIGRATE or administrative commands."""
    name = rule.lower()
    return name == b"allcommands" or (name.startswith(b"+@") and name[2:] not in HARMLESS_CATEGORIES)


def _shown(rule: bytes) -> bytes:
    """Return a rule without its secret, and without line breaks, which would end the error."""
    if rule[:1] in {b">", b"<", b"#"}:
        return rule[:1] + b"(password)"
    return rule[:64].replace(b"\r", b" ").replace(b"\n", b" ")


# --- reading users ----------------------------------------------------------------------------------------------------


def _get_user(command: Sequence[bytes], arguments: list[bytes], _dialect: Dialect) -> Translation:
    if arguments[0] in HIDDEN:
        return Translation((*command[:2], b""))  # matches no user
    return Translation(tuple(command), _with_upstash_fields)


def _with_upstash_fields(reply: Reply) -> Reply:
    if not isinstance(reply, list):
        return reply
    pairs = dict(zip(reply[::2], reply[1::2], strict=True))
    commands = pairs.get(b"commands")
    if isinstance(commands, bytes):
        pairs[b"commands"] = functions.without_acl_rules(commands)
    for name in (b"keys", b"channels"):
        patterns = pairs.get(name)
        if isinstance(patterns, bytes):
            pairs[name] = list(patterns.split())
    return [part for name in GETUSER_FIELDS for part in (name, pairs.get(name))]


def _list_users(command: Sequence[bytes], _arguments: list[bytes], _dialect: Dialect) -> Translation:
    return Translation(tuple(command), _without_hidden(lambda line: line.split()[1]))


def _name_users(command: Sequence[bytes], _arguments: list[bytes], _dialect: Dialect) -> Translation:
    return Translation(tuple(command), _without_hidden(lambda name: name))


def _without_hidden(name_in: Callable[[bytes], bytes]) -> Callable[[Reply], Reply]:
    def convert(reply: Reply) -> Reply:
        if not isinstance(reply, list):
            return reply
        shown = (item for item in reply if isinstance(item, bytes) and name_in(item) not in HIDDEN)
        return [functions.without_acl_rules(item) for item in shown]

    return convert


def _dry_run(command: Sequence[bytes], arguments: list[bytes], _dialect: Dialect) -> Translation:
    if arguments and arguments[0] in HIDDEN:
        raise Refused(b"ERR User '%b' not found" % arguments[0])
    return Translation(tuple(command))


# --- Upstash's own subcommands, and those without an effect there -----------------------------------------------------


def _generate_token(_command: Sequence[bytes], arguments: list[bytes], dialect: Dialect) -> Translation:
    name, *passwords = arguments
    _require_own(name, "given a token")
    if not 1 <= len(name) <= MAX_NAME_BYTES or not _is_utf8(name):
        raise Refused(b"ERR A username must have 1 to %d bytes of UTF-8" % MAX_NAME_BYTES)
    if passwords and is_too_weak(passwords[0]):
        raise Refused(b"ERR The password is too weak. Use a longer one with different kinds of characters, or none")
    password = passwords[0] if passwords else secrets.token_urlsafe(24).encode()
    return _answer(UserToken(dialect.database_id, name, password).encode())


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rest_token(_command: Sequence[bytes], arguments: list[bytes], dialect: Dialect) -> Translation:
    name, password = arguments
    wrong = ErrorReply(b'ERR Wrong password or user "%b" does not exist' % _shown(name))
    if len(name) > MAX_NAME_BYTES:
        return _answer(wrong)
    content = parse_token(password)
    token = password if content and content.user == name else UserToken(dialect.database_id, name, password).encode()

    def convert(reply: Reply) -> Reply:
        if not isinstance(reply, list):
            return reply
        lines = [line for line in reply if isinstance(line, bytes) and line.split()[1] == name]
        hashes = set(_HASH.findall(lines[0])) if lines else set()
        if name in BUILT_IN:
            return dialect.rest_token_of(name) or wrong if _sha256(password) in hashes else wrong
        return token if name != ADMINISTRATOR and _sha256(token) in hashes else wrong

    return Translation((b"ACL", b"LIST"), convert)


def _log(_command: Sequence[bytes], arguments: list[bytes], _dialect: Dialect) -> Translation:
    return _answer(SimpleString(b"OK") if arguments and arguments[0].lower() == b"reset" else [])


def _no_effect(_command: Sequence[bytes], _arguments: list[bytes], _dialect: Dialect) -> Translation:
    return _answer(SimpleString(b"OK"))


def _answer(answer: Reply) -> Translation:
    """Return ``answer`` to users that may manage users, and the server's error to others."""
    return Translation(LIST, lambda reply: reply if isinstance(reply, ErrorReply) else answer)


def _sha256(password: bytes) -> bytes:
    return hashlib.sha256(password).hexdigest().encode()


_Translator = Callable[[Sequence[bytes], list[bytes], Dialect], Translation]
_TRANSLATORS: dict[tuple[bytes, int | None], _Translator] = {
    (b"setuser", None): _set_user,
    (b"deluser", None): _delete_users,
    (b"getuser", 1): _get_user,
    (b"list", None): _list_users,
    (b"users", None): _name_users,
    (b"dryrun", None): _dry_run,
    (b"gentoken", 1): _generate_token,
    (b"gentoken", 2): _generate_token,
    (b"resttoken", 2): _rest_token,
    (b"log", 0): _log,
    (b"log", 1): _log,
    (b"save", 0): _no_effect,
    (b"load", 0): _no_effect,
}
"""By subcommand and number of arguments. None: any number."""
