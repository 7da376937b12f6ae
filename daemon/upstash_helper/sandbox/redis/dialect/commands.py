"""The entry point: the commands that are translated, and what is loaded into a server after it starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from upstash_helper.sandbox.redis.dialect import (
    clients,
    config,
    functions,
    json_commands,
    limits,
    newer_commands,
    permissions,
    scripts,
    users,
)
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Translation
from upstash_helper.sandbox.redis.resp import Connection

Translator = Callable[[Sequence[bytes], Dialect], Translation | None]

TRANSLATORS: dict[bytes, Translator] = {
    b"acl": users.translate_acl,
    b"client": clients.translate_client,
    b"bitop": newer_commands.translate_bitop,
    b"config": config.translate_config,
    b"delex": newer_commands.translate_delex,
    b"eval": scripts.translate_eval,
    b"eval_ro": scripts.translate_eval,
    b"evalsha": scripts.translate_evalsha,
    b"evalsha_ro": scripts.translate_evalsha,
    b"fcall": functions.translate_fcall,
    b"fcall_ro": functions.translate_fcall,
    b"function": functions.translate_function,
    **dict.fromkeys(json_commands.COMMANDS, json_commands.translate_json),
    b"scan": json_commands.translate_scan,
    b"script": scripts.translate_script,
    b"setbit": limits.check_setbit,
    b"setrange": limits.check_setrange,
    b"sdiffcard": newer_commands.translate_setcard,
    b"sunioncard": newer_commands.translate_setcard,
    b"type": json_commands.translate_type,
    b"xackdel": newer_commands.translate_xackdel,
    b"xdelex": newer_commands.translate_xdelex,
}
"""By the command's name in lower case. None: the command is sent unchanged."""

AFTER_START: list[Callable[[Connection], Awaitable[None]]] = [functions.load_functions]
"""Called in this order after each start of a server, with an administrator's connection, before clients' commands."""


def special_commands(dialect: Dialect) -> frozenset[bytes]:
    """Return the names of all commands, in lower case, for which ``translate`` may not return None."""
    return frozenset(TRANSLATORS) | permissions.restricted_names(dialect.restricted)


def translate(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Return what is sent to the server in place of a client's command, or None to send it unchanged.

    Raises:
        Refused: If it is not sent.
    """
    permissions.check(command, dialect)
    translator = TRANSLATORS.get(command[0].lower())
    return translator(command, dialect) if translator else None
