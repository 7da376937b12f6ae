"""
The broker's errors.

Each has a ``code`` that never changes once released, so that programs can tell errors apart, and a ``detail`` for a
person. Errors know nothing about HTTP: ``api`` has the one table that maps them to responses.
"""

from __future__ import annotations

from typing import ClassVar


class HelperError(Exception):
    """Base of every error that the broker raises on purpose."""

    code: ClassVar[str]

    def __init__(self, detail: str = "", *, retry_after: float | None = None, **values: object) -> None:
        """
        Args:
            detail: What happened and what to do, for a person, where more is known than the catalog says
                (``protocol.messages.PROBLEMS``). Never contains a secret.
            retry_after: Seconds after which the same call may succeed, if known.
            values: The format fields of the catalog's message, if it has any.
        """
        if not detail:
            # Imported late: a daemon that starts needs no texts.
            from upstash_helper.protocol.messages import PROBLEMS

            detail = PROBLEMS[self.code].format(**values).text
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


# --- the connection -------------------------------------------------------------------------------------------------


class NotConnected(HelperError):
    """No Upstash account is connected."""

    code = "not_connected"


class ReconnectRequired(HelperError):
    """Upstash no longer accepts the stored credential."""

    code = "reconnect_required"


class ReadOnlyAccess(HelperError):
    """The user chose read-only access, so nothing that changes something is sent to Upstash."""

    code = "read_only_access"


class AccessRenewed(HelperError):
    """The access token had to be renewed during a request that cannot be repeated."""

    code = "access_renewed"


class EmailRequired(HelperError):
    """An API key is stored, but the email address it belongs to is unknown."""

    code = "needs_email"


class ClientIdMissing(HelperError):
    """The settings ask for the partner sign-in, or exclude the open one, and no OAuth client ID is configured."""

    code = "client_id_missing"


class PortConflict(HelperError):
    """Another program would receive the authorization code, so no attempt is started."""

    code = "port_conflict"


class AttemptNotFound(HelperError):
    """There is no such attempt, or it ended long ago."""

    code = "attempt_not_found"


class OwnerOnly(HelperError):
    """An app requests something that only the user's own tools may do."""

    code = "owner_only"


class NotTheStarter(HelperError):
    """An app tries to end a sign-in that it did not start."""

    code = "not_the_starter"


class NothingToConfirm(HelperError):
    """The sign-in does not wait for the user's decision, or no longer."""

    code = "nothing_to_confirm"


class CredentialRefused(HelperError):
    """Upstash rejects this combination of email address and API key."""

    code = "credential_refused"


class EmailNotNeeded(HelperError):
    """An email address was given, but none is missing."""

    code = "email_not_needed"


# --- the credential store -------------------------------------------------------------------------------------------


class StoreLocked(HelperError):
    """The keyring is locked and the user has not unlocked it."""

    code = "keyring_locked"


class StoreUnavailable(HelperError):
    """There is no keyring that stores values reliably."""

    code = "keyring_unavailable"


# --- the ledger -------------------------------------------------------------------------------------------------------


class LedgerUnavailable(HelperError):
    """The ledger cannot be read or written."""

    code = "ledger_unavailable"


class LedgerFull(HelperError):
    """The disk is full, so a required ledger entry cannot be written."""

    code = "disk_full"


# --- access of apps ---------------------------------------------------------------------------------------------------


class AccessEnded(HelperError):
    """The app's access was revoked, or has expired, during its request."""

    code = "invalid_token"


class PairingNotFound(HelperError):
    """There is no such pairing, or the caller is not the app that requested it."""

    code = "pairing_not_found"


class PairingPending(HelperError):
    """An earlier request from this app is still pending, and this one may not replace it."""

    code = "pairing_pending"

    def __init__(self, detail: str = "", *, pairing_id: str, retry_after: float) -> None:
        """
        Args:
            detail: As for every error.
            pairing_id: The pending request.
            retry_after: Seconds until the pending request expires.
        """
        super().__init__(detail, retry_after=retry_after)
        self.pairing_id = pairing_id


class PairingUndecided(HelperError):
    """The user has not decided yet, so there is no token."""

    code = "pairing_not_decided"


class PairingDenied(HelperError):
    """The user denied the request."""

    code = "pairing_denied"


class PairingExpired(HelperError):
    """The user did not decide in time, or the app did not fetch its token in time."""

    code = "pairing_expired"


class PairingReplaced(HelperError):
    """The app has sent a new request, which replaces this one."""

    code = "pairing_replaced"


class TokenDelivered(HelperError):
    """The token of this pairing was already delivered; it is delivered only once."""

    code = "token_already_delivered"


class PairingDecided(HelperError):
    """The request was already decided, in another way."""

    code = "pairing_already_decided"


class TooManyPairings(HelperError):
    """Too many access requests, from this app or in total; or the app was denied a moment ago."""

    code = "too_many_pairings"


class AppBlocked(HelperError):
    """The user has blocked access requests from this app."""

    code = "app_blocked"


class AppNotFound(HelperError):
    """There is no such app."""

    code = "app_not_found"


class BlockNotFound(HelperError):
    """There is no such block."""

    code = "block_not_found"


class ConfirmationNotFound(HelperError):
    """There is no such confirmation, or it ended some time ago."""

    code = "confirmation_not_found"


class ConfirmationDecided(HelperError):
    """The user has already answered the question differently."""

    code = "confirmation_already_decided"


class ConfirmationExpired(HelperError):
    """The user did not answer the question in time, or the app no longer waits for the answer."""

    code = "confirmation_expired"


class TooManyConfirmations(HelperError):
    """Too many questions are waiting for the user, or too many of the app's last ones were not answered with yes."""

    code = "too_many_confirmations"


class NotTheCreator(HelperError):
    """The app may read only the credentials of databases that it created, and it did not create this one."""

    code = "not_the_creator"


class TicketNotValid(HelperError):
    """The dashboard link was used before or has expired."""

    code = "ticket_not_valid"


class RateLimited(HelperError):
    """The app sends more requests than allowed."""

    code = "rate_limited"


# --- requests -------------------------------------------------------------------------------------------------------


class InvalidRequest(HelperError):
    """The request is well-formed, but a value in it is not valid."""

    code = "invalid_request"

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        """
        Args:
            detail: What is wrong with the value and which values are allowed.
            pointer: JSON pointer of the value (RFC 6901).
        """
        super().__init__(detail)
        self.pointer = pointer


class FileRefused(HelperError):
    """Variables are not written to this file: it is a link, Git tracks it, or it is not a file for variables."""

    code = "file_refused"


class FileNotWritten(HelperError):
    """The file cannot be read or written."""

    code = "file_not_written"


class PathNotAllowed(HelperError):
    """The request would reach a part of the Developer API that apps may not use."""

    code = "path_not_allowed"


class InvalidPageToken(HelperError):
    """The page token was not issued by this daemon."""

    code = "invalid_page_token"


class PreconditionFailed(HelperError):
    """The resource has changed since the caller read it."""

    code = "precondition_failed"


class IdempotencyKeyRequired(HelperError):
    """A request that can cost money has no idempotency key."""

    code = "idempotency_key_required"


class IdempotencyKeyInvalid(HelperError):
    """The idempotency key is empty, too long, or has characters that are not allowed."""

    code = "invalid_idempotency_key"


class IdempotencyKeyReused(HelperError):
    """The idempotency key was used with another request."""

    code = "idempotency_key_reused"


class RequestInProgress(HelperError):
    """The same request is still being processed."""

    code = "request_in_progress"


class OutcomeUnknown(HelperError):
    """The request was sent, but its response was lost, so it is unknown whether it took effect."""

    code = "outcome_unknown"


# --- Upstash --------------------------------------------------------------------------------------------------------


class DatabaseNotFound(HelperError):
    """The account has no such database."""

    code = "database_not_found"


class UpstreamRejected(HelperError):
    """Upstash rejected the request (400, 406, 422)."""

    code = "upstream_rejected"


class UpstreamForbidden(HelperError):
    """Upstash does not allow this API key to do that (403): a read-only key, a team rule, or a plan limit."""

    code = "upstream_forbidden"


class UpstreamConflict(HelperError):
    """The request conflicts with the current state at Upstash (409)."""

    code = "upstream_conflict"


class UpstreamRateLimited(HelperError):
    """Upstash limits the number of requests (429)."""

    code = "upstream_rate_limited"


class UpstreamUnavailable(HelperError):
    """Upstash could not be reached, failed (5xx), or sent a response that cannot be parsed."""

    code = "upstream_unavailable"


class UpstreamTimeout(HelperError):
    """Upstash did not respond in time."""

    code = "upstream_timeout"


# --- changes of several steps -----------------------------------------------------------------------------------------


class PartlyApplied(HelperError):
    """Some changes of a request were made before one failed."""

    code = "partly_applied"

    def __init__(self, detail: str, *, applied: tuple[str, ...], cause: HelperError) -> None:
        """
        Args:
            detail: Which change failed and what to do.
            applied: The fields that were changed.
            cause: Why the next change failed.
        """
        super().__init__(detail, retry_after=cause.retry_after)
        self.applied = applied
        self.cause = cause
