"""Why a sign-in gave no tokens: from answers and failures to the reasons of ``AuthorizationFailed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.ports import AuthorizationFailed, FailureReason
from upstash_helper.upstream.words import fit, words_of

if TYPE_CHECKING:
    from upstash_helper.upstream.request import TransportFailed
    from upstash_helper.upstream.response import Reply

REASONS: Final[dict[str, FailureReason]] = {
    "access_denied": "access_denied",
    "consent_required": "consent_required",
    "interaction_required": "login_required",
    "invalid_client": "invalid_client",
    "invalid_grant": "invalid_grant",
    "invalid_request": "invalid_request",
    "invalid_scope": "invalid_request",
    "login_required": "login_required",
    "server_error": "server_error",
    "slow_down": "rate_limited",
    "temporarily_unavailable": "server_error",
    "too_many_attempts": "rate_limited",
    "too_many_requests": "rate_limited",
    "unauthorized": "unauthorized",
    "unauthorized_client": "invalid_client",
    "unsupported_grant_type": "invalid_request",
    "unsupported_response_type": "invalid_request",
}

_ADVICE: Final[dict[FailureReason, str]] = {
    "access_denied": "Upstash did not let this sign-in pass. Connect again.",
    "consent_required": "Upstash wants the user's consent first. Connect again.",
    "invalid_client": "Upstash does not know the client id; check `client_id` in the settings.",
    "invalid_grant": "The sign-in has expired or was used before. Connect again.",
    "invalid_request": "Upstash did not take the request; check `client_id` and the port in the settings.",
    "login_required": "Upstash wants the user to sign in first. Connect again.",
    "unauthorized": "Upstash does not let this user in.",
}


def reason_of(error: str, status: int) -> FailureReason:
    """
    Return the reason for an answer of the token endpoint.

    Args:
        error: Its ``error`` code (RFC 6749, section 5.2, and Auth0's own), or empty.
        status: Its HTTP status, which decides where it is plain and where the code is unknown.
    """
    if status == 429:
        return "rate_limited"
    if status >= 500:
        return "server_error"
    if status == 401 and error in {"", "access_denied"}:
        return "invalid_client"  # Auth0 says access_denied of a client, though no user denied anything
    if error in REASONS:
        return REASONS[error]
    return "invalid_request" if error else "invalid_response"


def refusal(reply: Reply, error: str, *secrets: str) -> AuthorizationFailed:
    """
    Return the failure for an answer of the token endpoint that has no tokens.

    Args:
        reply: The answer.
        error: Its ``error`` code, or empty.
        secrets: What must not be shown even if the answer repeats it.
    """
    reason = reason_of(error, reply.status)
    match reason:
        case "rate_limited":
            wait = "later" if reply.retry_after is None else f"in {reply.retry_after:.0f} s"
            detail = f"Upstash asks for fewer sign-ins. Connect again {wait}."
        case "server_error":
            detail = f"Upstash's sign-in failed (status {reply.status}). Connect again later."
        case "invalid_response":
            detail = f"Upstash's sign-in sent an answer that cannot be read (status {reply.status}). Connect again."
        case _:
            said = words_of(reply, *secrets) or fit(error, *secrets)
            detail = f"{_ADVICE[reason]} Upstash says: {said}" if said else _ADVICE[reason]
    return AuthorizationFailed(reason, detail)


def failed_as(failure: TransportFailed) -> FailureReason:
    """Return the reason for an answer that never came, or came in part."""
    if failure.kind == "timeout":
        return "timeout"
    return "invalid_response" if failure.stage == "answered" else "network_error"
