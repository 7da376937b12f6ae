"""The exit codes. Scripts rely on them, so the meaning of a number never changes."""

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
ALREADY_RUNNING: Final = 9
VERSION_MISMATCH: Final = 10
INTERRUPTED: Final = 130

MEANING: Final = {
    OK: "done",
    FAILURE: "failed; the reason is on stderr",
    USAGE: "invalid usage, setting, or value",
    NOT_RUNNING: "the daemon is not running",
    NOT_CONNECTED: "no Upstash account is connected, or it must be reconnected",
    NOT_FOUND: "not found",
    UPSTASH: "Upstash is unreachable, failed, or rate-limited the request",
    PORT_BUSY: "the port is in use by another program",
    NO_TRAY: "no tray icon can be shown on this desktop",
    ALREADY_RUNNING: "socket-activated while another daemon of the profile is running",
    VERSION_MISMATCH: "the running daemon and this command have incompatible versions",
    INTERRUPTED: "interrupted with Ctrl-C",
}

# By the `code` of an API problem.
OF_PROBLEM: Final = {
    "not_connected": NOT_CONNECTED,
    "reconnect_required": NOT_CONNECTED,
    "needs_email": NOT_CONNECTED,
    "access_renewed": UPSTASH,
    "attempt_not_found": NOT_FOUND,
    "database_not_found": NOT_FOUND,
    "app_not_found": NOT_FOUND,
    "block_not_found": NOT_FOUND,
    "pairing_not_found": NOT_FOUND,
    "confirmation_not_found": NOT_FOUND,
    "invalid_request": USAGE,
    "invalid_idempotency_key": USAGE,
    "idempotency_key_reused": USAGE,
    "upstream_rate_limited": UPSTASH,
    "upstream_timeout": UPSTASH,
    "upstream_unavailable": UPSTASH,
    "outcome_unknown": UPSTASH,
    "port_conflict": PORT_BUSY,
}

# By the `reason` of a failed sign-in attempt; every other reason is FAILURE.
OF_ATTEMPT: Final = {
    "network_error": UPSTASH,
    "rate_limited": UPSTASH,
    "server_error": UPSTASH,
    "timeout": UPSTASH,
}
