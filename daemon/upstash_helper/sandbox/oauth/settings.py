"""What the authorization server grants, and the points on which tests can make it behave differently."""

from __future__ import annotations

from typing import Annotated

import msgspec

AUDIENCE = "upstash-api"
SCOPES = frozenset({"offline_access", "openid", "profile", "email"})

Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class OAuthSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Points on which Upstash's services differ from each other or from their documentation.

    Mutable: tests change the settings of a running sandbox through the admin API.
    """

    redirect_iss: bool = False
    """Include the issuer in the redirect (RFC 9207)."""
    api_key_email: bool = False
    """Include the account's email in the response of ``/apikey``."""
    id_token_email: bool = True
    """Include the email in the ID token."""
    access_token_email: bool = False
    """Include the email in the access token, as the namespaced claim that an Auth0 rule would add."""
    userinfo: bool = True
    """Serve ``/userinfo``; if false, it fails with 503."""
    code_lifetime: Seconds = 60.0
    """Seconds for which an authorization code can be exchanged."""
    token_lifetime: Seconds = 172_800.0
    """Seconds for which an access token is valid."""
