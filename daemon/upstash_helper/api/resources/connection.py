"""``/v1/connection``: connecting an Upstash account, the connection's state, and disconnecting."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from upstash_helper.api.pages import callback
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import BodyInvalid, decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, RECORD_FIRST, Parameter, Policy, Route, caller_of, flag_of
from upstash_helper.broker.errors import CredentialRefused
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from upstash_helper.broker.account.api_key import ApiKeySignIn
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.apps.one_time_links import OneTimeLinks

_READ = Policy("token", "connection:read")
_CONFIRM = Policy("owner", audit="connection.confirm", order=RECORD_FIRST)
_CANCEL = Policy("token", "connection:write", audit="connection.cancel", order=ACT_FIRST)
_OWNER = Policy("owner", audit="connection.disconnect", order=ACT_FIRST)


class ConnectionResource:
    """Handlers for the connection and its sign-in attempts."""

    def __init__(
        self,
        *,
        connection: Connection,
        api_key_sign_in: ApiKeySignIn,
        credentials: CredentialCache,
        links: OneTimeLinks,
        open_browser: bool,
        redirects: Sequence[str],
    ) -> None:
        """
        Args:
            connection: The connection.
            api_key_sign_in: Connects with an API key instead of a sign-in.
            credentials: Reports the state of the credential store.
            links: The one-time links.
            open_browser: Whether connecting opens the browser unless the request says otherwise.
            redirects: Where a redirect may arrive: host, port, and path. Error messages show the first one.
        """
        self._connection = connection
        self._api_key_sign_in = api_key_sign_in
        self._credentials = credentials
        self._links = links
        self._open_browser = open_browser
        self._redirects = redirects

    def routes(self) -> list[Route]:
        """Return the routes."""
        at, attempt_at = "/v1/connection", "/v1/connection/attempts/{attempt_id}"
        return [
            Route(
                method="GET", path=at, handler=self.get, policy=_READ,
                operation_id="getConnection", summary="Get the connection's state",
                answers={200: wire.Connection},
            ),
            Route(
                method="POST", path=at, handler=self.connect,
                policy=Policy("token", "connection:write", "json", audit="connection.connect", order=RECORD_FIRST),
                operation_id="connect", summary="Start connecting an account, or join the pending attempt",
                body=wire.Connect, answers={200: wire.Connection, 202: wire.StartedAttempt},
                problems=(409, 429, 502, 503, 504),
                parameters=(
                    Parameter(
                        name="link", where="query", schema={"type": "boolean"},
                        description="Owner only: whether to return `link`, unless the daemon opens a browser.",
                    ),
                ),
            ),
            Route(
                method="DELETE", path=at, handler=self.disconnect, policy=_OWNER,
                operation_id="disconnect", summary="Disconnect the account and delete its credential from the computer",
                answers={200: wire.Disconnected},
            ),
            Route(
                method="GET", path=attempt_at, handler=self.attempt, policy=_READ,
                operation_id="getAttempt", summary="Get an attempt's state",
                answers={200: wire.Attempt}, problems=(404,),
            ),
            Route(
                method="DELETE", path=attempt_at, handler=self.cancel, policy=_CANCEL,
                operation_id="cancelAttempt",
                summary="Cancel an attempt, for the owner or the app that started it; the connected account is kept",
                answers={200: wire.Attempt}, problems=(404,),
            ),
            Route(
                method="POST", path=f"{attempt_at}/confirm", handler=self.confirm, policy=_CONFIRM,
                operation_id="confirmAttempt",
                summary="Let an app's sign-in replace the connected account (state `confirmation_required`)",
                answers={200: wire.Attempt}, problems=(404, 409),
            ),
            Route(
                method="POST", path=f"{attempt_at}/redirect", handler=self.redirect,
                policy=Policy("owner", body="json", audit="connection.paste", order=RECORD_FIRST),
                operation_id="redirectAttempt",
                summary="Submit the redirect's URL if the browser could not reach the helper",
                body=wire.PastedAddress, answers={200: wire.Attempt}, problems=(404,),
            ),
            Route(
                method="PUT", path=f"{at}/api-key", handler=self.use_api_key,
                policy=Policy("owner", body="json", audit="connection.api_key", order=RECORD_FIRST),
                operation_id="useApiKey", summary="Connect with an API key from the Upstash console",
                body=wire.ApiKey, answers={200: wire.Connection}, problems=(424, 429, 502, 503, 504),
            ),
            Route(
                method="PUT", path=f"{at}/email", handler=self.give_email,
                policy=Policy("owner", body="json", audit="connection.email", order=RECORD_FIRST),
                operation_id="giveEmail",
                summary="Set the account's email if the sign-in did not provide it (state `needs_email`)",
                body=wire.Email, answers={200: wire.Connection}, problems=(409, 424, 429, 502, 503, 504),
            ),
        ]  # fmt: skip

    async def get(self, request: web.Request) -> web.Response:
        """Return the connection's state."""
        status = await self._connection.status()

        owner = caller_of(request).is_owner
        return render.json(render.connection(status, self._credentials.health(), owner=owner))

    async def connect(self, request: web.Request) -> web.Response:
        """Start or join an attempt. The status is 200 if the account is already connected."""
        wanted = cast("wire.Connect", decode(request[BODY] or b"{}", wire.Connect))
        with_link = flag_of(request, "link")
        open_browser = self._open_browser if wanted.open_browser is None else wanted.open_browser

        caller = caller_of(request)
        started = await self._connection.connect(caller=caller, force=wanted.force, open_browser=open_browser)

        if started is None:
            if not caller.has("connection:read"):
                return render.json(render.already_connected())
            status = await self._connection.status()
            return render.json(render.connection(status, owner=caller.is_owner, already=True))
        shown = render.started(started, owner=caller.is_owner)
        # To the owner only: the pages' origin is not for apps.
        if caller.is_owner and started.authorization_url and not started.browser_opened and with_link:
            shown = replace(shown, link=await self._links.create(started.authorization_url) or "")
        return render.json(shown, status=202)

    async def disconnect(self, _request: web.Request) -> web.Response:
        """Disconnect, and return what the user still has to do."""
        done = await self._connection.disconnect()

        parts = ["The account is disconnected."]
        if done.key_name:
            parts.append(f"Delete the API key {done.key_name} in the Upstash console (Account > Management API).")
        if done.grant_name:
            parts.append(
                "Upstash was asked to revoke the sign-in. If the Upstash console still lists "
                f"{done.grant_name} (Account > OAuth Clients), revoke it there."
            )
        if not done.stored:
            parts.append("The keyring could not be reached. Its entry will be removed once it is available.")
        return render.json(
            wire.Disconnected(
                api_key_name=done.key_name, grant_name=done.grant_name, detail=" ".join(parts), recorded=done.stored
            )
        )

    async def attempt(self, request: web.Request) -> web.Response:
        """Return an attempt."""
        attempt = self._connection.flow.attempt(request.match_info["attempt_id"])

        return render.json(render.attempt(attempt, owner=caller_of(request).is_owner))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an attempt."""
        caller = caller_of(request)

        attempt = await self._connection.flow.cancel(request.match_info["attempt_id"], caller)

        return render.json(render.attempt(attempt, owner=caller.is_owner))

    async def confirm(self, request: web.Request) -> web.Response:
        """Let an attempt replace the connected account."""
        attempt = await self._connection.flow.confirm(request.match_info["attempt_id"])

        return render.json(render.attempt(attempt, owner=True))

    async def redirect(self, request: web.Request) -> web.Response:
        """Handle the OAuth redirect from a URL that the user pasted."""
        given = cast("wire.PastedAddress", decode(request[BODY], wire.PastedAddress))
        redirect = callback.parse_pasted_address(given.address, redirects=self._redirects)

        attempt = await self._connection.flow.handle_pasted_redirect(request.match_info["attempt_id"], redirect)

        return render.json(render.attempt(attempt, owner=True))

    async def use_api_key(self, request: web.Request) -> web.Response:
        """Verify and store an API key."""
        given = cast("wire.ApiKey", decode(request[BODY], wire.ApiKey))

        email, api_key = _cleaned(email=given.email, api_key=given.api_key)
        try:
            status = await self._api_key_sign_in.use(email=email, api_key=Secret(api_key))
        except CredentialRefused as error:
            from upstash_helper.system import pasted

            if not pasted.may_be_rest_token(api_key):
                raise
            raise CredentialRefused(f"{error.detail} {pasted.REST_TOKEN_HINT}") from None

        return render.json(render.connection(status, self._credentials.health(), owner=True))

    async def give_email(self, request: web.Request) -> web.Response:
        """Verify and store the account's email."""
        given = cast("wire.Email", decode(request[BODY], wire.Email))

        email, _ = _cleaned(email=given.email)
        status = await self._api_key_sign_in.give_email(email)

        return render.json(render.connection(status, self._credentials.health(), owner=True))


def _cleaned(*, email: str, api_key: str | None = None) -> tuple[str, str]:
    """
    Return what the user has pasted, without what came along with it. The key is empty if it is None.

    Raises:
        BodyInvalid: With the reason for each value that cannot be used.
    """
    from upstash_helper.system import pasted

    invalid: list[wire.FieldError] = []
    values: list[str] = []
    for pointer, text, read in (("/email", email, pasted.email), ("/api_key", api_key, pasted.api_key)):
        try:
            values.append("" if text is None else read(text))
        except pasted.NotUsable as error:
            invalid.append(wire.FieldError(pointer=pointer, detail=str(error)))
    if invalid:
        raise BodyInvalid(422, "invalid_request", " ".join(one.detail for one in invalid), invalid=invalid)
    return values[0], values[1]
