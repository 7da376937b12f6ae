"""The composition root: everything of the sandbox, wired."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec
from aiohttp import web

from upstash_helper.sandbox.admin import AdminApi
from upstash_helper.sandbox.answers import LARGEST_BODY, errors_as_json
from upstash_helper.sandbox.developer_api.account_api import AccountApi, Gate
from upstash_helper.sandbox.developer_api.accounts import Accounts
from upstash_helper.sandbox.developer_api.audit import Audit
from upstash_helper.sandbox.developer_api.redis_api import RedisApi
from upstash_helper.sandbox.faults import Faults, Switches
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer
from upstash_helper.sandbox.oauth.endpoints import OAuthApi
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.oauth.sign_in import SignInPages
from upstash_helper.sandbox.oauth.tokens import TokenSigner
from upstash_helper.sandbox.oauth.validator import Validator
from upstash_helper.sandbox.redis.backend import Backend
from upstash_helper.sandbox.redis.backups import Backups
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.records import Records
from upstash_helper.sandbox.redis.rest import DataPlane, errors_as_rest
from upstash_helper.sandbox.store import Facts

LARGEST_COMMAND = 10 * 1024 * 1024
"""Bytes of one request to the data plane: ``db_max_request_size`` of the Developer API."""


class Admin(msgspec.Struct, frozen=True):
    """Where and with what tests control the sandbox."""

    token: str
    path: str = "/_sandbox"

    def __repr__(self) -> str:
        return "Admin(…)"


class Applications(msgspec.Struct, frozen=True):
    """What the process serves, and what it must start, stop or fill itself."""

    api: web.Application
    rest: web.Application
    databases: Databases
    grants: Grants


def compose(
    *,
    connection: sqlite3.Connection,
    folder: Folder,
    origin: str,
    host: str,
    backend: Backend,
    admin: Admin,
    say: Callable[[str], None],
) -> Applications:
    """
    Wire the sandbox.

    Args:
        connection: The store.
        folder: The data folder.
        origin: Scheme, host and port of sign-in and Developer API.
        host: Where databases listen.
        backend: Makes the databases' servers.
        admin: How tests get in.
        say: Tells the person who runs the sandbox.
    """
    accounts, grants, records, audit = Accounts(connection), Grants(connection), Records(connection), Audit(connection)
    switches, faults, signer = Switches(), Faults(), TokenSigner(Facts(connection))
    databases = Databases(host=host, folder=folder, records=records, new_server=backend.new_server, say=say)
    issuer = f"{origin}/"
    validator = Validator(issuer=issuer, accounts=accounts, grants=grants, signer=signer, switches=switches)
    server = AuthorizationServer(issuer=issuer, validator=validator, grants=grants, switches=switches)
    gate = Gate(accounts)
    parts = (
        SignInPages(origin=origin, server=server, accounts=accounts),
        OAuthApi(origin=origin, server=server, accounts=accounts, signer=signer, audit=audit, switches=switches),
        AccountApi(gate=gate, audit=audit),
        RedisApi(
            host=host,
            gate=gate,
            databases=databases,
            backups=Backups(databases=databases, records=records),
            audit=audit,
        ),
        AdminApi(path=admin.path, token=admin.token, accounts=accounts, faults=faults, switches=switches, audit=audit),
    )
    api = web.Application(
        middlewares=[faults.middleware("api", ignore=admin.path), errors_as_json], client_max_size=LARGEST_BODY
    )
    for part in parts:
        api.add_routes(part.routes())
    rest = web.Application(middlewares=[faults.middleware("rest"), errors_as_rest], client_max_size=LARGEST_COMMAND)
    rest.add_routes(DataPlane(databases).routes())
    return Applications(api, rest, databases, grants)
