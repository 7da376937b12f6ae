"""The one place where a credential becomes the ``Authorization`` header of a request to Upstash."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from upstash_helper.broker.errors import ReconnectRequired

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential


def authorization(credential: Credential) -> str:
    """
    Return the header's value: HTTP Basic for an API key (RFC 7617, in UTF-8), Bearer for a grant (RFC 6750).

    Raises:
        ReconnectRequired: If the credential lacks the key's email address, or the grant's access token.
    """
    if credential.grant is not None:
        if credential.access_token is None:
            raise ReconnectRequired("The helper has no access token for the Upstash account. Connect again.")
        return f"Bearer {credential.access_token.reveal()}"
    if credential.email is None or credential.api_key is None:
        raise ReconnectRequired("The email address of the Upstash account is unknown. Connect again.")
    return f"Basic {_basic(credential.email, credential.api_key.reveal())}"


def secrets_of(credential: Credential) -> tuple[str | None, ...]:
    """Return the texts that an error message must not repeat, even if Upstash does."""
    if credential.access_token is not None:
        return credential.access_token.reveal(), credential.email
    if credential.api_key is None:
        return (credential.email,)
    key = credential.api_key.reveal()
    return key, credential.email, credential.email and _basic(credential.email, key)


def _basic(email: str, api_key: str) -> str:
    return base64.b64encode(f"{email}:{api_key}".encode()).decode()
