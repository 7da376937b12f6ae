"""Vector and Search indexes, in Upstash's format and as results."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tools import documents
from upstash_helper.api.mcp.tools.fields import Moment, NextCursor, Result, moment


class IndexSummary(Result, frozen=True, kw_only=True):
    """What a list shows of an index."""

    id: str
    name: str
    region: str
    type: Annotated[str, Meta(description="The plan.")]


class IndexPage(Result, frozen=True, kw_only=True):
    """A page of indexes."""

    indexes: tuple[IndexSummary, ...]
    next_cursor: NextCursor = None


class Index(IndexSummary, frozen=True, kw_only=True, omit_defaults=True):
    """An index. Fields that only Vector has are left out for Search."""

    endpoint: str
    created_at: Moment
    max_vector_count: float
    max_daily_updates: Annotated[float, Meta(description="-1 means no limit.")]
    max_daily_queries: float
    similarity_function: str | None = None
    dimension_count: float | None = None
    index_type: str | None = None
    embedding_model: str | None = None
    sparse_embedding_model: str | None = None
    token: Annotated[str | None, Meta(description="Left out unless include_credentials is true. A secret.")] = None
    read_only_token: str | None = None
    note: str = ""

    def __repr__(self) -> str:
        return f"Index({self.id!r})"


class IndexStats(Result, frozen=True, kw_only=True):
    """Usage of an index."""

    vector_count: float
    pending_count: Annotated[float, Meta(description="Vectors that are not indexed yet.")]
    storage_bytes: float
    queries_today: float
    updates_today: float
    monthly_queries: float
    monthly_updates: float
    monthly_bandwidth_bytes: float
    monthly_cost_usd: float


class Document(msgspec.Struct):
    """An index in Upstash's format."""

    id: str
    name: documents.Text = None
    region: documents.Text = None
    type: documents.Text = None
    endpoint: documents.Text = None
    creation_time: documents.Text = None
    max_vector_count: documents.Text = None
    max_daily_updates: documents.Text = None
    max_daily_queries: documents.Text = None
    similarity_function: str | None = None
    dimension_count: float | None = None
    index_type: str | None = None
    embedding_model: str | None = None
    sparse_embedding_model: str | None = None
    token: str | None = None
    read_only_token: str | None = None

    def __repr__(self) -> str:
        return f"Document({self.id!r})"


class StatsDocument(msgspec.Struct):
    """The part of an index's statistics that is shown, in Upstash's format."""

    current_vector_count: documents.Text = None
    pending_index_count: documents.Text = None
    storage_usage: documents.Text = None
    daily_query_count: documents.Text = None
    daily_update_count: documents.Text = None
    monthly_query_count: documents.Text = None
    monthly_update_count: documents.Text = None
    monthly_bandwidth_usage: documents.Text = None
    monthly_cost: documents.Text = None


def summary(it: Document) -> IndexSummary:
    """Return what a list shows of an index."""
    return IndexSummary(
        id=it.id, name=documents.text(it.name), region=documents.text(it.region), type=documents.text(it.type)
    )


def details(it: Document, *, hidden: bool, note: str = "") -> Index:
    """Return an index, without its tokens if they are ``hidden``."""
    return Index(
        id=it.id,
        name=documents.text(it.name),
        region=documents.text(it.region),
        type=documents.text(it.type),
        endpoint=documents.text(it.endpoint),
        created_at=moment(documents.number(it.creation_time)),
        max_vector_count=documents.number(it.max_vector_count),
        max_daily_updates=documents.number(it.max_daily_updates),
        max_daily_queries=documents.number(it.max_daily_queries),
        similarity_function=it.similarity_function,
        dimension_count=it.dimension_count,
        index_type=it.index_type,
        embedding_model=it.embedding_model,
        sparse_embedding_model=it.sparse_embedding_model,
        token=None if hidden else it.token,
        read_only_token=None if hidden else it.read_only_token,
        note=note,
    )


def stats(it: StatsDocument) -> IndexStats:
    """Return the usage of an index."""
    return IndexStats(
        vector_count=documents.number(it.current_vector_count),
        pending_count=documents.number(it.pending_index_count),
        storage_bytes=documents.number(it.storage_usage),
        queries_today=documents.number(it.daily_query_count),
        updates_today=documents.number(it.daily_update_count),
        monthly_queries=documents.number(it.monthly_query_count),
        monthly_updates=documents.number(it.monthly_update_count),
        monthly_bandwidth_bytes=documents.number(it.monthly_bandwidth_usage),
        monthly_cost_usd=documents.number(it.monthly_cost),
    )
