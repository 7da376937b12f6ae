"""
The composition of what agents use, a part of ``compose`` that a daemon imports when the first agent connects, or when
the user's tools ask for questions to answer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upstash_helper.api.guard.policy import ServerAddress, agent_challenge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.api.mcp.endpoint import Endpoint
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.authorization.server import McpAuthorization
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.confirmations import Confirmations, Question
    from upstash_helper.broker.databases.create import CreateDatabase
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials
    from upstash_helper.broker.env_files import WriteEnvFile
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock, Notifier
    from upstash_helper.upstream.http_client import HttpClient


@dataclass(frozen=True, kw_only=True)
class Agents:
    """What agents use. Each part is created, and its modules are imported, when it is used first."""

    port: int
    """The API's port."""
    api_url: str
    """The address of Upstash's Developer API."""
    http: HttpClient
    """Sends the requests of apps."""
    ledger: Ledger
    connection: Connection
    databases: Databases
    create: CreateDatabase
    read_credentials: ReadCredentials
    apps: AppRegistry
    pairings: Pairings
    audit: Audit
    events: EventBus
    notifier: Notifier
    pending: PendingWrites
    background: Background
    clock: Clock
    is_confirmed: Callable[[], Awaitable[bool]] | None
    """Returns whether questions are answered with yes, because nothing that apps can reach is real. None: never."""

    @functools.cached_property
    def confirmations(self) -> Confirmations:
        """What asks the user for apps."""
        from upstash_helper.broker.confirmations import Confirmations

        created = Confirmations(
            audit=self.audit,
            events=self.events,
            notifier=self.notifier,
            has_access=self.apps.has_access,
            is_automatic=self.is_confirmed,
            background=self.background,
            clock=self.clock,
        )
        self.apps.on_access_end.append(created.access_ended)
        return created

    @functools.cached_property
    def write_env_file(self) -> WriteEnvFile:
        """What writes variables to files of the user."""
        from upstash_helper.broker.env_files import WriteEnvFile
        from upstash_helper.storage.env_files import DotenvFiles

        return WriteEnvFile(
            files=DotenvFiles(),
            apps=self.apps,
            connection=self.connection,
            databases=self.databases,
            journal=self.ledger.creates,
            audit=self.audit,
            background=self.background,
        )

    @functools.cached_property
    def authorization(self) -> McpAuthorization:
        """The authorization server of ``/mcp``."""
        from upstash_helper.broker.authorization.server import McpAuthorization

        return McpAuthorization(
            records=self.ledger.authorization,
            pairings=self.pairings,
            apps=self.apps,
            audit=self.audit,
            events=self.events,
            pending=self.pending,
            background=self.background,
            port=self.port,
            clock=self.clock,
        )

    @functools.cached_property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of ``/mcp``."""
        from upstash_helper.api.mcp.tools import all_tools
        from upstash_helper.api.mcp.tools.env import EnvTools
        from upstash_helper.broker.databases.commands import RunCommands
        from upstash_helper.broker.databases.resources import Resources
        from upstash_helper.upstream.redis_rest import RedisRest
        from upstash_helper.upstream.resources import DeveloperApiResources

        return all_tools(
            databases=self.databases,
            create=self.create,
            credentials=self.read_credentials,
            run=RunCommands(
                connection=self.connection,
                credentials=self.read_credentials,
                api=RedisRest(http=self.http),
                exchanges=self.apps.exchanges,
            ),
            resources=Resources(
                connection=self.connection,
                api=DeveloperApiResources(http=self.http, api_url=self.api_url),
                exchanges=self.apps.exchanges,
                background=self.background,
            ),
            audit=self.audit,
            has_access=self.apps.has_access,
            background=self.background,
            env=EnvTools(write=self.write_env_file).tools(),
        )

    @functools.cached_property
    def endpoint(self) -> Endpoint:
        """The endpoint ``/mcp``."""
        from upstash_helper.api.mcp.endpoint import Offers, Parts, create_mcp
        from upstash_helper.api.mcp.env_resources import EnvResources
        from upstash_helper.api.mcp.project_prompt import ADD_REDIS
        from upstash_helper.api.mcp.tools import visible
        from upstash_helper.broker.confirmations import denied_target_of, target_of

        address = ServerAddress(port=self.port)

        async def read_only() -> bool:
            return (await self.connection.status(prompt=False)).access == "read_only"

        async def record_answer(caller: Caller, question: Question, allowed: bool) -> None:  # noqa: FBT001
            if allowed:
                await self.audit.note(caller, "confirmation.allow_in_client", target_of(question))
            else:
                self.audit.note_later(caller, "confirmation.deny_in_client", denied_target_of(question))

        async def ask_user(caller: Caller, question: Question) -> bool:
            return await self.confirmations.ask(caller, question) == "allowed"

        parts = Parts(
            exchanges=self.apps.exchanges,
            events=self.events,
            clock=self.clock,
            visible=visible,
            ask_user=ask_user,
            challenge=lambda host, scopes: agent_challenge(address, host, error="insufficient_scope", scopes=scopes),
            record_answer=record_answer,
            read_only=read_only,
        )
        endpoint = create_mcp(self.tools, parts, Offers(prompts=(ADD_REDIS,), resources=EnvResources(self.databases)))
        self.apps.on_new_grant.append(lambda app_id: endpoint.streams.list_changed("tools", app_id=app_id))
        return endpoint
