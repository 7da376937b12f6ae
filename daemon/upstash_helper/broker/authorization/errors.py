"""Errors of the OAuth endpoints, which have codes of their own (RFC 6749, section 5.2, and the RFCs that extend it)."""

from __future__ import annotations

from typing import Final, Literal

Code = Literal[
    "access_denied",
    "invalid_client",
    "invalid_client_metadata",
    "invalid_grant",
    "invalid_redirect_uri",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
]


class OAuthError(Exception):
    """A request that an OAuth endpoint refuses."""

    def __init__(self, code: Code, description: str, *, retry_after: float | None = None) -> None:
        """
        Args:
            code: The error code.
            description: What is wrong, in printable ASCII without quotes and backslashes (RFC 6749, section 5.2).
            retry_after: Seconds after which another attempt may succeed.
        """
        super().__init__(description)
        self.code: Final = code
        self.description: Final = _printable(description)
        self.retry_after: Final = retry_after


class RefusedOnPage(Exception):
    """
    An authorization request whose client or redirect URI is not valid, so that its error must not be redirected
    (RFC 6749, section 4.1.2.1): the user sees it on a page.
    """

    def __init__(self, title: str, detail: str) -> None:
        """
        Args:
            title: The problem in a few words.
            detail: What is wrong, and what to do.
        """
        super().__init__(title)
        self.title: Final = title
        self.detail: Final = detail


def _printable(text: str) -> str:
    quoted = text.replace('"', "'").replace("\\", "/")
    return "".join(character if " " <= character <= "~" else "?" for character in quoted)
