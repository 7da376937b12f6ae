"""What the exit codes mean. Scripts rely on them, so a number never changes its meaning."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
NOT_CONNECTED: Final = 4
NOT_FOUND: Final = 5
UPSTASH: Final = 6
PORT_BUSY: Final = 7
NO_TRAY: Final = 8
VERSION_MISMATCH: Final = 10
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

MEANING: Final = {
    OK: "done",
    FAILURE: "failed; stderr says why",
    USAGE: "wrong usage, or a setting or value that cannot be used",
    NOT_RUNNING: "the daemon is not running",
    NOT_CONNECTED: "no Upstash account is connected, or it must be connected again",
    NOT_FOUND: "there is no such thing",
    UPSTASH: "Upstash cannot be reached, fails, or asks for fewer requests",
    PORT_BUSY: "another program has the port",
    NO_TRAY: "no tray icon can be shown here",
    VERSION_MISMATCH: "the daemon that runs and this command are of versions that do not understand each other",
    INTERRUPTED: "interrupted with Ctrl-C",
}

# By the stable code of a problem of the API.
OF_PROBLEM: Final = {
    "not_connected": NOT_CONNECTED,
    "reconnect_required": NOT_CONNECTED,
    "needs_email": NOT_CONNECTED,
    "attempt_not_found": NOT_FOUND,
    "database_not_found": NOT_FOUND,
    "app_not_found": NOT_FOUND,
    "block_not_found": NOT_FOUND,
    "pairing_not_found": NOT_FOUND,
    "invalid_request": USAGE,
    "invalid_idempotency_key": USAGE,
    "idempotency_key_reused": USAGE,
    "upstream_rate_limited": UPSTASH,
    "upstream_timeout": UPSTASH,
    "upstream_unavailable": UPSTASH,
    "outcome_unknown": UPSTASH,
    "port_conflict": PORT_BUSY,
}

# By the reason of an attempt that failed; the others are failures.
OF_ATTEMPT: Final = {
    "network_error": UPSTASH,
    "rate_limited": UPSTASH,
    "server_error": UPSTASH,
    "timeout": UPSTASH,
}
