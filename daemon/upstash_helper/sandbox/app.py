"""The composition root: creates the sandbox's components and connects them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec
from aiohttp import hdrs, web

from upstash_helper.sandbox.accounts import Accounts
from upstash_helper.sandbox.admin import AdminApi
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api.account_api import AccountApi, BasicAuth
from upstash_helper.sandbox.developer_api.redis_api import RedisApi
from upstash_helper.sandbox.faults import FaultInjector
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer
from upstash_helper.sandbox.oauth.endpoints import OAuthApi
from upstash_helper.sandbox.oauth.jwt import TokenSigner
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.sign_in import SignInPages
from upstash_helper.sandbox.oauth.store import OAuthStore
from upstash_helper.sandbox.oauth.validator import Validator
from upstash_helper.sandbox.redis.backend import Backend
from upstash_helper.sandbox.redis.backups import Backups
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.records import DatabaseRecords
from upstash_helper.sandbox.redis.rest import RestApi, errors_as_rest
from upstash_helper.sandbox.responses import MAX_BODY_BYTES, errors_as_json
from upstash_helper.sandbox.store import KeyValues

MAX_COMMAND_BYTES = 10 * 1024 * 1024
"""Of one request to the REST API: ``db_max_request_size`` of the Developer API."""


class AdminAccess(msgspec.Struct, frozen=True):
    """The path and the token of the admin API."""

    token: str
    path: str = "/_sandbox"

    def __repr__(self) -> str:
        return "AdminAccess(…)"


class Applications(msgspec.Struct, frozen=True):
    """The two HTTP applications to serve, and the components that the process starts and stops."""

    api: web.Application
    rest: web.Application
    databases: Databases
    oauth: OAuthStore


def compose(
    *,
    connection: sqlite3.Connection,
    folder: Folder,
    origin: str,
    host: str,
    backend: Backend,
    admin: AdminAccess,
    report: Callable[[str], None],
) -> Applications:
    """
    Create the sandbox's components.

    Args:
        connection: The store.
        folder: The data folder.
        origin: Scheme, host, and port of the sign-in and Developer API.
        host: The address that databases listen on.
        backend: Creates the databases' servers.
        admin: The path and token of the admin API.
        report: Shows a message to the person who runs the sandbox.
    """
    accounts, audit_log = Accounts(connection), AuditLog(connection)
    records, oauth_store = DatabaseRecords(connection), OAuthStore(connection)
    settings, faults, signer = OAuthSettings(), FaultInjector(), TokenSigner(KeyValues(connection))
    databases = Databases(host=host, folder=folder, records=records, new_server=backend.new_server, report=report)
    issuer = f"{origin}/"
    validator = Validator(issuer=issuer, accounts=accounts, store=oauth_store, signer=signer, settings=settings)
    server = AuthorizationServer(issuer=issuer, validator=validator, store=oauth_store, settings=settings)
    auth = BasicAuth(accounts)
    endpoints = (
        SignInPages(origin=origin, server=server, accounts=accounts),
        OAuthApi(
            origin=origin, server=server, accounts=accounts, signer=signer, audit_log=audit_log, settings=settings
        ),
        AccountApi(auth=auth, audit_log=audit_log),
        RedisApi(
            host=host,
            auth=auth,
            databases=databases,
            backups=Backups(databases=databases, records=records),
            audit_log=audit_log,
        ),
        AdminApi(
            path=admin.path,
            token=admin.token,
            accounts=accounts,
            faults=faults,
            settings=settings,
            audit_log=audit_log,
        ),
    )
    api = web.Application(
        middlewares=[faults.middleware("api", ignore=admin.path), errors_as_json], client_max_size=MAX_BODY_BYTES
    )
    for endpoint in endpoints:
        api.add_routes(endpoint.routes())
    rest = web.Application(middlewares=[faults.middleware("rest"), errors_as_rest], client_max_size=MAX_COMMAND_BYTES)
    rest.add_routes(RestApi(databases).routes())
    for app in (api, rest):
        app.on_response_prepare.append(_hide_versions)
    return Applications(api, rest, databases, oauth_store)


async def _hide_versions(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the versions of Python and aiohttp, as Upstash does not send any either."""
    response.headers.popall(hdrs.SERVER, None)
