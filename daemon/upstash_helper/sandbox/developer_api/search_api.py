"""The 9 Search operations of the Developer API. The indexes themselves do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.sandbox.accounts import Caller
from upstash_helper.sandbox.developer_api import index_wire
from upstash_helper.sandbox.developer_api.index_api import IndexApi
from upstash_helper.sandbox.developer_api.index_stats import zeros
from upstash_helper.sandbox.indexes import IndexRecord, new_identity
from upstash_helper.sandbox.responses import read_json

if TYPE_CHECKING:
    from aiohttp import web


class SearchApi(IndexApi[IndexRecord]):
    """``/v2/search``."""

    BASE = "/v2/search"
    TITLE = "Search Index"

    async def new_record(self, request: web.Request, caller: Caller) -> IndexRecord:
        """
        Return the index that a request describes.

        Raises:
            RequestError: If its body is invalid.
        """
        body = await read_json(request, index_wire.CreateSearchIndex)
        return IndexRecord(
            name=body.name, region=body.region, plan=body.type, **new_identity(caller.owner, body.region)
        )

    def as_json(self, record: IndexRecord) -> index_wire.SearchIndex:
        """Return an index in Upstash's format."""
        free = record.plan == "free"
        return index_wire.SearchIndex(
            customer_id=record.email,
            id=record.id,
            name=record.name,
            endpoint=record.endpoint,
            token=record.token,
            read_only_token=record.read_only_token,
            type=record.plan,
            region=record.region,
            creation_time=record.created_at,
            max_vector_count=200_000 if free else 2_000_000,
            max_daily_updates=10_000 if free else index_wire.UNLIMITED,
            max_daily_queries=10_000 if free else index_wire.UNLIMITED,
            max_monthly_bandwidth=index_wire.UNLIMITED,
            throughput_vector=zeros("1h"),
        )
