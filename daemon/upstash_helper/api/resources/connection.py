"""``/v1/connection``: connecting an Upstash account, the connection's state, and disconnecting."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from upstash_helper.api.pages import callback
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, RECORD_FIRST, Policy, Route, caller_of
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from upstash_helper.broker.account.api_key import ApiKeySignIn
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.account.credential_cache import CredentialCache

_READ = Policy("token", "connection:read")
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
        open_browser: bool,
        hosts: Sequence[str],
    ) -> None:
        """
        Args:
            connection: The connection.
            api_key_sign_in: Connects with an API key instead of a sign-in.
            credentials: Reports the state of the credential store.
            open_browser: Whether connecting opens the browser unless the request says otherwise.
            hosts: The values of Host that are valid in a redirect; error messages show the first one.
        """
        self._connection = connection
        self._api_key_sign_in = api_key_sign_in
        self._credentials = credentials
        self._open_browser = open_browser
        self._hosts = hosts

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
                body=wire.Connect, answers={200: wire.Connection, 202: wire.StartedAttempt}, problems=(409, 503),
            ),
            Route(
                method="DELETE", path=at, handler=self.disconnect, policy=_OWNER,
                operation_id="disconnect", summary="Disconnect the account and delete its API key from this computer",
                answers={200: wire.Disconnected},
            ),
            Route(
                method="GET", path=attempt_at, handler=self.attempt, policy=_READ,
                operation_id="getAttempt", summary="Get an attempt's state",
                answers={200: wire.Attempt}, problems=(404,),
            ),
            Route(
                method="DELETE", path=attempt_at, handler=self.cancel, policy=_CANCEL,
                operation_id="cancelAttempt", summary="Cancel an attempt",
                answers={200: wire.Attempt}, problems=(404,),
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

    async def get(self, _request: web.Request) -> web.Response:
        """Return the connection's state."""
        status = await self._connection.status()

        return render.json(render.connection(status, self._credentials.health()))

    async def connect(self, request: web.Request) -> web.Response:
        """Start or join an attempt. The status is 200 if the account is already connected."""
        wanted = cast("wire.Connect", decode(request[BODY] or b"{}", wire.Connect))
        open_browser = self._open_browser if wanted.open_browser is None else wanted.open_browser

        started = await self._connection.connect(
            caller=caller_of(request), force=wanted.force, open_browser=open_browser
        )

        if started is None:
            return render.json(render.connection(await self._connection.status(), already=True))
        return render.json(render.started(started), status=202)

    async def disconnect(self, _request: web.Request) -> web.Response:
        """Disconnect, and return what the user still has to do."""
        key_name, stored = await self._connection.disconnect()

        parts = ["The account is disconnected."]
        if key_name:
            parts.append(f"Delete the API key {key_name} in the Upstash console (Account > Management API).")
        if not stored:
            parts.append("The keyring could not be reached. Its entry will be removed once it is available.")
        return render.json(wire.Disconnected(api_key_name=key_name, detail=" ".join(parts), recorded=stored))

    async def attempt(self, request: web.Request) -> web.Response:
        """Return an attempt."""
        attempt = self._connection.flow.attempt(request.match_info["attempt_id"])

        return render.json(render.attempt(attempt))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an attempt."""
        attempt = await self._connection.flow.cancel(request.match_info["attempt_id"])

        return render.json(render.attempt(attempt))

    async def redirect(self, request: web.Request) -> web.Response:
        """Handle the OAuth redirect from a URL that the user pasted."""
        given = cast("wire.PastedAddress", decode(request[BODY], wire.PastedAddress))
        redirect = callback.parse_pasted_address(given.address, hosts=self._hosts)

        attempt = await self._connection.flow.handle_pasted_redirect(request.match_info["attempt_id"], redirect)

        return render.json(render.attempt(attempt))

    async def use_api_key(self, request: web.Request) -> web.Response:
        """Verify and store an API key."""
        given = cast("wire.ApiKey", decode(request[BODY], wire.ApiKey))

        status = await self._api_key_sign_in.use(email=given.email, api_key=Secret(given.api_key))

        return render.json(render.connection(status, self._credentials.health()))

    async def give_email(self, request: web.Request) -> web.Response:
        """Verify and store the account's email."""
        given = cast("wire.Email", decode(request[BODY], wire.Email))

        status = await self._api_key_sign_in.give_email(given.email)

        return render.json(render.connection(status, self._credentials.health()))
