"""``mcp headers``: the header fields that a client needs to use ``/mcp`` directly."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.mcp.daemon import Daemon
from upstash_helper.cli.mcp.run import open_access
from upstash_helper.client.errors import ApiProblem

if TYPE_CHECKING:
    from upstash_helper.cli.mcp.arguments import McpRequest
    from upstash_helper.settings.profiles import Folders

# A request for access ends after two minutes.
_WAIT_SECONDS = 150.0


def authorization(request: McpRequest, *, profile: str, folders: Folders) -> bytes:
    """
    Return the header fields as JSON. The user is asked if the agent has no access yet. If the agent is not certain, the
    user is asked each time, and a line on stderr explains this.

    Raises:
        Failure: If there is no access.
        ClientError: If the daemon cannot be reached.
    """
    daemon = Daemon(profile, folders)
    access = open_access(daemon, request, warns_of_refusal=False)  # it is the error of the command
    access.begin()
    access.name_client("")
    try:
        token = access.wait(_WAIT_SECONDS, canceled=threading.Event())
        if token is not None and _is_rejected(daemon, token):
            access.renounce(token)
            token = access.wait(_WAIT_SECONDS, canceled=threading.Event())
        if token is None:
            raise Failure(access.explanation, code="no_access")
    finally:
        access.close()
    return msgspec.json.encode({"Authorization": f"Bearer {token}"})


def _is_rejected(daemon: Daemon, token: str) -> bool:
    """Return whether the daemon does not know the token. The token itself is not sent for this."""
    try:
        with daemon.transport(token).exchange("GET", "/health"):
            return False
    except ApiProblem as problem:
        if problem.code == "invalid_token":
            return True
        raise
