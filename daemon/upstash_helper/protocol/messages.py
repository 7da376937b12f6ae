"""
The wording of every state and error, once: code → title, detail, next steps.

The API sends these texts, and the command line, the tray, the dashboard, and the result pages of a sign-in render them.
A *title* is a phrase without a final period. A *detail* is whole sentences about what happened. The *next steps* are
what the user can do, the most helpful first; the tray and the dashboard have buttons instead and may leave them out.

Values that are only known at run time are format fields, such as ``{email}``; see ``Message.format``.

Plain data: importing this module costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from upstash_helper.protocol.literals import (
        AttemptState,
        ConnectionMethod,
        ConnectionState,
        FailureReason,
        IdentityKind,
        ProgramWarning,
        SiteKind,
    )


class Step(NamedTuple):
    """Something the user can do next."""

    text: str
    """An instruction without a final period."""
    command: str = ""
    """The command that does it, if there is one."""

    def __str__(self) -> str:
        return f"{self.text}: {self.command}" if self.command else f"{self.text}."


class Message(NamedTuple):
    """A state or an error in words."""

    title: str
    detail: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def text(self) -> str:
        """The detail and the next steps, as one paragraph."""
        return " ".join(filter(None, (self.detail, *map(str, self.steps))))

    def format(self, **values: object) -> Message:
        """Return the message with ``values`` in place of its format fields."""
        steps = tuple(Step(step.text.format(**values), step.command) for step in self.steps)
        return Message(self.title.format(**values), self.detail.format(**values), steps)


API_KEYS_URL: Final = "https://console.upstash.com/account/api"
"""The page of the console on which API keys are created."""

# --- next steps -------------------------------------------------------------------------------------------------------

CONNECT: Final = Step("Connect an account", "upstash-helper connect")
CONNECT_FULL: Final = Step(
    "Connect again, and choose full access instead of read-only on Upstash's page", "upstash-helper connect --force"
)
CONNECT_AGAIN: Final = Step("Start the sign-in again, in the app or here", "upstash-helper connect")
RECONNECT: Final = Step("Sign in again", "upstash-helper connect --force")
USE_API_KEY: Final = Step(
    "Connect without the sign-in: create an API key in the Upstash console (Account > Management API) and enter it",
    "upstash-helper connect --api-key",
)
ENTER_API_KEY: Final = Step(
    "Create an API key in the Upstash console (Account > Management API) and enter it",
    "upstash-helper connect --api-key",
)
PASTE_ADDRESS: Final = Step(
    "If you have just signed in, copy the whole address from the browser's address bar and paste it when prompted",
    "upstash-helper connect --paste",
)
FINISH_BY_HAND: Final = Step(
    "To finish this sign-in, copy the whole address from the browser's address bar and run",
    "upstash-helper connect --paste",
)
ENTER_EMAIL: Final = Step(
    "Enter the email address of your Upstash account", "upstash-helper connect --email you@example.com"
)
DECIDE: Final = Step("To decide, open the dashboard", "upstash-helper open")
REPLACE_ACCOUNT: Final = Step("To replace the account", "upstash-helper connect --replace")
KEEP_ACCOUNT: Final = Step("To keep the account that is connected", "upstash-helper connect --keep")
USE_OTHER_ACCOUNT: Final = Step("To use another account, sign in here", "upstash-helper connect --force")
OPEN_DASHBOARD: Final = Step("Check the connection in the dashboard", "upstash-helper open")
RUN_DOCTOR: Final = Step("Diagnose the problem", "upstash-helper doctor")
SHOW_SETTINGS: Final = Step("Check the settings and where they come from", "upstash-helper config show")
SET_SIGN_IN: Final = Step(
    'To sign in instead, set sign_in = "auto" in config.toml, and issuer_url if api_url is not Upstash\'s, and restart '
    "the helper"
)
LIST_APPS: Final = Step("List the apps", "upstash-helper apps list")
LIST_BLOCKS: Final = Step("List the blocked apps and sites", "upstash-helper approvals blocked")
REQUEST_AGAIN: Final = Step("Request access again")
TRY_AGAIN: Final = Step("Try again later")

# --- the connection ---------------------------------------------------------------------------------------------------

CONNECTION: Final[dict[ConnectionState, Message]] = {
    "disconnected": Message("No account connected", steps=(CONNECT, USE_API_KEY)),
    "connecting": Message("Waiting for your sign-in", steps=(Step("Finish the sign-in in your browser"),)),
    "connected": Message("Connected as {email}"),
    "needs_email": Message(
        "Email address missing",
        "Upstash did not provide the email address of your account, and the API key works only together with it.",
        (ENTER_EMAIL,),
    ),
    "reconnect_required": Message(
        "Upstash no longer accepts the API key",
        "It may have been deleted in the Upstash console.",
        (RECONNECT, USE_API_KEY),
    ),
    "keyring_locked": Message(
        "The keyring is locked",
        "Unlock it on this computer so that the helper can read your account's credential.",
        (RUN_DOCTOR,),
    ),
    "keyring_unavailable": Message(
        "The keyring cannot be used",
        "The helper keeps your account's credential only in the system's keyring unless you choose otherwise.",
        (RUN_DOCTOR,),
    ),
    "port_conflict": Message(
        "Another program uses the callback port",
        "The browser would return from the sign-in to that program, so the helper does not start a sign-in.",
        (RUN_DOCTOR,),
    ),
}
"""The detail of a keyring, port, or grant problem is replaced by a specific one where the daemon knows more."""
CONNECTED: Final = "An account is connected"

CA_USAGE: Final = {
    "redis-py": 'redis.from_url(os.environ["REDIS_URL"], ssl_ca_certs=os.environ["REDIS_CA_FILE"])',
    "ioredis": "new Redis(process.env.REDIS_URL, { tls: { ca: fs.readFileSync(process.env.REDIS_CA_FILE) } })",
    "node-redis": (
        "createClient({ url: process.env.REDIS_URL, "
        "socket: { tls: true, ca: fs.readFileSync(process.env.REDIS_CA_FILE) } })"
    ),
    "Node.js": 'NODE_EXTRA_CA_CERTS="$REDIS_CA_FILE" node app.js',
}
"""How each client, or any program in Node.js without a change of its code, uses the variable ``REDIS_CA_FILE``."""
"""The title of ``connected`` for an app that may not know which account that is."""
READ_ONLY: Final = Message(
    "Connected as {email}, read-only",
    "You chose read-only access, so apps cannot create or change databases.",
    (CONNECT_FULL,),
)
"""``connected``, with a grant for read-only access."""
GRANT_ENDED: Final = Message(
    "Your sign-in at Upstash has ended",
    "It was revoked in the Upstash console, or has expired.",
    (RECONNECT, USE_API_KEY),
)
"""``reconnect_required``, for a grant."""

METHODS: Final[dict[ConnectionMethod, str]] = {
    "grant": "Through Upstash's open sign-in",
    "oauth": "Through Upstash's partner sign-in",
    "api_key": "With an API key from the Upstash console",
}
"""How the account was connected."""

READY: Final = Message(
    "upstash-helper is ready: connect your account", "Apps on this computer can then use it with your permission."
)
"""The notification after the first start."""


def how_to_connect(*, can_sign_in: bool) -> Step:
    """Return how an account is connected now: by signing in, or with an API key where that is not possible."""
    return CONNECT if can_sign_in else ENTER_API_KEY


# --- a sign-in --------------------------------------------------------------------------------------------------------

ATTEMPTS: Final[dict[AttemptState, Message]] = {
    "pending": Message("Waiting for Upstash", "Finish the sign-in in the other window.", (PASTE_ADDRESS,)),
    "exchanging": Message(
        "Connecting your account",
        "You are signed in to Upstash. The helper is finishing the connection, which takes a few seconds.",
    ),
    "confirmation_required": Message(
        "Waiting for your decision",
        "Another account is already connected. Choose which one to use in the dashboard, the tray menu, or a terminal. "
        "Without an answer within five minutes, the connected account is kept.",
        (DECIDE, KEEP_ACCOUNT, REPLACE_ACCOUNT),
    ),
    "succeeded": Message("Your account has been connected"),
    "failed": Message("The sign-in failed", "Your account was not connected.", (CONNECT_AGAIN,)),
    "expired": Message(
        "The sign-in took too long",
        "A sign-in must be finished within ten minutes.",
        (CONNECT_AGAIN, USE_API_KEY, OPEN_DASHBOARD),
    ),
}
"""For ``failed``, see ``FAILURES``."""

FAILURES: Final[dict[FailureReason, Message]] = {
    "access_denied": Message("You canceled the sign-in", "Nothing was changed.", (CONNECT_AGAIN,)),
    "cancelled": Message("The sign-in was canceled", "It was ended before it finished.", (CONNECT_AGAIN,)),
    "replacement_declined": Message(
        "You kept the connected account",
        "You decided not to replace the account that is connected. Nothing was stored.",
        (USE_OTHER_ACCOUNT,),
    ),
    "confirmation_timeout": Message(
        "The decision took too long",
        "You did not decide within five minutes whether to replace the connected account, so it was kept.",
        (CONNECT_AGAIN, USE_OTHER_ACCOUNT),
    ),
    "account_not_confirmed": Message(
        "Upstash did not confirm the account",
        "The new credential does not belong to the account that the sign-in named. The connected account was kept.",
        (CONNECT_AGAIN, USE_OTHER_ACCOUNT),
    ),
    "login_required": Message(
        "Upstash requires you to sign in",
        "You are not signed in to Upstash.",
        (CONNECT_AGAIN, OPEN_DASHBOARD),
    ),
    "consent_required": Message(
        "Upstash requires your consent",
        "Allow the helper to connect when Upstash asks you.",
        (CONNECT_AGAIN, OPEN_DASHBOARD),
    ),
    "unauthorized": Message(
        "This account is not allowed to sign in here",
        "Upstash refused the account. Use another account or an API key.",
        (CONNECT_AGAIN, USE_API_KEY),
    ),
    "invalid_request": Message(
        "Upstash refused the sign-in request",
        "The helper's client ID or port does not match what is registered with Upstash.",
        (SHOW_SETTINGS, CONNECT_AGAIN, USE_API_KEY),
    ),
    "invalid_client": Message(
        "Upstash does not know this client ID",
        "Correct the setting client_id and restart the helper.",
        (SHOW_SETTINGS, USE_API_KEY),
    ),
    "registration_lost": Message(
        "Upstash no longer recognizes this installation",
        "The helper's registration with Upstash is gone. The next sign-in registers it again.",
        (CONNECT_AGAIN, USE_API_KEY),
    ),
    "invalid_grant": Message(
        "The sign-in has expired",
        "The authorization code was too old or had been used before.",
        (CONNECT_AGAIN, OPEN_DASHBOARD),
    ),
    "rate_limited": Message(
        "Too many requests to Upstash",
        "Wait a minute before you try again.",
        (CONNECT_AGAIN, OPEN_DASHBOARD),
    ),
    "server_error": Message(
        "Upstash reported an error",
        "Something failed at Upstash. Try again in a minute.",
        (CONNECT_AGAIN, USE_API_KEY),
    ),
    "network_error": Message(
        "Upstash could not be reached",
        "Check this computer's network connection, VPN, and proxy.",
        (CONNECT_AGAIN, RUN_DOCTOR),
    ),
    "timeout": Message(
        "Upstash did not respond in time",
        "The network or Upstash may be slow.",
        (CONNECT_AGAIN, RUN_DOCTOR),
    ),
    "invalid_response": Message(
        "Unexpected response from Upstash",
        "The response could not be read. A proxy or a Wi-Fi login page may have sent it in place of Upstash.",
        (CONNECT_AGAIN, USE_API_KEY, RUN_DOCTOR),
    ),
    "issuer_mismatch": Message(
        "The response did not come from Upstash",
        "A server other than Upstash's authorization server sent your browser here, so the response was rejected.",
        (
            Step("Try again, and sign in only in the window that opens then", "upstash-helper connect"),
            USE_API_KEY,
        ),
    ),
    "api_key_refused": Message(
        "Upstash did not create an API key",
        "You are signed in, but the helper also needs an API key, and Upstash refused to create one.",
        (CONNECT_AGAIN, USE_API_KEY),
    ),
    "api_key_limit": Message(
        "Your account has too many API keys",
        "Delete one in the Upstash console (Account > Management API) before you try again.",
        (CONNECT_AGAIN, USE_API_KEY),
    ),
    "keyring_locked": Message(
        "Your keyring is locked",
        "The account's credential could not be stored. Unlock the keyring before you try again.",
        (CONNECT_AGAIN, RUN_DOCTOR),
    ),
    "keyring_unavailable": Message(
        "Your keyring cannot be used",
        "The account's credential could not be stored safely on this computer.",
        (RUN_DOCTOR, CONNECT_AGAIN),
    ),
    "internal_error": Message(
        "The helper failed",
        "The helper was stopped or failed while it stored the account's credential. See its log.",
        (RUN_DOCTOR, CONNECT_AGAIN),
    ),
}
"""Why an attempt failed. The daemon sends a more specific detail where it knows one."""

REPLACEMENT: Final = Message(
    "Replace {replaces} with {email}?",
    "The sign-in that {app} started is for another Upstash account. If you replace the connected account, all apps on "
    "this computer will use the new one. If you did not sign in to it yourself, keep the connected account.",
    (DECIDE,),
)
"""The question whether the account of an app's sign-in replaces the connected one."""
UNKNOWN_CONNECTED: Final = "the connected account"
UNKNOWN_NEW: Final = "an account with an unknown email address"

NEEDS_EMAIL: Final = Message(
    "One more step",
    "Your API key is stored, but Upstash did not provide the email address it belongs to.",
    (ENTER_EMAIL, Step("Or enter it in the dashboard", "upstash-helper open")),
)
"""An attempt that succeeded, but for the email address."""

NO_ATTEMPT: Final = Message(
    "This sign-in has ended",
    "No sign-in is waiting for this address. It may be old or already used, the helper may have been restarted, or it "
    "did not come from Upstash. Nothing was changed.",
    (CONNECT_AGAIN, PASTE_ADDRESS, OPEN_DASHBOARD),
)
"""A redirect, or an address, that matches no attempt."""

CUT_OFF: Final = (
    "The address was cut off: it has a code (or an error), but no state, which comes after the &. Copy the complete "
    "address. In a shell, put it in quotes, because an & outside quotes ends the command."
)
"""A redirect, or a pasted address, without its end."""

CUT_OFF_PAGE: Final = Message("The address was cut off", CUT_OFF, (PASTE_ADDRESS, CONNECT_AGAIN))

FORWARDED: Final = Message(
    "The sign-in has reached the helper",
    "The helper is finishing it. The app or the terminal in which you started it shows the result; this window can be "
    "closed.",
)
FORWARDED_PORT: Final = (
    "The browser has opened {host}, which is forwarded to the helper's port {port}, so it cannot show the helper's own "
    "page. To avoid that, use the same port number on both sides, such as: ssh -L {port}:localhost:{port} HOST"
)
"""Parts of the page at a redirect through a forwarded port."""

AUTO_APPROVE: Final = "approved automatically (sandbox)"
"""What happens to access requests with the setting ``auto_approve``."""

VIA_BRIDGE: Final = "The request came through the helper's bridge window."
"""Part of every prompt of such a request: the helper's window, and not the browser, has named the page."""

SAME_PROGRAM_ASKS: Final = (
    "The same program also requests access with the code {codes}. Its sign-in and its command are approved separately."
)
SAME_PROGRAM_HAS_ACCESS: Final = "The same program already has access as an agent."
"""Parts of the prompt of an agent, of which one program can need several approvals."""

HINTS: Final[dict[str, Message]] = {
    "no_callback": Message(
        "The browser has not returned yet",
        "The browser has not returned yet. If you are still signing in, continue. If it shows an error or another "
        "program's page instead, something on this computer interferes: a service worker or an extension of another "
        "local app, or HSTS, which forces https.",
        (FINISH_BY_HAND,),
    ),
    "https_forced": Message(
        "A browser forces https",
        "The helper's port received https requests ({times}), but it supports only http. Most likely a browser forces "
        "https on localhost because another local program requested that (HSTS). To clear it: in Chrome and Edge, "
        "delete localhost at chrome://net-internals/#hsts; in Firefox, choose Forget About This Site for localhost in "
        "the history.",
        (FINISH_BY_HAND,),
    ),
}
"""What may interfere with a pending sign-in."""

# --- errors of the API ------------------------------------------------------------------------------------------------

PROBLEMS: Final[dict[str, Message]] = {
    # the connection
    "not_connected": Message("No account connected", "No Upstash account is connected.", (CONNECT,)),
    "reconnect_required": Message(
        "Connect the account again", "Upstash no longer accepts the connected account's credential.", (RECONNECT,)
    ),
    "read_only_access": Message(
        "Read-only access",
        "The account is connected with read-only access, so nothing was sent to Upstash.",
        (CONNECT_FULL,),
    ),
    "access_renewed": Message(
        "Send the request again",
        "The helper had to renew its access to Upstash during this request, and cannot repeat it. Nothing was changed.",
        (Step("Send it again"),),
    ),
    "needs_email": Message(
        "Email address missing", "The email address of the connected account is missing.", (ENTER_EMAIL,)
    ),
    "email_not_needed": Message("Email address not needed", "The email address of the account is already known."),
    "client_id_missing": Message(
        "The settings do not allow a sign-in",
        "The settings ask for the partner sign-in without a client_id, or they have an api_url other than Upstash's "
        "without an issuer_url for it.",
        (SET_SIGN_IN, ENTER_API_KEY),
    ),
    "port_conflict": Message(
        "Another program uses the callback port",
        "The browser would return from the sign-in to another program.",
        (RUN_DOCTOR,),
    ),
    "attempt_not_found": Message(
        "Sign-in not found",
        "There is no such sign-in. The helper forgets sign-ins when it stops.",
        (Step("Start a new sign-in"),),
    ),
    "not_the_starter": Message(
        "Sign-in of another app", "Only the user and the app that started this sign-in can cancel it."
    ),
    "nothing_to_confirm": Message(
        "Nothing to decide",
        "This sign-in is not waiting for a decision. It may have been decided elsewhere or have ended.",
    ),
    "credential_refused": Message(
        "Credential rejected",
        "Upstash does not accept this combination of email address and API key.",
        (Step("Check both in the Upstash console"),),
    ),
    "keyring_locked": Message(
        "The keyring is locked", "Unlock the keyring on this computer, then try again.", (RUN_DOCTOR,)
    ),
    "keyring_unavailable": Message("The keyring cannot be used", "The keyring cannot be used.", (RUN_DOCTOR,)),
    # the ledger
    "ledger_unavailable": Message(
        "Ledger unavailable", "The helper's ledger cannot be read or written.", (RUN_DOCTOR,)
    ),
    "disk_full": Message("Disk full", "The disk is full. Free some space, then try again."),
    # access of apps
    "pairing_not_found": Message(
        "Access request not found", "There is no such access request, or its poll_secret does not match."
    ),
    "pairing_pending": Message(
        "Access request pending", "An earlier request from this app is still waiting for the user."
    ),
    "pairing_not_decided": Message("Not decided yet", "The user has not decided yet."),
    "pairing_denied": Message("Access denied", "The user denied the request."),
    "pairing_expired": Message(
        "Access request expired", "The request was not decided in time.", (REQUEST_AGAIN,)
    ),
    "pairing_replaced": Message(
        "Access request replaced", "The app has sent a new request, which replaces this one."
    ),
    "token_already_delivered": Message(
        "Token already delivered",
        "The token of this request was delivered before, and a token is delivered only once.",
        (Step("If it is lost, request access again"),),
    ),
    "pairing_already_decided": Message("Already decided", "The request was already decided differently."),
    "too_many_pairings": Message("Too many access requests", "Too many access requests from this app or its site."),
    "app_blocked": Message("App blocked", "The user has blocked requests from this app or its site."),
    "app_not_found": Message("App not found", "There is no such app.", (LIST_APPS,)),
    "block_not_found": Message("Block not found", "There is no such block.", (LIST_BLOCKS,)),
    "confirmation_not_found": Message(
        "Question not found", "There is no such question.", (Step("List them", "upstash-helper approvals list"),)
    ),
    "confirmation_already_decided": Message("Already answered", "The question was already answered differently."),
    "confirmation_expired": Message(
        "Question expired", "The question was not answered in time, or the app no longer waits for the answer."
    ),
    "too_many_confirmations": Message("Too many questions", "Too many questions from apps are waiting for the user."),
    "not_the_creator": Message(
        "Database of another creator",
        "This app may read only the credentials of databases that it created.",
        (Step('To read others, request access again and let the user choose "all databases"'),),
    ),
    "ticket_not_valid": Message(
        "Dashboard link not valid",
        "This link was used before or has expired.",
        (Step("Open the dashboard again", "upstash-helper open"),),
    ),
    "rate_limited": Message("Too many requests", "This app sends too many requests."),
    # requests
    "invalid_request": Message("Invalid request", "A value in the request is not valid."),
    "invalid_json": Message("Invalid JSON", "The body is not valid JSON."),
    "file_refused": Message("File refused", "Variables are not written to this file."),
    "file_not_written": Message("File not written", "The file cannot be read or written."),
    "path_not_allowed": Message(
        "Path not allowed",
        "API keys cannot be created or read through the helper. Paths and queries with the word apikey are refused.",
    ),
    "invalid_page_token": Message(
        "Invalid page token", "The page token was not issued by this helper.", (Step("Start with the first page"),)
    ),
    "precondition_failed": Message(
        "The database has changed",
        "The database has changed since it was read.",
        (Step("Read it again before you change it"),),
    ),
    "idempotency_key_required": Message(
        "Idempotency key required",
        "Send an Idempotency-Key header, such as a new UUID, so that a repeated request creates no second database.",
    ),
    "invalid_idempotency_key": Message(
        "Invalid idempotency key",
        "The Idempotency-Key must be 1 to 255 visible ASCII characters, for example a UUID.",
    ),
    "idempotency_key_reused": Message(
        "Idempotency key reused",
        "This Idempotency-Key was used with another request.",
        (Step("Use a new key for a new request"),),
    ),
    "request_in_progress": Message(
        "Request in progress",
        "The same request is being processed.",
        (Step("Send it again with the same key to get the result"),),
    ),
    "outcome_unknown": Message(
        "Outcome unknown",
        "It is not known whether Upstash created the database {name!r}, because its response was lost.",
        (
            Step(
                "Check the list of databases. It is safe to repeat the request with the same Idempotency-Key: it finds "
                "the database, or creates it once it is certain that it does not exist. If several databases have this "
                "name, only you can tell which one it is"
            ),
        ),
    ),
    "partly_applied": Message("Partly applied", "Some changes were made before one failed."),
    # Upstash
    "database_not_found": Message("Database not found", "There is no such database."),
    "upstream_rejected": Message("Rejected by Upstash", "Upstash rejected the request."),
    "upstream_forbidden": Message("Forbidden by Upstash", "Upstash does not allow the connected account to do that."),
    "upstream_conflict": Message("Conflict at Upstash", "The request conflicts with the current state at Upstash."),
    "upstream_rate_limited": Message("Too many requests to Upstash", "Upstash limits the number of requests."),
    "upstream_unavailable": Message("Upstash unavailable", "Upstash could not be reached or failed.", (TRY_AGAIN,)),
    "upstream_timeout": Message("Upstash timed out", "Upstash did not respond in time.", (TRY_AGAIN,)),
    # what the guard and the HTTP server refuse
    "token_required": Message("Token required", "Send a token: Authorization: Bearer <token>."),
    "invalid_token": Message(
        "Invalid token", "The token is unknown, expired, or revoked.", (REQUEST_AGAIN,)
    ),
    "insufficient_scope": Message(
        "Missing scope", "The user has not granted the scope that this request needs.", (REQUEST_AGAIN,)
    ),
    "owner_only": Message(
        "Owner only", "Only the user's own tools can do this: the command line, the tray, and the dashboard."
    ),
    "wrong_user": Message(
        "Another user's helper",
        "This helper belongs to another user of this machine.",
        (Step("Start your own", "upstash-helper start"),),
    ),
    "host_not_allowed": Message("Host not allowed", "The Host header does not name this helper."),
    "origin_not_allowed": Message("Origin not allowed", "The user has not approved this origin."),
    "origin_mismatch": Message("Token of another origin", "This token is bound to another origin."),
    "on_behalf_not_allowed": Message(
        "Not allowed on behalf of another origin", "Only the helper's own bridge page may name another origin."
    ),
    "cross_site_request": Message("Cross-site request", "Pages of other sites are not allowed to do this."),
    "prefetch_not_allowed": Message("Prefetch not allowed", "The helper does not allow prefetching."),
    "forbidden": Message("Forbidden", "No policy allows this request."),
    "not_found": Message("Not found", "There is nothing at this path."),
    "method_not_allowed": Message("Method not allowed", "This path does not support the method."),
    "unsupported_media_type": Message(
        "Unsupported media type", "Send the body as JSON with Content-Type: application/json."
    ),
    "unsupported_encoding": Message("Unsupported encoding", "Send the body without Content-Encoding."),
    "body_too_large": Message("Body too large", "The body is too large."),
    "body_not_allowed": Message("Body not allowed", "Send this request without a body."),
    "body_timeout": Message("Body timed out", "The body did not arrive in time."),
    "invalid_target": Message("Invalid request target", "The request target is not valid."),
    "invalid_host": Message("Invalid Host header", "Send exactly one Host header."),
    "invalid_origin": Message("Invalid Origin header", "Send at most one Origin header."),
    "malformed_request": Message("Malformed request", "This is not a valid HTTP/1.1 request."),
    "request_timeout": Message("Request timed out", "The request did not arrive in time."),
    "too_many_streams": Message("Too many event streams", "Too many event streams are open. Close one."),
    "too_many_connections": Message(
        "Too many connections", "All connections of the helper are in use.", (Step("Close some, or try again"),)
    ),
    "internal_error": Message("Internal error", "Internal error. See the helper's log."),
}  # fmt: skip
"""
By the code of an RFC 9457 problem. The detail is the default: an error that knows more, such as which value is wrong,
comes with a detail of its own.
"""

SITES: Final[dict[SiteKind, Message]] = {
    "domain": Message("every page of {name}", "This includes all its subdomains and ports."),
    "loopback": Message(
        "every page on this computer",
        "This includes localhost, its subdomains, 127.0.0.1, and [::1] on every port, and so the pages that you run or "
        "develop yourself.",
    ),
    "programs": Message(
        "every program",
        "This includes command-line tools and editors that you may want to connect later. Programs that have access "
        "keep it.",
    ),
}
"""What a block of a whole site covers, after "Block" or "Blocked:"."""

IDENTITY_KINDS: Final[dict[IdentityKind, str]] = {
    "web": "Web page",
    "extension": "Browser extension",
    "native": "Program",
}
"""The kinds of apps, as shown in front of an app's identity."""

UNKNOWN_PROGRAM: Final = "a program that the system cannot identify"
"""In place of a program's path, if the system does not report it."""

PROGRAM_WARNINGS: Final[dict[ProgramWarning, Message]] = {
    "sandboxed": Message(
        "inside a container or sandbox",
        "The program runs inside a container or sandbox, where a different file can be at this path.",
    ),
    "deleted": Message("deleted file", "The program's file was deleted, so you can no longer check what it is."),
    "replaced": Message("replaced file", "A different file is at this path now. The program runs the earlier one."),
    "unprintable": Message(
        "unprintable characters in its path",
        "The program's path contains invisible characters, shown here as \\x or \\u codes, or is too long to be shown.",
    ),
    "shared": Message(
        "one of several programs",
        "Several processes share the connection of this request. Any of them may have sent it.",
    ),
    "unsearched": Message(
        "perhaps one of several programs",
        "There was not enough time to check all processes. Others may share the connection of this request.",
    ),
    "unknown_starter": Message(
        "started by an unknown program",
        "This program only forwards requests, and the program that started it could not be identified.",
    ),
}
"""
Why the file at a program's path may not be the program that sent a request. The title is a phrase that is shown in
parentheses after the path; the detail explains it.
"""


def request_title(shown: str, warnings: Collection[object]) -> str:
    """
    Return the title of the notification about an access request.

    Args:
        shown: The identity for display. It comes first, so that a desktop that cuts the title does not cut it.
        warnings: Those about its program, if it is a program.
    """
    from upstash_helper.protocol.shorten import MAX_TITLE, shorten

    who = "A program that cannot be verified" if warnings else shorten(shown, MAX_TITLE)
    return f"{who} wants access to your Upstash account"


def confirmation_title(shown: str, warnings: Collection[object]) -> str:
    """Return the title of the notification about an app's question. See ``request_title``."""
    from upstash_helper.protocol.shorten import MAX_TITLE, shorten

    who = "A program that cannot be verified" if warnings else shorten(shown, MAX_TITLE)
    return f"{who} needs your confirmation"


FIELDS: Final = frozenset({"app", "email", "name", "replaces", "times"})
"""
The format fields that messages may use. ``app`` is an app's verified identity, ``name`` a database's or a domain,
``replaces`` the email address of the account that ``email`` would replace, and ``times`` "once" or "3 times".
"""


def of_attempt(state: AttemptState, reason: str | None = None) -> Message:
    """Return the message for an attempt; ``reason`` is why it failed, if it did. Unknown reasons get a general one."""
    known = FAILURES.get(reason) if state == "failed" and reason else None  # type: ignore[call-overload]
    return known or ATTEMPTS[state]


# --- changes that are not written yet ---------------------------------------------------------------------------------

NO_ANSWER_FROM_DISK: Final = "The disk does not respond."


def not_recorded(problem: str, *, survives_restart: bool) -> str:
    """
    Return what to tell the user about a change that has taken effect and is not written yet.

    Args:
        problem: Why, in sentences.
        survives_restart: Whether the change is still in effect if the helper is restarted before it is written.
    """
    problem = problem.replace(", then try again.", ".")
    until = "" if survives_restart else " Until then, restarting the helper undoes it."
    done = "This has taken effect, but could not be saved yet."
    return f"{done} {problem} The helper will save it as soon as it can.{until}"
