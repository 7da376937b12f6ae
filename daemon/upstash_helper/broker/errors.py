"""
What can go wrong, in the words of the domain.

Each error has a ``code`` that never changes once released: programs tell errors apart by it. ``detail`` is for a person
and says what to do. None of them knows of HTTP; the loopback API has the one table that turns them into answers.
"""

from __future__ import annotations

from typing import ClassVar


class HelperError(Exception):
    """The base of every error that the broker raises on purpose."""

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
    """Upstash no longer takes the stored API key."""

    code = "reconnect_required"


class EmailRequired(HelperError):
    """An API key is stored, but the e-mail it belongs to is not known."""

    code = "needs_email"


class ClientIdMissing(HelperError):
    """Signing in needs an OAuth client id and none is configured."""

    code = "client_id_missing"


class PortConflict(HelperError):
    """Another program would receive the authorization code, so no attempt is started."""

    code = "port_conflict"


class AttemptNotFound(HelperError):
    """There is no such attempt, or it is long over."""

    code = "attempt_not_found"


class CredentialRefused(HelperError):
    """Upstash does not take this e-mail and API key."""

    code = "credential_refused"


class EmailNotNeeded(HelperError):
    """An e-mail was given while none is missing."""

    code = "email_not_needed"


# --- the credential store -------------------------------------------------------------------------------------------


class StoreLocked(HelperError):
    """The keyring is locked and the user has not unlocked it."""

    code = "keyring_locked"


class StoreUnavailable(HelperError):
    """There is no keyring that keeps what it is given."""

    code = "keyring_unavailable"


# --- the ledger -------------------------------------------------------------------------------------------------------


class LedgerUnavailable(HelperError):
    """What the daemon must remember cannot be read or written."""

    code = "ledger_unavailable"


class LedgerFull(HelperError):
    """The disk is full, so what must be written down first cannot be."""

    code = "disk_full"


# --- letting apps in --------------------------------------------------------------------------------------------------


class PairingNotFound(HelperError):
    """There is no such pairing, or whoever asks is not its app."""

    code = "pairing_not_found"


class PairingPending(HelperError):
    """This app's earlier request still waits for the user."""

    code = "pairing_pending"

    def __init__(self, detail: str, *, pairing_id: str, retry_after: float) -> None:
        """
        Args:
            detail: What to do.
            pairing_id: Of the request that waits.
            retry_after: Seconds until that one expires.
        """
        super().__init__(detail, retry_after=retry_after)
        self.pairing_id = pairing_id


class PairingUndecided(HelperError):
    """The user has not decided, so there is no token yet."""

    code = "pairing_not_decided"


class PairingDenied(HelperError):
    """The user said no."""

    code = "pairing_denied"


class PairingExpired(HelperError):
    """The user did not decide in time, or the app did not fetch its token in time."""

    code = "pairing_expired"


class TokenDelivered(HelperError):
    """The token of this pairing has been handed out: that is done once."""

    code = "token_already_delivered"


class PairingDecided(HelperError):
    """A decision was made already, and it was another one."""

    code = "pairing_already_decided"


class TooManyPairings(HelperError):
    """Too many requests to be let in, from this app or altogether; or it was denied a moment ago."""

    code = "too_many_pairings"


class AppBlocked(HelperError):
    """The user does not want to be asked by this app again."""

    code = "app_blocked"


class AppNotFound(HelperError):
    """There is no such app."""

    code = "app_not_found"


class BlockNotFound(HelperError):
    """There is no such block."""

    code = "block_not_found"


class NotTheCreator(HelperError):
    """The app may read the credentials of databases that it created, and this is another one."""

    code = "not_the_creator"


class TicketNotValid(HelperError):
    """The dashboard's address was used before, or is too old."""

    code = "ticket_not_valid"


class RateLimited(HelperError):
    """The app sends more requests than it may."""

    code = "rate_limited"


# --- requests -------------------------------------------------------------------------------------------------------


class InvalidRequest(HelperError):
    """The request is well-formed, but a value in it cannot be used."""

    code = "invalid_request"

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        """
        Args:
            detail: What is wrong with the value and what is taken.
            pointer: RFC 6901 JSON pointer of the value.
        """
        super().__init__(detail)
        self.pointer = pointer


class PathNotAllowed(HelperError):
    """The request would reach a part of Upstash that no app is let through to."""

    code = "path_not_allowed"


class InvalidPageToken(HelperError):
    """The page token was not made by this daemon."""

    code = "invalid_page_token"


class PreconditionFailed(HelperError):
    """The resource has changed since the caller read it."""

    code = "precondition_failed"


class IdempotencyKeyRequired(HelperError):
    """A request that costs money came without an idempotency key."""

    code = "idempotency_key_required"


class IdempotencyKeyInvalid(HelperError):
    """The idempotency key is empty, too long, or has characters that are not taken."""

    code = "invalid_idempotency_key"


class IdempotencyKeyReused(HelperError):
    """The same key came with another request."""

    code = "idempotency_key_reused"


class RequestInProgress(HelperError):
    """The same request is being carried out right now."""

    code = "request_in_progress"


class OutcomeUnknown(HelperError):
    """The request was sent and its answer lost: whether it took effect cannot be told."""

    code = "outcome_unknown"


# --- Upstash --------------------------------------------------------------------------------------------------------


class DatabaseNotFound(HelperError):
    """The account has no such database."""

    code = "database_not_found"


class UpstreamRejected(HelperError):
    """Upstash refused the request as it stands (400, 406, 422)."""

    code = "upstream_rejected"


class UpstreamForbidden(HelperError):
    """Upstash does not let this API key do that (403): a read-only key, a team's rule, a plan's limit."""

    code = "upstream_forbidden"


class UpstreamConflict(HelperError):
    """Upstash says that the request conflicts with what is there (409)."""

    code = "upstream_conflict"


class UpstreamRateLimited(HelperError):
    """Upstash asks for fewer requests (429)."""

    code = "upstream_rate_limited"


class UpstreamUnavailable(HelperError):
    """Upstash could not be reached, failed (5xx), or sent something that cannot be read."""

    code = "upstream_unavailable"


class UpstreamTimeout(HelperError):
    """Upstash did not answer in time."""

    code = "upstream_timeout"


# --- changes of several steps -----------------------------------------------------------------------------------------


class PartlyApplied(HelperError):
    """Of several changes some were made before one failed."""

    code = "partly_applied"

    def __init__(self, detail: str, *, applied: tuple[str, ...], cause: HelperError) -> None:
        """
        Args:
            detail: What failed and what to do.
            applied: The fields that were changed.
            cause: Why the next one was not.
        """
        super().__init__(detail, retry_after=cause.retry_after)
        self.applied = applied
        self.cause = cause
