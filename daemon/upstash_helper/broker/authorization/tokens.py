"""
Tokens: a code is exchanged for an access token and a refresh token, which later refreshes replace.

Access tokens are kept in memory and last an hour; after a restart of the daemon, a client refreshes. A refresh token
works once. If one that was replaced is sent again, it was probably stolen, and it is unknown who has the new one: the
app's access is revoked (RFC 9700, section 4.14.2). The exception is a client that has lost the response, or whose
processes share one token and refresh at the same moment: for 30 seconds, and until the new token is used, the same
request gets the same response.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.programs import is_same_program
from upstash_helper.broker.apps.registry import ACCESS_TOKEN_SECONDS, caller_of, token_digest
from upstash_helper.broker.authorization.errors import OAuthError
from upstash_helper.broker.authorization_records import RefreshToken
from upstash_helper.broker.ledger import Delivered
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.authorization.codes import Code, Codes
    from upstash_helper.broker.authorization.store import AuthorizationStore
    from upstash_helper.broker.authorization_records import Client
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import App
    from upstash_helper.broker.ports import Clock

RETRY_SECONDS: Final = 30.0
"""How long a client can repeat a refresh: until its processes, which refresh at the same moment, have all done so."""

_PREFIX: Final = "uhr_"


class Tokens(NamedTuple):
    """A response of the token endpoint (RFC 6749, section 5.1)."""

    access_token: Secret
    refresh_token: Secret
    expires_in: float
    scope: str


class _Rotation(NamedTuple):
    """The last refresh of a family."""

    replaced: bytes
    """SHA-256 of the token that was sent."""
    at: float
    request: tuple[tuple[str, str], ...]
    response: Tokens


class TokenService:
    """Exchanges codes, refreshes tokens, and revokes them."""

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        codes: Codes,
        pairings: Pairings,
        apps: AppRegistry,
        audit: Audit,
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            store: The clients and refresh tokens.
            codes: The codes.
            pairings: The requests for access, which become apps when the code is exchanged.
            apps: The apps with access.
            audit: The audit log.
            background: Completes what was started, even if the client disconnects.
            clock: The clock.
        """
        self._store = store
        self._codes = codes
        self._pairings = pairings
        self._apps = apps
        self._audit = audit
        self._background = background
        self._clock = clock
        self._rotations: dict[str, _Rotation] = {}
        self._lock = asyncio.Lock()

    async def issue(self, form: Mapping[str, str], *, program: Identity) -> Tokens:
        """
        Handle a request to the token endpoint.

        Args:
            form: Its parameters, none of them repeated or empty.
            program: The program that sent it.

        Raises:
            OAuthError: If it is refused.
            LedgerUnavailable: If it cannot be recorded. Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._store.ready()
        client = self._client(form)
        match form.get("grant_type"):
            case "authorization_code":
                return await self._background.finish(self._exchange(form, client, program))
            case "refresh_token":
                return await self._background.finish(self._refresh(form, client, program))
            case None:
                raise OAuthError("invalid_request", "Send the grant_type.")
            case _:
                raise OAuthError(
                    "unsupported_grant_type", "The grant_type must be authorization_code or refresh_token."
                )

    async def revoke(self, form: Mapping[str, str]) -> None:
        """
        Revoke a token (RFC 7009) and all others in its family. If the app has no other family, it loses its access. An
        unknown token is not an error.

        Raises:
            OAuthError: If the request is not valid, or the token belongs to another client.
            LedgerUnavailable: If the ledger has not been read yet and cannot be read.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._store.ready()
        client = self._client(form)
        if "token" not in form:
            raise OAuthError("invalid_request", "Send the token.")
        given = form["token"]
        is_refresh_token = given.startswith(_PREFIX)
        family = _family_of(given) if is_refresh_token else self._apps.family_of(given.encode("utf-8", "replace"))
        async with self._lock:  # a refresh that is being written would bring the family back
            known = self._store.token(family)
            if known is None or (is_refresh_token and not _is_current(known, given)):
                return
            if known.client_id != client.id:
                raise OAuthError("invalid_grant", "The token belongs to another client.")
            others = [one for one in self._store.of_app(known.app_id) if one.family != family]
            self._end((known,))
            if not others:
                app = await self._apps.revoke(known.app_id, reason="app")
                self._audit.note_later(caller_of(app), "app.sign_out", app.id)

    def _client(self, form: Mapping[str, str]) -> Client:
        if "client_id" not in form:
            raise OAuthError("invalid_request", "Send the client_id.")
        client = self._store.client(form["client_id"])
        if client is None:
            raise OAuthError("invalid_client", "The client is not registered, or not anymore. Register it again.")
        return client

    # --- codes --------------------------------------------------------------------------------------------------------

    async def _exchange(self, form: Mapping[str, str], client: Client, program: Identity) -> Tokens:
        async with self._lock:
            code = self._codes.find(form.get("code", ""))
            if code is None or code.client_id != client.id:
                # To a client that has somebody else's code, it is unknown. It is not used up: anyone could do that.
                raise OAuthError("invalid_grant", "The code is not valid. Start the sign-in again.")
            _require_known(client, program)
            if code.is_used:
                await self._revoke_misused(code.app_id, f"code of {program.shown_without_pid}", "code_reused")
                raise OAuthError("invalid_grant", "The code was already used, so the access that it gave was revoked.")
            code.is_used = True  # also if it is refused: no second attempt
            self._check_code(form, code, client, program)
            try:
                app = await self._app_of(code, client)
                tokens = await self._begin_family(app, client, code.resource)
            except errors.HelperError:
                code.is_used = False  # it gave nothing: the disk is full, and the client may try again
                raise
            code.app_id = app.id
            self._end_former(client, app, tokens)
            self._store.used(client)
        return tokens

    def _check_code(self, form: Mapping[str, str], code: Code, client: Client, program: Identity) -> None:
        if self._codes.is_over(code):
            raise OAuthError("invalid_grant", "The code has expired. Start the sign-in again.")
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthError("invalid_grant", "The redirect_uri differs from that of the authorization request.")
        if not code.fits(form.get("code_verifier", "")):
            raise OAuthError("invalid_grant", "The code_verifier does not match the code_challenge.")
        if form.get("resource", code.resource) != code.resource:
            raise OAuthError("invalid_target", "The resource differs from that of the authorization request.")
        if not is_same_program(client.identity, program):
            raise OAuthError("invalid_grant", "This client was registered by another program.")

    async def _app_of(self, code: Code, client: Client) -> App:
        """
        Return the app that the user approved. If one decision has several codes, the first one creates it.

        A client that has access stays the same app, with what the user has decided now. It asks again when it needs
        another scope, and then goes on with its databases and its session.
        """
        secret = code.poll_secret.reveal().encode()
        former = next((it for it in reversed(self._store.of_client(client.id)) if self._apps.is_live(it.app_id)), None)
        try:
            try:
                if former is not None:
                    app = await self._pairings.grant_again(code.pairing_id, secret, former.app_id)
                else:
                    # The token of an app that uses OAuth is never sent: it gets others, and this one is forgotten.
                    app, _ = await self._pairings.token(code.pairing_id, secret, None)
            except errors.TokenDelivered:
                pairing = await self._pairings.find(code.pairing_id, secret, None)
                app = await self._apps.get(pairing.decision.app_id if isinstance(pairing.decision, Delivered) else "")
        except (errors.LedgerUnavailable, errors.LedgerFull):
            raise
        except errors.HelperError as error:
            raise OAuthError("invalid_grant", error.detail) from None
        return app

    async def _begin_family(self, app: App, client: Client, resource: str) -> Tokens:
        refresh_token = _new_token(secrets.token_hex(16))
        known = RefreshToken(
            family=_family_of(refresh_token.reveal()),
            digest=token_digest(refresh_token.reveal().encode()),
            client_id=client.id,
            app_id=app.id,
            resource=resource,
            created_at=self._clock.time(),
        )
        try:
            await self._store.save_token(known)
        except errors.HelperError:
            if not self._store.of_app(app.id):
                self._apps.take_back(app)
            raise
        return self._response(app, known, refresh_token)

    def _end_former(self, client: Client, app: App, tokens: Tokens) -> None:
        """End the tokens that the client had before: the user has decided again, and sees one app for it."""
        family = _family_of(tokens.refresh_token.reveal())
        former = tuple(token for token in self._store.of_client(client.id) if token.family != family)
        self._end(former)
        for app_id in {token.app_id for token in former} - {app.id}:
            if not self._store.of_app(app_id):
                self._apps.replaced(app_id)

    def _response(self, app: App, known: RefreshToken, refresh_token: Secret) -> Tokens:
        access_token = self._apps.issue_access_token(app.id, family=known.family)
        return Tokens(access_token, refresh_token, ACCESS_TOKEN_SECONDS, " ".join(app.scopes))

    # --- refresh tokens -----------------------------------------------------------------------------------------------

    async def _refresh(self, form: Mapping[str, str], client: Client, program: Identity) -> Tokens:
        given = form.get("refresh_token", "")
        async with self._lock:
            known = self._store.token(_family_of(given))
            if known is None:
                raise OAuthError("invalid_grant", "The refresh token is not valid; the user may have revoked it.")
            _require_known(client, program)
            if known.client_id != client.id or not is_same_program(client.identity, program):
                # The token is in the wrong hands. It is not used up, and repeated attempts revoke the access.
                await self._apps.misused(known.app_id, where=program.shown_without_pid)
                raise OAuthError("invalid_grant", "The refresh token belongs to another program.")
            app = await self._apps.get(known.app_id)
            self._check_refresh(form, known, app)
            if not _is_current(known, given):
                return await self._repeated(form, known, app, program)
            refresh_token = _new_token(known.family)
            digest = token_digest(refresh_token.reveal().encode())
            changed = msgspec.structs.replace(known, digest=digest)
            await self._store.save_token(changed)
            tokens = self._response(app, changed, refresh_token)
            self._remember(known, form, tokens)
            self._apps.used(app.id)
            self._store.used(client)
        return tokens

    def _check_refresh(self, form: Mapping[str, str], known: RefreshToken, app: App) -> None:
        if form.get("resource", known.resource) != known.resource:
            raise OAuthError("invalid_target", "The resource differs from that of the refresh token.")
        if not set(form.get("scope", "").split()) <= set(app.scopes):
            raise OAuthError("invalid_scope", "The user has not granted these scopes. Start the sign-in again.")

    async def _repeated(self, form: Mapping[str, str], known: RefreshToken, app: App, program: Identity) -> Tokens:
        """Return the response to the same request again, or revoke the access of the app."""
        last = self._rotations.get(known.family)
        if (
            last is not None
            and hmac.compare_digest(last.replaced, token_digest(form["refresh_token"].encode()))
            and last.request == _request(form)
            and self._clock.monotonic() - last.at < RETRY_SECONDS
        ):
            return last.response
        await self._revoke_misused(app.id, program.shown_without_pid, "refresh_token_reused")
        raise OAuthError("invalid_grant", "The refresh token was already used, so the app's access was revoked.")

    def _remember(self, known: RefreshToken, form: Mapping[str, str], tokens: Tokens) -> None:
        now = self._clock.monotonic()
        self._rotations[known.family] = _Rotation(known.digest, now, _request(form), tokens)
        self._clock.call_at(now + RETRY_SECONDS, self._forget_responses)

    def _forget_responses(self) -> None:
        now = self._clock.monotonic()
        self._rotations = {family: one for family, one in self._rotations.items() if now - one.at < RETRY_SECONDS}

    async def _revoke_misused(self, app_id: str, where: str, result: str) -> None:
        self._end(self._store.of_app(app_id))
        await self._apps.stolen(app_id, where=where, result=result)

    def _end(self, tokens: tuple[RefreshToken, ...]) -> None:
        for token in tokens:
            self._rotations.pop(token.family, None)
        self._store.end(tuple(token.family for token in tokens))


def _require_known(client: Client, program: Identity) -> None:
    """
    Refuse a sender that the system does not report, if it reported the program that registered. The sender may be
    another program that hides, or the system may be busy, so nothing is used up or counted.
    """
    if client.identity.name and not program.name:
        raise OAuthError("temporarily_unavailable", "The system did not report which program sent the request.")


def _new_token(family: str) -> Secret:
    return Secret(f"{_PREFIX}{family}.{secrets.token_urlsafe(32)}")


def _family_of(token: str) -> str:
    return token.removeprefix(_PREFIX).partition(".")[0] if token.startswith(_PREFIX) else ""


def _is_current(known: RefreshToken, token: str) -> bool:
    return hmac.compare_digest(known.digest, token_digest(token.encode("utf-8", "replace")))


def _request(form: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the parameters that must be equal in a repeated refresh. The token is compared by its digest."""
    return tuple(sorted((name, value) for name, value in form.items() if name != "refresh_token"))
