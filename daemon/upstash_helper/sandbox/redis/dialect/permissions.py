"""
The administrative commands that clients may use.

The server's ACL rules also forbid the others, but database users can be given more rights. So the gateway refuses, for
every user, each command that the server itself lists as administrative or dangerous, except for these.
"""

from __future__ import annotations

from collections.abc import Sequence

from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused

PERMITTED = frozenset(
    b"acl|deluser acl|dryrun acl|getuser acl|list acl|load acl|log acl|save acl|setuser acl|users"
    b" client|kill client|list client|unblock config|get config|set flushall flushdb info keys monitor restore sort"
    b" sort_ro swapdb".split()
)

# In neither category. SCRIPT DEBUG forks the server.
ALSO_REFUSED = frozenset({b"script|debug"})


def restricted_names(commands: frozenset[bytes]) -> frozenset[bytes]:
    """Return the names of commands of which at least one subcommand is restricted."""
    return frozenset(name.partition(b"|")[0] for name in commands | ALSO_REFUSED)


def check(command: Sequence[bytes], dialect: Dialect) -> None:
    """
    Check that clients may use this command.

    Raises:
        Refused: If they may not.
    """
    name = command[0].lower()
    if len(command) > 1:
        with_subcommand = name + b"|" + command[1].lower()
        if with_subcommand in dialect.restricted or with_subcommand in ALSO_REFUSED:
            name = with_subcommand
    if name not in PERMITTED and (name in dialect.restricted or name in ALSO_REFUSED):
        raise Refused(b"NOPERM The command '%b' is not available in this database" % name.replace(b"|", b" "))
