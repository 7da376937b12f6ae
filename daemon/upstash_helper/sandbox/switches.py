"""What a test may switch while the sandbox runs. A restart puts all back."""

from __future__ import annotations

from typing import Annotated

import msgspec

Lifetime = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where Upstash's real services differ from each other, or from what is documented."""

    redirect_iss: bool = False
    """Name the issuer in the redirect (RFC 9207)."""
    api_key_email: bool = False
    """Put the account's e-mail into the answer of ``/apikey``."""
    id_token_email: bool = True
    """Put it into the id_token."""
    access_token_email: bool = False
    """Put it into the access token, as the namespaced claim that an Auth0 rule would add."""
    userinfo: bool = True
    """Answer ``/userinfo``; else it fails with 503."""
    code_lifetime: Lifetime = 60.0
    """Seconds for which an authorization code can be exchanged."""
    token_lifetime: Lifetime = 172_800.0
    """Seconds for which an access token is good."""
