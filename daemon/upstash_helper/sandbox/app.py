"""The composition root: creates the sandbox's components and connects them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec
from aiohttp import hdrs, web

from upstash_helper.sandbox import identity
from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.admin import AdminApi
from upstash_helper.sandbox.administration import Administration
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.buckets import Buckets
from upstash_helper.sandbox.console.access import ConsoleAccess
from upstash_helper.sandbox.console.accounts import AccountPage, AccountsPage
from upstash_helper.sandbox.console.console import SandboxConsole
from upstash_helper.sandbox.console.databases import DatabasesPage
from upstash_helper.sandbox.console.faults import FaultsPage
from upstash_helper.sandbox.console.overview import Addresses, Overview
from upstash_helper.sandbox.console.requests import RequestsPage
from upstash_helper.sandbox.console.teams import TeamsPage
from upstash_helper.sandbox.cors import allow_any_origin
from upstash_helper.sandbox.developer_api.account_api import AccountApi
from upstash_helper.sandbox.developer_api.authentication import Authentication
from upstash_helper.sandbox.developer_api.blob_api import BlobApi
from upstash_helper.sandbox.developer_api.qstash_api import QStashApi
from upstash_helper.sandbox.developer_api.redis_api import RedisApi
from upstash_helper.sandbox.developer_api.search_api import SearchApi
from upstash_helper.sandbox.developer_api.teams_api import TeamsApi
from upstash_helper.sandbox.developer_api.vector_api import VectorApi
from upstash_helper.sandbox.faults import FaultInjector
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.indexes import Indexes, IndexRecord, VectorRecord
from upstash_helper.sandbox.oauth import console as issuer_console
from upstash_helper.sandbox.oauth import endpoints, open_endpoints
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer
from upstash_helper.sandbox.oauth.consent import ConsentPages
from upstash_helper.sandbox.oauth.forms import redirect
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.oauth.jwt import TokenSigner
from upstash_helper.sandbox.oauth.open_validator import OpenValidator
from upstash_helper.sandbox.oauth.registration import Registration
from upstash_helper.sandbox.oauth.sessions import Sessions
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.sign_in import SignInPages
from upstash_helper.sandbox.oauth.store import OAuthStore
from upstash_helper.sandbox.oauth.token_endpoints import TokenEndpoints
from upstash_helper.sandbox.oauth.validator import PartnerValidator
from upstash_helper.sandbox.qstash import QStashUsers
from upstash_helper.sandbox.redis.backend import Backend
from upstash_helper.sandbox.redis.backups import Backups
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.records import MAX_REQUEST_BYTES, DatabaseRecords
from upstash_helper.sandbox.redis.rest.api import RestApi, errors_as_rest
from upstash_helper.sandbox.request_log import Listener, RequestLog
from upstash_helper.sandbox.responses import MAX_BODY_BYTES, errors_as_json
from upstash_helper.sandbox.store import KeyValues
from upstash_helper.sandbox.teams import Teams
from upstash_helper.sandbox.unsupported import name_what_is_missing


class Endpoints(Protocol):
    """A group of endpoints."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""


class AdminAccess(msgspec.Struct, frozen=True):
    """The path and the token of the admin API."""

    token: str
    path: str = "/_sandbox"

    def __repr__(self) -> str:
        return "AdminAccess(…)"


class Origins(msgspec.Struct, frozen=True):
    """Scheme, host, and port of the listeners whose URLs appear in responses."""

    api: str
    issuer: str
    rest: str
    rest_tls: str | None = None


class Applications(msgspec.Struct, frozen=True):
    """The HTTP applications to serve, and the components that the process starts and stops."""

    api: web.Application
    rest: web.Application
    issuer: web.Application
    databases: Databases
    partner_clients: OAuthStore
    new_console_link: Callable[[], str]
    """Returns a link to the console that works once."""


class _Services:
    """The components that several endpoints use."""

    def __init__(self, connection: sqlite3.Connection, settings: OAuthSettings, origins: Origins) -> None:
        self.settings = settings
        self.origins = origins
        self.requests = RequestLog()
        self.faults = FaultInjector(self.requests)
        self.accounts = Accounts(connection)
        self.sessions = Sessions(self.accounts)
        self.audit_log = AuditLog(connection)
        self.teams = Teams(connection)
        self.qstash_users = QStashUsers(connection)
        self.grants = Grants(connection)
        self.vector_indexes = Indexes(connection, "vector", VectorRecord)
        self.search_indexes = Indexes(connection, "search", IndexRecord)
        self.buckets = Buckets(connection)
        self.signer = TokenSigner(KeyValues(connection))
        self.partner_store = OAuthStore(connection, "partner")
        self.issuer_store = OAuthStore(connection, "open")
        common: dict[str, Any] = {"accounts": self.accounts, "signer": self.signer, "settings": settings}
        self.partner = AuthorizationServer(
            validator=PartnerValidator(issuer=f"{origins.api}/", store=self.partner_store, **common),
            store=self.partner_store,
        )
        self.issuer = AuthorizationServer(
            validator=OpenValidator(
                issuer=origins.issuer, store=self.issuer_store, grants=self.grants, teams=self.teams, **common
            ),
            store=self.issuer_store,
        )
        self.authentication = Authentication(
            accounts=self.accounts, issuer=self.issuer, grants=self.grants, teams=self.teams
        )

    def token_endpoints(self, server: AuthorizationServer) -> TokenEndpoints:
        """Return the endpoints for tokens of one authorization server."""
        return TokenEndpoints(server=server, accounts=self.accounts, signer=self.signer, settings=self.settings)

    def application(
        self, listener: Listener, cross_origin: Collection[str], *endpoints: Endpoints, ignore: tuple[str, ...] = ()
    ) -> web.Application:
        """
        Return the application of one listener.

        Args:
            listener: The listener, for faults and the request log.
            cross_origin: The paths that pages of every origin may use.
            endpoints: The endpoints.
            ignore: Requests below these paths are neither logged nor affected by faults.
        """
        middlewares = [
            self.faults.middleware(listener, ignore=ignore),
            allow_any_origin(cross_origin),
            errors_as_json,
            name_what_is_missing,
        ]
        app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
        for endpoint in endpoints:
            app.add_routes(endpoint.routes())
        return app


def compose(
    *,
    connection: sqlite3.Connection,
    folder: Folder,
    origins: Origins,
    host: str,
    backend: Backend,
    admin: AdminAccess,
    settings: OAuthSettings,
    report: Callable[[str], None],
    stop: Callable[[], None],
) -> Applications:
    """
    Create the sandbox's components.

    Args:
        connection: The store.
        folder: The data folder.
        origins: Where the sandbox listens.
        host: The address that databases listen on.
        backend: Creates the databases' servers.
        admin: The path and token of the admin API.
        settings: The settings at the start.
        report: Shows a message to the person who runs the sandbox.
        stop: Stops the sandbox.
    """
    services = _Services(connection, settings, origins)
    records = DatabaseRecords(connection)
    databases = Databases(host=host, folder=folder, records=records, new_server=backend.new_server, report=report)
    administration = _administration(services, databases)
    console = _console(administration, services, host, admin)
    redis = RedisApi(
        host=host,
        auth=services.authentication,
        databases=databases,
        backups=Backups(databases=databases, records=records),
        teams=services.teams,
        audit_log=services.audit_log,
    )
    admin_api = AdminApi(
        path=admin.path,
        token=admin.token,
        administration=administration,
        redis=redis,
        new_console_link=console.new_link,
        stop=stop,
    )
    own = identity.IdentityEndpoint(
        identity.Identity(
            auth_url=origins.api,
            api_url=origins.api,
            issuer_url=origins.issuer,
            rest_url=origins.rest,
            rest_tls_url=origins.rest_tls,
        ),
        settings,
    )
    api = _api(services, databases, redis, own, admin_api, console, ignore=(admin.path, identity.PATH))
    rest = web.Application(
        middlewares=[services.faults.middleware("rest"), errors_as_rest], client_max_size=MAX_REQUEST_BYTES
    )
    rest_api = RestApi(databases)
    rest.add_routes(rest_api.routes())
    rest.on_shutdown.append(rest_api.close)
    issuer = _issuer(services)
    for app in (api, rest, issuer):
        app.on_response_prepare.append(_hide_versions)
    return Applications(api, rest, issuer, databases, services.partner_store, console.new_link)


def _administration(services: _Services, databases: Databases) -> Administration:
    """Return what the admin API and the console can do."""
    s = services
    return Administration(
        accounts=s.accounts,
        teams=s.teams,
        grants=s.grants,
        clients=s.issuer_store,
        databases=databases,
        vector_indexes=s.vector_indexes,
        search_indexes=s.search_indexes,
        buckets=s.buckets,
        qstash_users=s.qstash_users,
        audit_log=s.audit_log,
        faults=s.faults,
        requests=s.requests,
        settings=s.settings,
    )


def _console(administration: Administration, services: _Services, host: str, admin: AdminAccess) -> SandboxConsole:
    """Return the sandbox's own console."""
    origins, path = services.origins, f"{admin.path}/console"

    def sign_in(account: Account) -> web.StreamResponse:
        # Cookies do not depend on the port, so one that is set here also signs the browser in at the issuer.
        response = redirect(origins.issuer + issuer_console.PATH)
        services.sessions.start(response, account)
        return response

    addresses = Addresses(api=origins.api, issuer=origins.issuer, rest=origins.rest)
    common = (administration, path)
    return SandboxConsole(
        origin=origins.api,
        path=path,
        access=ConsoleAccess(origin=origins.api, path=path, admin_token=admin.token),
        pages=[
            Overview(*common, addresses=addresses),
            AccountsPage(*common),
            AccountPage(*common, sign_in=sign_in),
            TeamsPage(*common),
            DatabasesPage(*common, addresses=addresses, host=host),
            RequestsPage(*common),
            FaultsPage(*common),
        ],
        form_target=origins.issuer,
    )


def _api(services: _Services, databases: Databases, *own: Endpoints, ignore: tuple[str, ...]) -> web.Application:
    """
    Return the partners' authorization server and the Developer API.

    Args:
        services: The services.
        databases: The databases of all accounts.
        own: More endpoints of this listener.
        ignore: Requests below these paths are neither logged nor affected by faults.
    """
    s = services
    auth = s.authentication
    return s.application(
        "api",
        endpoints.CROSS_ORIGIN,
        SignInPages(origin=s.origins.api, server=s.partner, accounts=s.accounts),
        endpoints.OAuthApi(
            origin=s.origins.api,
            endpoints=s.token_endpoints(s.partner),
            accounts=s.accounts,
            audit_log=s.audit_log,
            settings=s.settings,
        ),
        QStashApi(auth=auth, users=s.qstash_users, teams=s.teams, audit_log=s.audit_log),
        AccountApi(auth=auth, audit_log=s.audit_log, teams=s.teams, settings=s.settings),
        TeamsApi(
            auth=auth,
            teams=s.teams,
            grants=s.grants,
            databases=databases,
            indexes=(s.vector_indexes, s.search_indexes),
            audit_log=s.audit_log,
        ),
        VectorApi(auth=auth, indexes=s.vector_indexes, teams=s.teams, audit_log=s.audit_log),
        SearchApi(auth=auth, indexes=s.search_indexes, teams=s.teams, audit_log=s.audit_log),
        BlobApi(auth=auth, buckets=s.buckets, audit_log=s.audit_log),
        *own,
        ignore=ignore,
    )


def _issuer(services: _Services) -> web.Application:
    """Return the open authorization server with its console."""
    s, origin = services, services.origins.issuer
    return s.application(
        "issuer",
        open_endpoints.CROSS_ORIGIN,
        open_endpoints.OpenOAuthApi(origin=origin, endpoints=s.token_endpoints(s.issuer), settings=s.settings),
        Registration(store=s.issuer_store, settings=s.settings),
        ConsentPages(
            origin=origin,
            server=s.issuer,
            accounts=s.accounts,
            teams=s.teams,
            sessions=s.sessions,
            audit_log=s.audit_log,
        ),
        issuer_console.Console(
            origin=origin, accounts=s.accounts, grants=s.grants, sessions=s.sessions, audit_log=s.audit_log
        ),
    )


async def _hide_versions(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the versions of Python and aiohttp, as Upstash does not send any either."""
    response.headers.popall(hdrs.SERVER, None)
