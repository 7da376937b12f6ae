"""The 10 Vector operations of the Developer API. The indexes themselves do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from upstash_helper.sandbox.accounts import Caller
from upstash_helper.sandbox.developer_api import index_wire
from upstash_helper.sandbox.developer_api.authentication import Access, Operation
from upstash_helper.sandbox.developer_api.index_api import IndexApi
from upstash_helper.sandbox.developer_api.index_stats import zeros
from upstash_helper.sandbox.indexes import Plan, VectorRecord, new_identity
from upstash_helper.sandbox.responses import read_json

if TYPE_CHECKING:
    from aiohttp import web


class _Limits(msgspec.Struct, frozen=True):
    """The limits of a plan that the Developer API shows."""

    dimensions: int
    """Of all vectors together."""
    daily_requests: int
    monthly_bandwidth: int
    price: float


_LIMITS: dict[Plan, _Limits] = {
    "free": _Limits(200_000_000, 10_000, 200 * index_wire.GIB, 0),
    "payg": _Limits(2_000_000_000, index_wire.UNLIMITED, index_wire.UNLIMITED, 0),
    "fixed": _Limits(2_000_000_000, 1_000_000, index_wire.UNLIMITED, 60),
}


class VectorApi(IndexApi[VectorRecord]):
    """``/v2/vector/index``."""

    BASE = "/v2/vector/index"
    TITLE = "Vector Index"

    def operations(self) -> list[tuple[str, str, Operation, Access]]:
        """Return the method, the path below ``BASE``, and the access of each operation."""
        return [*super().operations(), ("POST", "/{id}/setplan", self.set_plan, "write")]

    async def set_plan(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move an index to another plan, with other limits."""
        plan = (await read_json(request, index_wire.SetPlan)).target_plan
        return self._change(request, caller, f"Set {self.TITLE} Plan", plan, plan=plan)

    async def new_record(self, request: web.Request, caller: Caller) -> VectorRecord:
        """
        Return the index that a request describes.

        Raises:
            RequestError: If its body is invalid.
        """
        body = await read_json(request, index_wire.CreateVectorIndex)
        body.require_dimensions()
        return VectorRecord(
            name=body.name,
            region=body.region,
            plan=body.plan,
            similarity_function=body.similarity_function,
            dimension_count=body.dimension_count,
            index_type=body.index_type,
            embedding_model=body.embedding_model,
            sparse_embedding_model=body.sparse_embedding_model,
            **new_identity(caller.owner, body.region),
        )

    def as_json(self, record: VectorRecord) -> index_wire.VectorIndex:
        """Return an index in Upstash's format."""
        limits = _LIMITS[record.plan]
        return index_wire.VectorIndex(
            customer_id=record.email,
            id=record.id,
            name=record.name,
            endpoint=record.endpoint,
            token=record.token,
            read_only_token=record.read_only_token,
            type=record.plan,
            region=record.region,
            creation_time=record.created_at,
            max_vector_count=limits.dimensions // max(record.dimension_count, 1),
            max_daily_updates=limits.daily_requests,
            max_daily_queries=limits.daily_requests,
            max_monthly_bandwidth=limits.monthly_bandwidth,
            throughput_vector=zeros("1h"),
            similarity_function=record.similarity_function,
            dimension_count=record.dimension_count,
            index_type=record.index_type,
            embedding_model=record.embedding_model or msgspec.UNSET,
            sparse_embedding_model=record.sparse_embedding_model or msgspec.UNSET,
            reserved_price=limits.price,
        )
