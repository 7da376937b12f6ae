"""The bodies of the Developer API's requests and responses about Vector and Search indexes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.sandbox.developer_api.stats import Point
from upstash_helper.sandbox.developer_api.wire import Name
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.indexes import (
    EmbeddingModel,
    IndexType,
    Plan,
    Region,
    SimilarityFunction,
    SparseEmbeddingModel,
)

DimensionCount = Annotated[int, Meta(ge=0, le=5376)]
"""Of a vector. The maximum is that of Upstash's largest plan."""

UNLIMITED = -1
GIB = 1024**3

# --- requests ---------------------------------------------------------------------------------------------------------


class CreateVectorIndex(msgspec.Struct, kw_only=True):
    """``POST /vector/index``."""

    name: Name
    region: Region
    similarity_function: SimilarityFunction
    dimension_count: DimensionCount
    type: Plan | Literal["paid"] = "payg"
    index_type: IndexType = "DENSE"
    embedding_model: EmbeddingModel | None = None
    sparse_embedding_model: SparseEmbeddingModel | None = None

    @property
    def plan(self) -> Plan:
        """The plan. ``paid`` is an older name of ``payg``, which responses do not have."""
        return "payg" if self.type == "paid" else self.type

    def require_dimensions(self) -> None:
        """
        Check that vectors have dimensions, except in a sparse index.

        Raises:
            RequestError: If they have none.
        """
        if self.dimension_count == 0 and self.index_type != "SPARSE":
            message = f"dimension_count: Must be at least 1 in an index of type {self.index_type}."
            raise RequestError(400, f"invalid request body: {message}")


class CreateSearchIndex(msgspec.Struct, kw_only=True):
    """``POST /search``."""

    name: Name
    region: Literal["eu-west-1", "us-central1"]
    type: Plan


class SetPlan(msgspec.Struct):
    """``POST /vector/index/{id}/setplan``."""

    target_plan: Plan


class Transfer(msgspec.Struct):
    """``POST /vector/index/{id}/transfer`` and ``POST /search/{id}/transfer``."""

    target_account: str
    """The ID of a team."""


# --- responses --------------------------------------------------------------------------------------------------------


class Index(msgspec.Struct, kw_only=True, omit_defaults=False):
    """What Vector and Search indexes have in common in Upstash's format. No limit is enforced."""

    customer_id: str
    id: str
    name: str
    endpoint: str
    token: str
    read_only_token: str
    type: Plan
    region: Region
    creation_time: int
    max_vector_count: int
    max_daily_updates: int
    max_daily_queries: int
    max_monthly_bandwidth: int
    max_writes_per_second: int = 1000
    max_query_per_second: int = 1000
    throughput_vector: list[Point]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"


class VectorIndex(Index, kw_only=True, omit_defaults=False):
    """A Vector index. The models are left out if it has none."""

    similarity_function: SimilarityFunction
    dimension_count: int
    index_type: IndexType
    embedding_model: EmbeddingModel | UnsetType = UNSET
    sparse_embedding_model: SparseEmbeddingModel | UnsetType = UNSET
    max_reads_per_request: int = 1000
    max_writes_per_request: int = 1000
    max_total_metadata_size: int = 50 * GIB
    reserved_price: float


class SearchIndex(Index, kw_only=True, omit_defaults=False):
    """A Search index."""

    vercel_email: str = ""
    max_monthly_reranks: int = UNLIMITED
    max_reads_per_request: int = 100
    max_writes_per_request: int = 100
    input_enrichment_enabled: bool = True
