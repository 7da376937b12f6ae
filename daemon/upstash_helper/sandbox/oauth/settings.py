"""What the authorization server grants, and the points on which tests can make it behave differently."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

AUDIENCE = "upstash-api"
SCOPES = frozenset({"offline_access", "openid", "profile", "email"})
ISSUER_SCOPES = SCOPES | {"public_metadata", "private_metadata"}

Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class OAuthSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """
    Points on which Upstash's services differ from each other or from their documentation.

    Mutable: tests change the settings of a running sandbox through the admin API.
    """

    require_pkce: bool = True
    """Require PKCE from partners. The guideline shows a client that uses neither PKCE nor ``state``."""
    redirect_iss: bool = False
    """Include the partners' issuer in the redirect (RFC 9207)."""
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
    """Seconds for which a partner's access token is valid."""
    issuer_token_lifetime: Seconds = 86_400.0
    """Seconds for which an access token of the issuer is valid."""
    issuer_require_pkce: bool = True
    """Require PKCE at the issuer."""
    issuer_rotation: bool = True
    """Replace the issuer's refresh token on each refresh."""
    issuer_registration: bool = True
    """Let clients register themselves at the issuer."""
    issuer_iss: Literal["on", "off", "wrong"] = "on"
    """The parameter ``iss`` of the issuer's redirects (RFC 9207): the issuer, none, or that of another server."""
    identity: bool = True
    """Serve the sandbox's identity. Otherwise, a daemon takes it for another server."""
    blocked: bool = False
    """Report every account as blocked in the response of ``token-info``."""
