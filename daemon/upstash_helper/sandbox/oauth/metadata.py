"""The documents in which the authorization servers describe themselves (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

from typing import Any


def describe(*, issuer: str, scopes: frozenset[str], iss: bool, endpoints: dict[str, str]) -> dict[str, Any]:
    """
    Return the metadata.

    Args:
        issuer: The issuer.
        scopes: The scopes that clients can request.
        iss: Whether redirects have the parameter ``iss`` (RFC 9207).
        endpoints: The URLs of the server's endpoints, by their names in the document.
    """
    return {
        "issuer": issuer,
        **endpoints,
        "scopes_supported": sorted(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "email", "email_verified"],
        "authorization_response_iss_parameter_supported": iss,
    }
