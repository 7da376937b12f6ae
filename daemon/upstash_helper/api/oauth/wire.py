"""Wire types of the OAuth endpoints. The names of their fields are those of the RFCs."""

from __future__ import annotations

import msgspec


class ClientMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7591, section 2: what a client says about itself. Other members are ignored."""

    redirect_uris: tuple[str, ...]
    client_name: str | None = None
    grant_types: tuple[str, ...] | None = None
    response_types: tuple[str, ...] | None = None


class RegisteredClient(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7591, section 3.2.1: a client as it was registered. It has no secret."""

    client_id: str
    client_id_issued_at: int
    client_name: str
    redirect_uris: tuple[str, ...]
    """Those that are supported."""
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    response_types: tuple[str, ...] = ("code",)
    token_endpoint_auth_method: str = "none"  # noqa: S105 - the name of a method
    application_type: str = "native"


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749, sections 4.1.3 and 6; RFC 7636; RFC 8707."""

    grant_type: str
    client_id: str
    code: str | None = None
    redirect_uri: str | None = None
    code_verifier: str | None = None
    refresh_token: str | None = None
    resource: str | None = None
    scope: str | None = None


class TokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int
    refresh_token: str
    scope: str


class RevocationForm(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7009, section 2.1."""

    token: str
    client_id: str
    token_type_hint: str | None = None


class OAuthProblem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749, section 5.2."""

    error: str
    error_description: str


class ResourceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9728."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...]
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "upstash-helper"


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8414, with RFC 7009, RFC 7591, RFC 7636, and RFC 9207."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str
    revocation_endpoint: str
    scopes_supported: tuple[str, ...]
    response_types_supported: tuple[str, ...] = ("code",)
    response_modes_supported: tuple[str, ...] = ("query",)
    grant_types_supported: tuple[str, ...] = ("authorization_code", "refresh_token")
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("none",)
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    authorization_response_iss_parameter_supported: bool = True
    client_id_metadata_document_supported: bool = False
