"""The Developer API's endpoints about Blob buckets. Only their management exists here, not the storage of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.sandbox.accounts import Caller
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.buckets import BucketRecord, Buckets, Visibility
from upstash_helper.sandbox.developer_api.authentication import Access, Authentication, Operation
from upstash_helper.sandbox.developer_api.wire import Name
from upstash_helper.sandbox.responses import json_response, read_json

if TYPE_CHECKING:
    from aiohttp import web

CorsOrigin = Annotated[str, Meta(pattern=r"^(\*|https?://[^\s/?#]+)$", max_length=255)]
MAX_CORS_ORIGINS = 100


class CreateBucket(msgspec.Struct, kw_only=True):
    """``POST /blob/bucket``."""

    name: Name
    visibility: Visibility = "private"
    cors: Annotated[list[CorsOrigin], Meta(max_length=MAX_CORS_ORIGINS)] = []


class Bucket(msgspec.Struct, kw_only=True):
    """A bucket in Upstash's format. The list leaves out the token."""

    customer_id: str
    id: str
    name: str
    hash_for_domain: str
    visibility: Visibility
    cors: list[str]
    endpoint: str
    pw_version: int = 1
    creation_time: int
    token: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Bucket({self.id})"


class BlobApi:
    """``/v2/blob/bucket``."""

    def __init__(self, *, auth: Authentication, buckets: Buckets, audit_log: AuditLog) -> None:
        self._auth = auth
        self._buckets = buckets
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        routes: list[tuple[str, str, Operation, Access]] = [
            ("GET", "/v2/blob/bucket", self.list, "read"),
            ("POST", "/v2/blob/bucket", self.create, "write"),
            ("GET", "/v2/blob/bucket/{id}", self.get, "read"),
            ("DELETE", "/v2/blob/bucket/{id}", self.delete, "write"),
        ]
        return [self._auth.route(*route) for route in routes]

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the buckets of the account, or of the team that the caller acts for, without their tokens."""
        return json_response([_without_token(record) for record in self._buckets.list(caller.owner.id)])

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show one bucket."""
        return json_response(_as_json(self._buckets.get(caller.owner, request.match_info["id"])))

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Create a bucket."""
        body = await read_json(request, CreateBucket)
        record = self._buckets.create(caller.owner, body.name, visibility=body.visibility, cors=body.cors)
        self._log(request, caller, "Create Blob Bucket", record)
        return json_response(_as_json(record))

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Delete a bucket."""
        record = self._buckets.get(caller.owner, request.match_info["id"])
        self._buckets.remove(record)
        self._log(request, caller, "Delete Blob Bucket", record)
        return json_response("OK")

    def _log(self, request: web.Request, caller: Caller, action: str, record: BucketRecord) -> None:
        self._audit_log.add(caller.owner, action, source=caller.source, entity=record.name, ip=request.remote)


def _as_json(record: BucketRecord) -> Bucket:
    bucket = _without_token(record)
    bucket.token = record.token
    return bucket


def _without_token(record: BucketRecord) -> Bucket:
    return Bucket(
        customer_id=record.email,
        id=record.id,
        name=record.name,
        hash_for_domain=record.domain_hash,
        visibility=record.visibility,
        cors=list(record.cors),
        # A name below .invalid, so that a client that uses it reaches no real bucket.
        endpoint=f"https://{record.domain_hash}.blob.invalid",
        creation_time=record.created_at,
    )
