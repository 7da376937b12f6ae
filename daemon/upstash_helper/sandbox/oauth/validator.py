"""The questions that oauthlib's server side asks, answered from the store."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
from oauthlib.oauth2 import InvalidRequestError
from oauthlib.openid import RequestValidator

from upstash_helper.sandbox.developer_api.accounts import Account, Accounts
from upstash_helper.sandbox.faults import Switches
from upstash_helper.sandbox.oauth.grants import Code, Grants, Token
from upstash_helper.sandbox.oauth.tokens import TokenSigner

if TYPE_CHECKING:
    from oauthlib.common import Request

AUDIENCE = "upstash-api"
SCOPES = frozenset({"offline_access", "openid", "profile", "email"})
_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Client(msgspec.Struct, frozen=True):
    """A registered client; oauthlib carries it as ``request.client``."""

    client_id: str


class Grantee(msgspec.Struct, frozen=True, kw_only=True):
    """Whom tokens are made for; oauthlib carries it as ``request.user``."""

    account: Account
    family: str
    audience: str
    nonce: str | None = None


class Validator(RequestValidator):
    """
    Public clients, authorization code with PKCE S256 and refresh with rotation; nothing else is let through.

    The methods' names, arguments and meaning are oauthlib's.
    """

    def __init__(
        self, *, issuer: str, accounts: Accounts, grants: Grants, signer: TokenSigner, switches: Switches
    ) -> None:
        super().__init__()
        self._issuer = issuer
        self._accounts = accounts
        self._grants = grants
        self._signer = signer
        self._switches = switches

    # --- clients ---

    def client_authentication_required(self, request: Request, *_: Any, **__: Any) -> bool:
        """Public clients have no secret (RFC 6749, section 2.1)."""
        return False

    def authenticate_client_id(self, client_id: str | None, request: Request, *_: Any, **__: Any) -> bool:
        """Take a client that is registered."""
        if not client_id or self._grants.redirect_uris(client_id) is None:
            return False
        request.client = Client(client_id)
        return True

    def validate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        """Take a client that is registered."""
        return self.authenticate_client_id(client_id, request)

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        """Compare strings, whole and exact (RFC 9700, section 2.1)."""
        return redirect_uri in (self._grants.redirect_uris(client_id) or ())

    def get_default_redirect_uri(self, *_: Any, **__: Any) -> str:
        """Have none: Auth0 wants it spelled out."""
        return ""

    # --- the authorization request ---

    def validate_response_type(self, client_id: str, response_type: str, *_: Any, **__: Any) -> bool:
        """Take ``code``."""
        return response_type == "code"

    def validate_scopes(self, client_id: str, scopes: list[str], *_: Any, **__: Any) -> bool:
        """Take the scopes that the discovery document names."""
        return SCOPES.issuperset(scopes)

    def get_default_scopes(self, *_: Any, **__: Any) -> list[str]:
        """Give a client that asks for no scope none."""
        return []

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Ask for PKCE always."""
        return True

    def validate_silent_login(self, request: Request) -> bool:
        """Keep no session, so ``prompt=none`` cannot succeed."""
        return False

    def validate_silent_authorization(self, request: Request) -> bool:
        """Keep no session."""
        return False

    def validate_user_match(self, id_token_hint: str, scopes: Any, claims: Any, request: Request) -> bool:
        """Whoever signs in is the user."""
        return True

    def require_s256(self, request: Request) -> dict[str, Any]:
        """
        Check what oauthlib leaves open: the challenge method, the challenge's form, and Auth0's ``audience``.

        Raises:
            InvalidRequestError: Sent to the client by redirect.
        """
        if request.code_challenge is None:
            raise InvalidRequestError("Code challenge required.", request=request)
        if request.code_challenge_method != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.", request=request)
        if _S256_CHALLENGE.fullmatch(request.code_challenge) is None:
            raise InvalidRequestError("code_challenge is not a base64url-encoded SHA-256.", request=request)
        if audience_of(request) not in {"", AUDIENCE}:
            raise InvalidRequestError(f"Unknown audience; it must be {AUDIENCE}.", request=request)
        return {}

    # --- authorization codes ---

    def save_authorization_code(self, client_id: str, code: Any, request: Request, *_: Any, **__: Any) -> None:
        """Remember the code and all that it is bound to."""
        grantee = _grantee(request)
        grant = Code(
            family=grantee.family,
            client_id=client_id,
            redirect_uri=str(request.redirect_uri),
            challenge=str(request.code_challenge),
            account_id=grantee.account.id,
            scope=" ".join(request.scopes or ()),
            audience=grantee.audience,
            nonce=request.nonce,
            created_at=time.time(),
        )
        self._grants.add_code(code["code"], grant)

    def validate_code(self, client_id: str, code: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Take a code once, from its client, with its redirect URI, in time (RFC 6749, section 4.1.3)."""
        grant = self._grants.code(code)
        if grant is None or grant.client_id != client_id or grant.redirect_uri != request.redirect_uri:
            return False
        if grant.spent:
            # RFC 6749, section 4.1.2: one of the two who showed it has stolen it.
            self._grants.revoke_family(grant.family)
            return False
        if time.time() - grant.created_at >= self._switches.code_lifetime:
            return False
        account = self._accounts.get(grant.account_id)
        if account is None:
            return False
        request.user = Grantee(account=account, family=grant.family, audience=grant.audience, nonce=grant.nonce)
        request.scopes = grant.scope.split()
        return True

    def get_code_challenge(self, code: str, request: Request) -> str:
        """Return the challenge that the verifier must answer."""
        grant = self._grants.code(code)
        return grant.challenge if grant else ""

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """Return the one method that is taken."""
        return "S256"

    def get_authorization_code_nonce(self, client_id: str, code: str, redirect_uri: str, request: Request) -> Any:
        """Return the nonce that the id_token repeats, or None."""
        return _grantee(request).nonce

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        """Say the same as ``validate_code``."""
        grant = self._grants.code(code)
        return grant is not None and grant.redirect_uri == redirect_uri

    def invalidate_authorization_code(self, client_id: str, code: str, request: Request, *_: Any, **__: Any) -> None:
        """Mark the code as spent."""
        self._grants.spend_code(code)

    # --- tokens ---

    def validate_grant_type(self, client_id: str, grant_type: str, *_: Any, **__: Any) -> bool:
        """Take the two grant types."""
        return grant_type in {"authorization_code", "refresh_token"}

    def save_bearer_token(self, token: Any, request: Request, *_: Any, **__: Any) -> None:
        """Remember the new tokens, and that they replace the refresh token that was shown."""
        grantee = _grantee(request)
        common = {
            "family": grantee.family,
            "client_id": str(request.client_id),
            "account_id": grantee.account.id,
            "scope": token.get("scope", ""),
            "audience": grantee.audience,
        }
        expires_at = time.time() + token["expires_in"]
        self._grants.add_token(token["access_token"], Token(kind="access", expires_at=expires_at, **common))
        if "refresh_token" in token:
            self._grants.add_token(token["refresh_token"], Token(kind="refresh", expires_at=None, **common))
        if request.grant_type == "refresh_token" and request.refresh_token:
            self._grants.rotate(request.refresh_token)

    def rotate_refresh_token(self, request: Request) -> bool:
        """Give a new refresh token each time."""
        return True

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Take the newest refresh token; an older one revokes its whole family (RFC 9700, section 4.14.2)."""
        grant = self._grants.token(refresh_token)
        if grant is None or grant.kind != "refresh" or grant.client_id != client.client_id:
            return False
        if grant.state == "rotated":
            self._grants.revoke_family(grant.family)
        account = self._accounts.get(grant.account_id)
        if grant.state != "live" or account is None:
            return False
        request.user = Grantee(account=account, family=grant.family, audience=grant.audience)
        return True

    def get_original_scopes(self, refresh_token: str, request: Request, *_: Any, **__: Any) -> list[str]:
        """Return the scopes of the token that is refreshed."""
        grant = self._grants.token(refresh_token)
        return grant.scope.split() if grant else []

    def revoke_token(self, token: str, token_type_hint: str | None, request: Request, *_: Any, **__: Any) -> None:
        """Revoke a token of this client; a refresh token takes its family along (RFC 7009, section 2.1)."""
        grant = self._grants.token(token)
        if grant is None or request.client is None or grant.client_id != request.client.client_id:
            return
        if grant.kind == "refresh":
            self._grants.revoke_family(grant.family)
        self._grants.revoke(token)

    def make_access_token(self, request: Request) -> str:
        """Return a signed token, as Auth0 gives for an API with an audience."""
        grantee = _grantee(request)
        now = int(time.time())
        scopes = list(request.scopes or ())
        audience = [*filter(None, [grantee.audience]), *([f"{self._issuer}userinfo"] if "openid" in scopes else [])]
        claims = {
            "iss": self._issuer,
            "sub": grantee.account.id,
            "aud": audience[0] if len(audience) == 1 else audience,
            "iat": now,
            "exp": now + int(self._switches.token_lifetime),
            "scope": " ".join(scopes),
            "azp": request.client_id,
            "jti": secrets.token_hex(16),
        }
        if self._switches.access_token_email:
            claims["https://upstash.com/email"] = grantee.account.email
        return self._signer.sign(claims)

    def finalize_id_token(
        self, id_token: dict[str, Any], token: dict[str, Any], token_handler: Any, request: Request
    ) -> str:
        """Return the id_token signed, with the e-mail if that scope was granted (OpenID Connect Core, 5.4)."""
        grantee = _grantee(request)
        claims = {
            **id_token,
            "iss": self._issuer,
            "sub": grantee.account.id,
            "exp": id_token["iat"] + int(self._switches.token_lifetime),
        }
        if self._switches.id_token_email and "email" in (request.scopes or ()):
            claims |= {"email": grantee.account.email, "email_verified": True}
        return self._signer.sign(claims)


def _grantee(request: Request) -> Grantee:
    if not isinstance(request.user, Grantee):
        raise TypeError("oauthlib makes a token before it has asked whom it is for")
    return request.user


def audience_of(request: Request) -> str:
    """Return Auth0's ``audience`` parameter, which oauthlib does not know; empty if there is none."""
    return str(dict(request.uri_query_params).get("audience", ""))
