"""
Tools for Vector and Search indexes, as far as the Developer API supports them.

Accessing their data (upsert, query) requires the index's own token and address, which the daemon does not use.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import documents, hints
from upstash_helper.api.mcp.tools import index_results as results
from upstash_helper.api.mcp.tools.databases import READ_ONLY, IncludeCredentials, require_credentials
from upstash_helper.api.mcp.tools.fields import (
    ID_PATTERN,
    Arguments,
    Cursor,
    Limit,
    Outcome,
    refused,
    shown,
)
from upstash_helper.api.mcp.tools.paging import page
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.errors import HelperError, UpstreamUnavailable
from upstash_helper.broker.ports import ResourceRequest

if TYPE_CHECKING:
    from upstash_helper.api.mcp.tools.recording import Entry, Recorder
    from upstash_helper.broker.databases.resources import Resources

Product = Annotated[Literal["vector", "search"], Meta(description="The product that the index belongs to.")]
IndexId = Annotated[str, Meta(pattern=ID_PATTERN, description="The id from index_list.")]
IndexName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w .:@+-]+$")]
Plan = Literal["free", "payg", "fixed"]

_PATHS: Final[dict[str, tuple[str, ...]]] = {"vector": ("vector", "index"), "search": ("search",)}
_TITLES: Final = {"vector": "Vector", "search": "Search"}
_VECTOR_ONLY: Final = (
    "similarity_function",
    "dimension_count",
    "index_type",
    "embedding_model",
    "sparse_embedding_model",
)


class ListIndexes(Arguments, frozen=True, kw_only=True):
    """Which indexes to list."""

    product: Product
    limit: Limit = 20
    cursor: Cursor = ""


class OneIndex(Arguments, frozen=True, kw_only=True):
    """An index."""

    product: Product
    index_id: IndexId


class GetIndex(OneIndex, frozen=True, kw_only=True):
    """Which index to show."""

    include_credentials: IncludeCredentials = False


class CreateIndex(Arguments, frozen=True, kw_only=True):
    """The index to create."""

    product: Product
    name: IndexName
    region: Annotated[
        Literal["eu-west-1", "us-east-1", "us-central1"], Meta(description="us-east-1 is not available for Search.")
    ]
    type: Annotated[Plan, Meta(description="The plan: payg is billed per request, fixed per month.")] = "free"
    similarity_function: Annotated[
        Literal["COSINE", "EUCLIDEAN", "DOT_PRODUCT"] | UnsetType, Meta(description="Required for Vector.")
    ] = UNSET
    dimension_count: Annotated[
        Annotated[int, Meta(ge=0, le=5376)] | UnsetType, Meta(description="Required for Vector; 0 for a sparse index.")
    ] = UNSET
    index_type: Annotated[Literal["DENSE", "SPARSE", "HYBRID"] | UnsetType, Meta(description="Vector only.")] = UNSET
    embedding_model: Annotated[
        Literal["BGE_SMALL_EN_V1_5", "BGE_BASE_EN_V1_5", "BGE_LARGE_EN_V1_5", "BGE_M3"] | UnsetType,
        Meta(description="Vector only: the model with which Upstash turns text into vectors."),
    ] = UNSET
    sparse_embedding_model: Annotated[Literal["BM25", "BGE_M3"] | UnsetType, Meta(description="Vector only.")] = UNSET
    include_credentials: IncludeCredentials = False


class UpdateIndex(OneIndex, frozen=True, kw_only=True):
    """The changes of an index."""

    name: Annotated[IndexName | UnsetType, Meta(description="The new name.")] = UNSET
    plan: Annotated[Plan | UnsetType, Meta(description="The new plan. Vector only.")] = UNSET


class IndexTools:
    """The tools."""

    def __init__(self, *, resources: Resources, recorder: Recorder) -> None:
        self._resources = resources
        self._recorder = recorder

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools in the order in which they are listed."""
        return (
            Tool(
                name="index_list",
                description="List the Vector or Search indexes of the connected Upstash account, sorted by name.",
                arguments=ListIndexes, result=results.IndexPage, scope="upstash:read",
                annotations=hints.reads("List indexes"), handler=self.all,
            ),
            Tool(
                name="index_get",
                description=(
                    "Show a Vector or Search index. Its tokens are returned only if include_credentials is true, the"
                    " user has granted this, and the account is not read-only."
                ),
                arguments=GetIndex, result=results.Index, scope="upstash:read",
                annotations=hints.reads("Show an index"), handler=self.get,
            ),
            Tool(
                name="index_get_stats",
                description="Show the usage of a Vector or Search index: vectors, queries, updates, and storage.",
                arguments=OneIndex, result=results.IndexStats, scope="upstash:read",
                annotations=hints.reads("Show statistics of an index"), handler=self.stats,
            ),
            Tool(
                name="index_create",
                description="Create a Vector or Search index. Plans other than free cost money.",
                arguments=CreateIndex, result=results.Index, scope="upstash:write",
                annotations=hints.adds("Create an index"), handler=self.create,
            ),
            Tool(
                name="index_update",
                description=(
                    "Rename a Vector or Search index, or move a Vector index to another plan, which can cost more."
                    " Requires the user's confirmation."
                ),
                arguments=UpdateIndex, result=Outcome, scope="upstash:write",
                annotations=hints.overwrites("Change an index"), handler=self.update,
            ),
            Tool(
                name="index_reset_password",
                description=(
                    "Replace the tokens of a Vector or Search index. The old ones stop working immediately, in every"
                    " app that uses them. Requires the user's confirmation. The new ones are not returned."
                ),
                arguments=OneIndex, result=Outcome, scope="upstash:write",
                annotations=hints.overwrites("Reset the tokens of an index", idempotent=False),
                handler=self.reset_password,
            ),
            Tool(
                name="index_delete",
                description="Delete a Vector or Search index and all its data. Requires the user's confirmation.",
                arguments=OneIndex, result=Outcome, scope="upstash:write",
                annotations=hints.overwrites("Delete an index"), handler=self.delete,
            ),
        )  # fmt: skip

    # --- reading ------------------------------------------------------------------------------------------------------

    async def all(self, call: ToolCall, wanted: ListIndexes) -> results.IndexPage:
        """List indexes."""
        request = ResourceRequest(method="GET", path=_PATHS[wanted.product])
        found = documents.read_list(await self._resources(request, call.caller), results.Document)
        entries, cursor = page(
            found, lambda it: (documents.text(it.name).casefold(), it.id), cursor=wanted.cursor, limit=wanted.limit
        )

        return results.IndexPage(indexes=tuple(results.summary(it) for it in entries), next_cursor=cursor)

    async def get(self, call: ToolCall, wanted: GetIndex) -> results.Index:
        """Show an index."""
        if wanted.include_credentials:
            require_credentials(call)
        index = await self._index(call, wanted)
        return await self._shown(call, index, include_credentials=wanted.include_credentials)

    async def stats(self, call: ToolCall, wanted: OneIndex) -> results.IndexStats:
        """Show the usage of an index."""
        request = ResourceRequest(method="GET", path=(*_PATHS[wanted.product], wanted.index_id, "stats"))
        return results.stats(documents.read(await self._resources(request, call.caller), results.StatsDocument))

    # --- changing -----------------------------------------------------------------------------------------------------

    async def create(self, call: ToolCall, wanted: CreateIndex) -> results.Index:
        """Create an index."""
        if wanted.include_credentials:
            require_credentials(call)
        body: dict[str, Any] = {"name": wanted.name, "region": wanted.region, "type": wanted.type}
        given = {name: getattr(wanted, name) for name in _VECTOR_ONLY if getattr(wanted, name) is not UNSET}
        if wanted.product == "search" and given:
            raise ToolError(f"Omit {', '.join(given)} for Search: only Vector supports this.")
        if wanted.product == "vector" and not {"similarity_function", "dimension_count"} <= given.keys():
            raise ToolError("Vector requires similarity_function and dimension_count.")
        request = ResourceRequest(method="POST", path=_PATHS[wanted.product], body=body | given)
        what = f"{audit_target.quoted(wanted.name)} in {wanted.region}, plan {wanted.type}"

        async def work(entry: Entry) -> bytes:
            document = await self._resources(request, call.caller)
            with contextlib.suppress(UpstreamUnavailable):  # it was created, even if the response is unreadable
                entry.target = f"{documents.read(document, results.Document).id} {what}"
            return document

        document = await self._recorder.change(call.caller, "index.create", what, work)
        index = documents.read(document, results.Document)
        return await self._shown(call, index, include_credentials=wanted.include_credentials)

    async def update(self, call: ToolCall, wanted: UpdateIndex) -> Outcome:
        """Change an index."""
        if wanted.name is UNSET and wanted.plan is UNSET:
            raise ToolError("Send name, plan, or both.")
        if wanted.plan is not UNSET and wanted.product == "search":
            raise ToolError("The plan of a Search index can only be changed in the Upstash console.")
        index = await self._index(call, OneIndex(product=wanted.product, index_id=wanted.index_id))
        effects = []
        if wanted.name is not UNSET:
            effects.append(f'be renamed to "{shown(wanted.name)}"')
        if wanted.plan is not UNSET:
            effects.append(f"move to the plan {wanted.plan}, which can cost more or have lower limits")
        action = "Change the plan of" if wanted.name is UNSET else "Rename" if wanted.plan is UNSET else "Change"
        question = Question(
            action="index.change",
            title=f'{action} the {_TITLES[wanted.product]} index "{shown(documents.text(index.name))}"?',
            detail=f"{_described(index)} will {' and '.join(effects)}.",
            target=index.id,
        )
        if not await call.confirm(question):
            return refused()
        if wanted.plan is not UNSET:
            target, body = f"{_target(index)}: plan {wanted.plan}", {"target_plan": wanted.plan}
            await self._send(call, "index.change", wanted, "setplan", target=target, body=body)
        if wanted.name is not UNSET:
            target = f"{_target(index)}: renamed to {audit_target.quoted(wanted.name)}"
            try:
                await self._send(call, "index.change", wanted, "rename", target=target, body={"name": wanted.name})
            except HelperError as error:
                if wanted.plan is UNSET:
                    raise
                raise ToolError(f"The plan was changed, but not the name. {error.detail}") from error
        return Outcome(done=True, message="The index was changed.")

    async def reset_password(self, call: ToolCall, wanted: OneIndex) -> Outcome:
        """Replace the tokens of an index."""
        index = await self._index(call, wanted)
        question = Question(
            action="index.reset_password",
            title=f'Reset the tokens of the {_TITLES[wanted.product]} index "{shown(documents.text(index.name))}"?',
            detail=(
                f"The tokens of {_described(index)} will be replaced. Every app that uses them loses access until it"
                " has the new ones. The old ones cannot be restored."
            ),
            target=index.id,
        )
        if not await call.confirm(question):
            return refused()
        await self._send(call, "index.reset_password", wanted, "reset-password", target=_target(index))
        return Outcome(
            done=True, message="The tokens were replaced. The user can find the new ones in the Upstash console."
        )

    async def delete(self, call: ToolCall, wanted: OneIndex) -> Outcome:
        """Delete an index."""
        index = await self._index(call, wanted)
        question = Question(
            action="index.delete",
            title=f'Delete the {_TITLES[wanted.product]} index "{shown(documents.text(index.name))}"?',
            detail=f"All data in {_described(index)} will be deleted. This cannot be undone.",
            target=index.id,
        )
        if not await call.confirm(question):
            return refused()
        request = ResourceRequest(method="DELETE", path=(*_PATHS[wanted.product], index.id))
        await self._recorder.change(
            call.caller, "index.delete", _target(index), lambda _: self._resources(request, call.caller)
        )
        return Outcome(done=True, message=f"The index {documents.text(index.name)!r} ({index.id}) was deleted.")

    async def _index(self, call: ToolCall, wanted: OneIndex) -> results.Document:
        request = ResourceRequest(method="GET", path=(*_PATHS[wanted.product], wanted.index_id))
        return documents.read(await self._resources(request, call.caller), results.Document)

    async def _shown(self, call: ToolCall, index: results.Document, *, include_credentials: bool) -> results.Index:
        if not include_credentials:
            return results.details(index, hidden=True)
        if await call.is_read_only():
            return results.details(index, hidden=True, note=READ_ONLY)
        await self._recorder.disclosure(call.caller, "index.credentials", index.id)
        return results.details(index, hidden=False)

    async def _send(
        self, call: ToolCall, action: str, wanted: OneIndex, operation: str, *, target: str, body: object = None
    ) -> None:
        request = ResourceRequest(method="POST", path=(*_PATHS[wanted.product], wanted.index_id, operation), body=body)
        await self._recorder.change(call.caller, action, target, lambda _: self._resources(request, call.caller))


def _target(index: results.Document) -> str:
    return audit_target.named(index.id, documents.text(index.name))


def _described(index: results.Document) -> str:
    return f'"{shown(documents.text(index.name))}" ({shown(index.id)}, {shown(documents.text(index.region))})'
