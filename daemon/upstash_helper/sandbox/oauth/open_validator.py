"""The validation callbacks of the open authorization server, where any program registers itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upstash_helper.sandbox.oauth import redirect_uris
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.oauth.settings import ISSUER_SCOPES
from upstash_helper.sandbox.oauth.validator import Validator, subject_of
from upstash_helper.sandbox.teams import Teams

if TYPE_CHECKING:
    from oauthlib.common import Request

WRONG_ISSUER = "https://issuer.invalid"


class OpenValidator(Validator):
    """Keeps one grant for each client and account, and accepts loopback redirects on any port."""

    scopes = ISSUER_SCOPES

    def __init__(self, *, grants: Grants, teams: Teams, **options: Any) -> None:
        super().__init__(**options)
        self._grants = grants
        self._teams = teams

    @property
    def token_lifetime(self) -> int:
        """The setting."""
        return int(self._settings.issuer_token_lifetime)

    @property
    def redirect_iss(self) -> str | None:
        """The issuer, unless the setting is off or wrong."""
        return {"on": self.issuer, "off": None, "wrong": WRONG_ISSUER}[self._settings.issuer_iss]

    def matches_redirect_uri(self, registered: str, requested: str) -> bool:
        """Ignore the port of a loopback address."""
        return redirect_uris.matches(registered, requested)

    def audience_of(self, request: Request) -> str:
        """Return none: the parameter is ignored."""
        return ""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Require PKCE unless the setting is off."""
        return self._settings.issuer_require_pkce

    def validate_scopes(self, client_id: str, scopes: list[str], *_: Any, **__: Any) -> bool:
        """Accept the scopes that the client has registered."""
        client = self.client(client_id)
        return client is not None and set(client.scope.split()) >= set(scopes)

    def rotate_refresh_token(self, request: Request) -> bool:
        """Issue a new refresh token on each refresh, unless the setting is off."""
        return self._settings.issuer_rotation

    def validate_code(self, client_id: str, code: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Reject the code too if the user has left the team in the meantime."""
        if not super().validate_code(client_id, code, client, request):
            return False
        subject = subject_of(request)
        return subject.team_id is None or self._teams.role(subject.account, subject.team_id) is not None

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Request, *_: Any, **__: Any) -> bool:
        """Reject the token too if its grant was revoked or replaced."""
        if not super().validate_refresh_token(refresh_token, client, request):
            return False
        return self._grants.of_family(subject_of(request).family) is not None

    def save_bearer_token(self, token: Any, request: Request, *_: Any, **__: Any) -> None:
        """Store the new tokens, and the grant of a sign-in."""
        super().save_bearer_token(token, request)
        subject = subject_of(request)
        if request.grant_type == "authorization_code":
            self._grants.put(
                client_id=str(request.client_id),
                account_id=subject.account.id,
                team_id=subject.team_id,
                read_only=subject.read_only,
                family=subject.family,
            )
        elif grant := self._grants.of_family(subject.family):
            self._grants.touch(grant.id)
