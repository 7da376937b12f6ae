"""The validation callbacks that oauthlib's server needs, answered from the store."""

from __future__ import annotations

import re
import secrets
import time
from abc import abstractmethod
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import msgspec
from oauthlib.oauth2 import InvalidRequestError
from oauthlib.openid import RequestValidator

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.oauth.jwt import TokenSigner
from upstash_helper.sandbox.oauth.settings import AUDIENCE, SCOPES, OAuthSettings
from upstash_helper.sandbox.oauth.store import AuthorizationCode, IssuedToken, OAuthStore, RegisteredClient

if TYPE_CHECKING:
    from oauthlib.common import Request

_S256_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Client(msgspec.Struct, frozen=True):
    """A registered client. oauthlib passes it as ``request.client``."""

    client_id: str


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The user that tokens are issued for, and their grant. oauthlib passes it as ``request.user``."""

    account: Account
    family: str
    audience: str = ""
    nonce: str | None = None
    team_id: str | None = None
    read_only: bool = False


class Validator(RequestValidator):
    """
    Allows only public clients, authorization codes with PKCE S256, and refresh with rotation.

    The methods implement oauthlib's interface, which defines their names, parameters, and return values.
    """

    scopes: AbstractSet[str]
    """The scopes in the discovery document."""

    def __init__(
        self, *, issuer: str, accounts: Accounts, store: OAuthStore, signer: TokenSigner, settings: OAuthSettings
    ) -> None:
        super().__init__()
        self.issuer = issuer
        self._accounts = accounts
        self._store = store
        self._signer = signer
        self._settings = settings

    # --- the differences between the servers ---

    @property
    @abstractmethod
    def token_lifetime(self) -> int:
        """Seconds for which an access token is valid."""

    @property
    @abstractmethod
    def redirect_iss(self) -> str | None:
        """The parameter ``iss`` of redirects (RFC 9207), or None."""

    @abstractmethod
    def matches_redirect_uri(self, registered: str, requested: str) -> bool:
        """Return whether a client that registered one redirect URI may use another one."""

    @abstractmethod
    def audience_of(self, request: Request) -> str:
        """
        Return the audience that an authorization request asks for.

        Raises:
            InvalidRequestError: If there is no such audience.
        """

    # --- clients ---

    def client_authentication_required(self, request: Request, *_: Any, **__: Any) -> bool:
        """Return False: public clients have no secret (RFC 6749, section 2.1)."""
        return False

    def authenticate_client_id(self, client_id: str | None, request: Request, *_: Any, **__: Any) -> bool:
        """Accept registered clients."""
        if not client_id or self.client(client_id) is None:
            return False
        request.client = Client(client_id)
        return True

    def validate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        """Accept registered clients."""
        return self.authenticate_client_id(client_id, request)

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        """Accept registered redirect URIs."""
        client = self.client(client_id)
        uris = client.redirect_uris if client else []
        return any(self.matches_redirect_uri(registered, redirect_uri) for registered in uris)

    def get_default_redirect_uri(self, *_: Any, **__: Any) -> str:
        """Return none: like Auth0, require the parameter."""
        return ""

    def client(self, client_id: str) -> RegisteredClient | None:
        """Return a client, or None if it is not registered."""
        return self._store.client(client_id)

    # --- the authorization request ---

    def validate_response_type(self, client_id: str, response_type: str, *_: Any, **__: Any) -> bool:
        """Accept only ``code``."""
        return response_type == "code"

    def validate_scopes(self, client_id: str, scopes: list[str], *_: Any, **__: Any) -> bool:
        """Accept the scopes in the discovery document."""
        return self.scopes >= set(scopes)

    def get_default_scopes(self, *_: Any, **__: Any) -> list[str]:
        """Return no scopes for a client that requests none."""
        return []

    @abstractmethod
    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Return whether a client must use PKCE."""

    def validate_silent_login(self, request: Request) -> bool:
        """Reject ``prompt=none``: the user is always asked."""
        return False

    def validate_silent_authorization(self, request: Request) -> bool:
        """Reject ``prompt=none``: the user is always asked."""
        return False

    def validate_user_match(self, id_token_hint: str, scopes: Any, claims: Any, request: Request) -> bool:
        """Accept every user: ``id_token_hint`` is ignored."""
        return True

    def validate_parameters(self, request: Request) -> dict[str, Any]:
        """
        Check what oauthlib does not: the response mode, the challenge's method and format, and the audience.

        Raises:
            InvalidRequestError: Sent to the client by redirect.
        """
        if request.response_mode not in {None, "query"}:
            request.response_mode = "query"  # of this error
            raise InvalidRequestError("response_mode must be query.", request=request)
        if request.code_challenge is not None or self.is_pkce_required(str(request.client_id), request):
            self._require_s256(request)
        self.audience_of(request)
        return {}

    @staticmethod
    def _require_s256(request: Request) -> None:
        if request.code_challenge is None:
            raise InvalidRequestError("AuthorizationCode challenge required.", request=request)
        if request.code_challenge_method != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.", request=request)
        if _S256_CHALLENGE.fullmatch(request.code_challenge) is None:
            raise InvalidRequestError("code_challenge is not a base64url-encoded SHA-256.", request=request)

    # --- authorization codes ---

    def save_authorization_code(self, client_id: str, code: Any, request: Request, *_: Any, **__: Any) -> None:
        """Store the code and what it is bound to."""
        subject = subject_of(request)
        issued = AuthorizationCode(
            family=subject.family,
            client_id=client_id,
            redirect_uri=str(request.redirect_uri),
            challenge=request.code_challenge,
            account_id=subject.account.id,
            team_id=subject.team_id,
            read_only=subject.read_only,
            scope=" ".join(request.scopes or ()),
            audience=subject.audience,
            nonce=request.nonce,
            created_at=time.time(),
        )
        self._store.add_code(code["code"], issued)

    def validate_code(self, client_id: str, code: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Accept an unexpired code once, from its client, with its redirect URI (RFC 6749, section 4.1.3)."""
        issued = self._store.code(code)
        if issued is None or issued.client_id != client_id or issued.redirect_uri != request.redirect_uri:
            return False
        if issued.spent:
            # RFC 6749, section 4.1.2: a code that is used twice was stolen, so its tokens are revoked.
            self._store.revoke_family(issued.family)
            return False
        if time.time() - issued.created_at >= self._settings.code_lifetime:
            return False
        if issued.challenge is None and request.code_verifier is not None:
            # RFC 9700, section 4.8.2: somebody has removed the challenge from the client's authorization request.
            return False
        account = self._accounts.get(issued.account_id)
        if account is None:
            return False
        request.user = Subject(
            account=account,
            family=issued.family,
            audience=issued.audience,
            nonce=issued.nonce,
            team_id=issued.team_id,
            read_only=issued.read_only,
        )
        request.scopes = issued.scope.split()
        return True

    def get_code_challenge(self, code: str, request: Request) -> Any:
        """Return the challenge that the code verifier must match, or None if the client does not use PKCE."""
        issued = self._store.code(code)
        return issued.challenge if issued else None

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """Return the only method allowed."""
        return "S256"

    def get_authorization_code_nonce(self, client_id: str, code: str, redirect_uri: str, request: Request) -> Any:
        """Return the nonce for the ID token, or None."""
        return subject_of(request).nonce

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        """Accept the redirect URI of the authorization request. ``validate_code`` has compared it already."""
        issued = self._store.code(code)
        return issued is not None and issued.redirect_uri == redirect_uri

    def invalidate_authorization_code(self, client_id: str, code: str, request: Request, *_: Any, **__: Any) -> None:
        """Mark the code as used."""
        self._store.mark_code_used(code)

    # --- tokens ---

    def validate_grant_type(self, client_id: str, grant_type: str, *_: Any, **__: Any) -> bool:
        """Accept the grant types of the client."""
        client = self.client(client_id)
        return client is not None and grant_type in client.grant_types

    def may_refresh(self, request: Request) -> bool:
        """Return whether the client has requested a refresh token (OpenID Connect Core, section 11)."""
        requested = "offline_access" in (request.scopes or ())
        return requested and self.validate_grant_type(str(request.client_id), "refresh_token")

    def save_bearer_token(self, token: Any, request: Request, *_: Any, **__: Any) -> None:
        """Store the new tokens, and mark the refresh token that they replace."""
        subject = subject_of(request)
        common = {
            "family": subject.family,
            "client_id": str(request.client_id),
            "account_id": subject.account.id,
            "audience": subject.audience,
        }
        scope, expires_at = token.get("scope", ""), time.time() + token["expires_in"]
        access = IssuedToken(kind="access", expires_at=expires_at, scope=scope, **common)
        self._store.add_token(token["access_token"], access)
        used = request.refresh_token if request.grant_type == "refresh_token" else None
        issued = token.get("refresh_token")
        if issued is None or issued == used:
            return
        if used:
            # RFC 6749, section 6: the new token has the scope of the old one, even if less was requested this time.
            scope = " ".join(self.get_original_scopes(used, request))
            self._store.rotate(used)
        self._store.add_token(issued, IssuedToken(kind="refresh", expires_at=None, scope=scope, **common))

    def rotate_refresh_token(self, request: Request) -> bool:
        """Issue a new refresh token on each refresh."""
        return True

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Accept the latest refresh token. An older one revokes its family (RFC 9700, section 4.14.2)."""
        issued = self._store.token(refresh_token)
        if issued is None or issued.kind != "refresh" or issued.client_id != client.client_id:
            return False
        if issued.state == "rotated":
            self._store.revoke_family(issued.family)
        account = self._accounts.get(issued.account_id)
        if issued.state != "live" or account is None:
            return False
        request.user = Subject(account=account, family=issued.family, audience=issued.audience)
        return True

    def get_original_scopes(self, refresh_token: str, request: Request, *_: Any, **__: Any) -> list[str]:
        """Return the scopes of a refresh token."""
        issued = self._store.token(refresh_token)
        return issued.scope.split() if issued else []

    def revoke_token(self, token: str, token_type_hint: str | None, request: Request, *_: Any, **__: Any) -> None:
        """Revoke a token of this client. A refresh token revokes its family (RFC 7009, section 2.1)."""
        issued = self._store.token(token)
        if issued is None or request.client is None or issued.client_id != request.client.client_id:
            return
        if issued.kind == "refresh":
            self._store.revoke_family(issued.family)
        self._store.revoke(token)

    def make_access_token(self, request: Request) -> str:
        """Return a signed access token, like Auth0's for an API with an audience."""
        subject = subject_of(request)
        now = int(time.time())
        scopes = list(request.scopes or ())
        userinfo = f"{self.issuer.rstrip('/')}/userinfo"
        audience = [*filter(None, [subject.audience]), *([userinfo] if "openid" in scopes else [])]
        claims = {
            "iss": self.issuer,
            "sub": subject.account.id,
            "aud": audience[0] if len(audience) == 1 else audience,
            "iat": now,
            "exp": now + self.token_lifetime,
            "scope": " ".join(scopes),
            "azp": request.client_id,
            "jti": secrets.token_hex(16),
        }
        if self._settings.access_token_email:
            claims["https://upstash.com/email"] = subject.account.email
        return self._signer.sign(claims)

    def finalize_id_token(
        self, id_token: dict[str, Any], token: dict[str, Any], token_handler: Any, request: Request
    ) -> str:
        """Return the signed ID token, with the email if its scope was granted (OpenID Connect Core, section 5.4)."""
        subject = subject_of(request)
        claims = {
            **id_token,
            "iss": self.issuer,
            "sub": subject.account.id,
            "exp": id_token["iat"] + self.token_lifetime,
        }
        if self._settings.id_token_email and "email" in (request.scopes or ()):
            claims |= {"email": subject.account.email, "email_verified": True}
        return self._signer.sign(claims)


class PartnerValidator(Validator):
    """The server of the guideline's flow, with one client, given to a partner."""

    scopes = SCOPES

    @property
    def token_lifetime(self) -> int:
        """The setting."""
        return int(self._settings.token_lifetime)

    @property
    def redirect_iss(self) -> str | None:
        """The issuer if the setting is on."""
        return self.issuer if self._settings.redirect_iss else None

    def matches_redirect_uri(self, registered: str, requested: str) -> bool:
        """Compare exactly (RFC 9700, section 2.1)."""
        return registered == requested

    def audience_of(self, request: Request) -> str:
        """Return Auth0's ``audience`` parameter, which oauthlib does not support, or an empty string."""
        audience = str(dict(request.uri_query_params).get("audience", ""))
        if audience not in {"", AUDIENCE}:
            raise InvalidRequestError(f"Unknown audience; it must be {AUDIENCE}.", request=request)
        return audience

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Require PKCE unless the setting is off."""
        return self._settings.require_pkce


def subject_of(request: Request) -> Subject:
    """Return the user that ``request`` issues tokens for."""
    if not isinstance(request.user, Subject):
        raise TypeError("oauthlib issued a token before validating the grant")
    return request.user
