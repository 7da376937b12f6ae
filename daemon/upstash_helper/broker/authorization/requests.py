"""
Authorization requests. Each becomes an ordinary request for access, which the user decides outside the browser.

A page can navigate the browser to an authorization request, even with the ID of a client that has access. So the user
is asked every time, and the result goes only to a redirect URI on this computer. While a request is pending, another
one from the same agent joins it: an agent with several processes causes one prompt, and each process gets a code.

A request that the agent has sent itself (``POST /v1/pairings``, as the bridge of ``upstash-helper mcp`` does) is never
joined, and does not join, although its tokens are for the same endpoint:

- The user compares its code with the one that the agent shows. A page can begin an authorization request of a client at
  any moment, and if that joined, the code would vouch for a sign-in in which nobody has seen it.
- It belongs to the holder of its poll secret, who fetches the one token and withdraws the request when it ends. Here,
  the daemon is the holder; it knows no other poll secret than its own.
- Its identity is the running process that asks (for the bridge, its starter), and only that one may replace it. A
  client's is the program that registered, perhaps weeks ago. Of an interpreter such as ``node``, both are only the same
  file, and the names, which an agent chooses separately for each way, do not match.
- The approval becomes one app. A refresh token that is used twice revokes it, and signing out as well, which would end
  the bridge's access, too, and the user could not revoke one without the other.

So a program that connects in both ways has two requests and two apps. Each prompt says what else its program has
(``Pairings.of_same_program``). Under the same name, only one of them can wait at a time, as for every app: the bridge
waits until the user has decided on the sign-in, and a sign-in meanwhile gets ``temporarily_unavailable``.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from upstash_helper.broker import errors
from upstash_helper.broker.apps.pairing_limits import LIFETIME
from upstash_helper.broker.apps.pairings import PairingRequest
from upstash_helper.broker.authorization.clients import UNNAMED
from upstash_helper.broker.authorization.codes import CHALLENGE
from upstash_helper.broker.authorization.errors import Code, OAuthError, RefusedOnPage
from upstash_helper.broker.authorization.redirect_uris import matches
from upstash_helper.broker.identity import SCOPES, Caller, ordered
from upstash_helper.broker.ledger import Approved, Delivered, Denied, Pairing, Waiting, Withdrawn
from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.authorization.codes import Codes
    from upstash_helper.broker.authorization.store import AuthorizationStore
    from upstash_helper.broker.authorization_records import Client
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.ports import Clock

Parameters = Mapping[str, Sequence[str]]
"""The parameters of a request. A name may be repeated, which no valid request does."""

DEFAULT_SCOPES: Final[tuple[Scope, ...]] = (
    "connection:read",
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:commands",
)
"""
The scopes that a client requests if it names none, and those in the metadata. All other scopes can be requested, too.
They include ``databases:delete``, since the user is asked before each deletion.
"""

MAX_STATE: Final = 2048
"""Maximum characters of the ``state`` parameter. All current clients send fewer than 200."""
MAX_JOINED: Final = 16
"""Maximum authorization requests that wait for one decision."""
MAX_WAITS: Final = 4
"""Maximum pages that wait for the decision about one request."""
_MAX: Final = 128
_REMEMBERED_SECONDS: Final = 600.0

# Receives the events of access requests, which apps do not. It does not count as one of the user's own streams.
_FOLLOWER: Final = Caller(kind="owner", id="oauth", name="oauth")


@dataclass(kw_only=True, eq=False)
class AuthorizationRequest:
    """A request that waits for the user, or has been decided."""

    key: str
    """Identifies the request in the address of its page. 128 random bits."""
    client: Client
    redirect_uri: str
    state: str | None
    challenge: str
    resource: str
    issuer: str
    scopes: tuple[Scope, ...]
    pairing_id: str
    poll_secret: Secret
    user_code: str
    at: float
    is_over: bool = False
    """Whether the client has received its answer."""
    waits: int = 0
    """How many pages wait for the decision: the page may be open in several tabs."""


class Redirection(NamedTuple):
    """The address to which the browser is redirected."""

    url: Secret
    redirect_uri: str
    """The URL without the response parameters."""
    client: Client
    is_allowed: bool


class AuthorizationRequests:
    """The authorization requests of this run of the daemon."""

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        pairings: Pairings,
        codes: Codes,
        events: EventBus,
        port: int,
        clock: Clock,
    ) -> None:
        """
        Args:
            store: The registered clients.
            pairings: The requests for access.
            codes: Issues the codes.
            events: Publishes the decisions of the user.
            port: The daemon's own port.
            clock: The clock.
        """
        self._store = store
        self._pairings = pairings
        self._codes = codes
        self._events = events
        self._port = port
        self._clock = clock
        self._requests: dict[str, AuthorizationRequest] = {}
        self._lock = asyncio.Lock()

    async def begin(
        self, parameters: Parameters, *, issuer: str, resources: frozenset[str]
    ) -> AuthorizationRequest | Redirection:
        """
        Begin an authorization request. Return it, or a redirection if the request has an error that may be sent to its
        client.

        Args:
            parameters: The parameters of the request.
            issuer: The issuer, with the host that the client uses.
            resources: The addresses of the MCP endpoint.

        Raises:
            RefusedOnPage: If the client or its redirect URI is not valid.
            LedgerUnavailable: If the ledger cannot be read.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._store.ready()
        client = self._client(parameters)
        redirect_uri = self._redirect_uri(parameters, client)
        states = parameters.get("state", ())
        state = states[0] if len(states) == 1 and len(states[0]) <= MAX_STATE else None
        try:
            request = self._request(parameters, client, redirect_uri, issuer=issuer, resources=resources)
            # One after another, so that of two requests at the same moment the second one joins the first.
            async with self._lock:
                await self._show(request)
        except OAuthError as error:
            url = _with_parameters(redirect_uri, _error(error.code, error.description), state, issuer)
            return Redirection(Secret(url), redirect_uri, client, is_allowed=False)
        self._store.used(client)
        self._prune()
        self._requests[request.key] = request
        return request

    def find(self, key: str) -> AuthorizationRequest | None:
        """Return a request, or None if there is none with this key."""
        return self._requests.get(key)

    async def settled(self, request: AuthorizationRequest) -> Redirection | None:
        """Return the redirection, once; None if the user has not decided, or it was returned before."""
        pairing = await self._pairing(request)
        return None if request.is_over or self._is_undecided(pairing) else self._continued(request, pairing)

    async def is_decided(self, request: AuthorizationRequest, *, wait_seconds: float) -> bool:
        """
        Return True as soon as the user has decided. Return False after ``wait_seconds``, if too many pages wait for the
        same request, or if the daemon is stopping.
        """
        if request.waits >= MAX_WAITS:
            return False
        request.waits += 1
        subscription = self._events.subscribe(_FOLLOWER)
        try:
            async with asyncio.timeout(wait_seconds):
                if not self._is_undecided(await self._pairing(request)):
                    return True
                async for event in subscription:
                    is_about = isinstance(event.data, Pairing) and event.data.id == request.pairing_id
                    if is_about and not self._is_undecided(await self._pairing(request)):
                        return True
        except TimeoutError:
            pass
        finally:
            self._events.unsubscribe(subscription)
            request.waits -= 1
        return False

    # --- the parameters -----------------------------------------------------------------------------------------------

    def _client(self, parameters: Parameters) -> Client:
        values = parameters.get("client_id", ())
        client = self._store.client(values[0]) if len(values) == 1 else None
        if client is not None:
            return client
        if any(value.startswith("https://") for value in values):
            detail = (
                "The program identifies itself with a web address, which upstash-helper does not support. The program "
                "has to register at the endpoint in the server's metadata."
            )
        else:
            detail = (
                "The program that opened this page is not registered with upstash-helper, or its registration was "
                "not used for 30 days. Start the sign-in in the program again. If that does not help, remove the "
                "program's saved sign-in for this server first."
            )
        raise RefusedOnPage("Unknown program", detail)

    def _redirect_uri(self, parameters: Parameters, client: Client) -> str:
        values = parameters.get("redirect_uri", ())
        if len(values) == 1 and any(matches(one, values[0], own_port=self._port) for one in client.redirect_uris):
            return values[0]
        raise RefusedOnPage(
            "This sign-in cannot continue",
            f"The program that calls itself “{client.name}” asks to continue at an address that it did not register. "
            "Nothing was sent there. Start the sign-in in the program again.",
        )

    def _request(
        self, parameters: Parameters, client: Client, redirect_uri: str, *, issuer: str, resources: frozenset[str]
    ) -> AuthorizationRequest:
        single = {name: values[0] for name, values in parameters.items() if values[0]}
        repeated = next((name for name, values in parameters.items() if len(values) > 1), None)
        if repeated is not None:
            raise OAuthError("invalid_request", f"The parameter {repeated} is repeated.")
        if len(single.get("state", "")) > MAX_STATE:
            raise OAuthError("invalid_request", f"The state has more than {MAX_STATE} characters.")
        if single.get("response_type") != "code":
            code: Code = "unsupported_response_type" if "response_type" in single else "invalid_request"
            raise OAuthError(code, "The response_type must be code.")
        if single.get("response_mode", "query") != "query":
            raise OAuthError("invalid_request", "The response_mode must be query.")
        # Without a method, a challenge would be the verifier (RFC 7636, section 4.3), which is no protection.
        if single.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(single.get("code_challenge", "")):
            raise OAuthError("invalid_request", "PKCE is required: send a code_challenge with the method S256.")
        resource = single.get("resource", "")
        if resource not in resources:
            detail = f"The resource must be {issuer}/mcp." if resource else f"Send the resource: {issuer}/mcp."
            raise OAuthError("invalid_target", detail)
        return AuthorizationRequest(
            key=secrets.token_urlsafe(16),
            client=client,
            redirect_uri=redirect_uri,
            state=single.get("state"),
            challenge=single["code_challenge"],
            resource=resource,
            issuer=issuer,
            scopes=_scopes(single.get("scope", "")),
            pairing_id="",
            poll_secret=Secret(""),
            user_code="",
            at=self._clock.monotonic(),
        )

    # --- the request for access ---------------------------------------------------------------------------------------

    async def _show(self, request: AuthorizationRequest) -> None:
        """Ask the user, or join a pending request of the same agent."""
        joined = await self._joined(request)
        if joined is not None:
            request.pairing_id, request.poll_secret = joined.pairing_id, joined.poll_secret
            request.user_code, request.scopes = joined.user_code, joined.scopes
            return
        wanted = PairingRequest(request.client.identity, request.client.name, request.scopes, audience="mcp")
        try:
            pairing, secret = await self._pairings.begin(wanted)
        except (errors.AppBlocked, errors.PairingDenied) as error:
            raise OAuthError("access_denied", error.detail) from None
        except (errors.PairingPending, errors.TooManyPairings) as error:
            raise OAuthError("temporarily_unavailable", error.detail, retry_after=error.retry_after) from None
        except (errors.LedgerUnavailable, errors.LedgerFull) as error:
            raise OAuthError("server_error", error.detail) from None
        request.pairing_id, request.poll_secret, request.user_code = pairing.id, secret, pairing.user_code

    async def _joined(self, request: AuthorizationRequest) -> AuthorizationRequest | None:
        """
        Return a pending request of the same agent: of the same client, or of a client with the same name that the same
        program registered. It may have requested fewer scopes, which the response shows the client, but not more: no
        client gets a scope that it did not request.
        """
        for other in tuple(self._requests.values()):
            if not _is_same_agent(other.client, request.client) or not set(other.scopes) <= set(request.scopes):
                continue
            pairing = await self._pairing(other)
            if pairing is None or not isinstance(pairing.decision, Waiting) or self._pairings.is_expired(pairing):
                continue
            waiting = [one for one in self._requests.values() if one.pairing_id == pairing.id]
            if len(waiting) >= MAX_JOINED:
                raise OAuthError("temporarily_unavailable", "Too many sign-ins from this program are waiting.")
            return other
        return None

    async def _pairing(self, request: AuthorizationRequest) -> Pairing | None:
        try:
            secret = request.poll_secret.reveal().encode()
            return await self._pairings.find(request.pairing_id, secret, None)
        except errors.PairingNotFound:
            return None

    def _is_undecided(self, pairing: Pairing | None) -> bool:
        if pairing is None or self._pairings.is_expired(pairing):
            return False
        return isinstance(pairing.decision, Waiting)

    def _continued(self, request: AuthorizationRequest, pairing: Pairing | None) -> Redirection:
        request.is_over = True
        answer = self._answer(request, pairing)
        url = _with_parameters(request.redirect_uri, answer, request.state, request.issuer)
        return Redirection(Secret(url), request.redirect_uri, request.client, is_allowed="code" in answer)

    def _answer(self, request: AuthorizationRequest, pairing: Pairing | None) -> dict[str, str]:
        if pairing is None or self._pairings.is_expired(pairing):
            return _error("access_denied", "The user did not decide in time.")
        match pairing.decision:
            case Approved() | Delivered():
                code = self._codes.issue(
                    client_id=request.client.id,
                    redirect_uri=request.redirect_uri,
                    challenge=request.challenge,
                    resource=request.resource,
                    pairing_id=request.pairing_id,
                    poll_secret=request.poll_secret,
                )
                return {"code": code.reveal()}
            case Withdrawn():
                return _error("access_denied", "The request was replaced by another one from this program.")
            case Denied() | Waiting():
                return _error("access_denied", "The user denied the request.")

    def _prune(self) -> None:
        since = self._clock.monotonic() - LIFETIME - _REMEMBERED_SECONDS
        self._requests = {key: one for key, one in self._requests.items() if one.at > since}
        while len(self._requests) >= _MAX:
            over = next((key for key, one in self._requests.items() if one.is_over), next(iter(self._requests)))
            del self._requests[over]


def _is_same_agent(one: Client, other: Client) -> bool:
    if one.id == other.id:
        return True
    known = bool(one.identity.name) and one.name != UNNAMED
    return known and one.name == other.name and one.identity.limits_key == other.identity.limits_key


def _scopes(text: str) -> tuple[Scope, ...]:
    wanted = text.split()
    if not wanted:
        return DEFAULT_SCOPES
    known = tuple(scope for scope in SCOPES if scope in wanted)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown:
        raise OAuthError("invalid_scope", f"Unknown scope. The scopes are: {', '.join(SCOPES)}.")
    return ordered(known)


def _error(code: Code, description: str) -> dict[str, str]:
    return {"error": code, "error_description": description}


def _with_parameters(redirect_uri: str, answer: Mapping[str, str], state: str | None, issuer: str) -> str:
    """Return the redirect URI with the answer. It names the issuer, so that answers cannot be mixed up (RFC 9207)."""
    parameters = {**answer, **({} if state is None else {"state": state}), "iss": issuer}
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(parameters)}"
