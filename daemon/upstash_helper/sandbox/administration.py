"""The operations of the admin API and the console on accounts, teams, grants, and resources."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from upstash_helper.sandbox.accounts import Account, Accounts, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.buckets import BucketRecord, Buckets
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.faults import FaultInjector
from upstash_helper.sandbox.indexes import Indexes, IndexRecord
from upstash_helper.sandbox.oauth.grants import Grant, Grants
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.store import OAuthStore
from upstash_helper.sandbox.qstash import QStashUsers
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.records import NewDatabase
from upstash_helper.sandbox.request_log import RequestLog
from upstash_helper.sandbox.teams import AssignableRole, Team, Teams

SOURCE = "CONSOLE"
"""In the audit log: these are changes that a user makes in Upstash's console."""


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """The resources of an account or team."""

    databases: Sequence[Database]
    vector_indexes: Sequence[IndexRecord]
    search_indexes: Sequence[IndexRecord]
    buckets: Sequence[BucketRecord]


class Administration:
    """Acts for every account, as its user would, and records changes in its audit log."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        teams: Teams,
        grants: Grants,
        clients: OAuthStore,
        databases: Databases,
        vector_indexes: Indexes[Any],
        search_indexes: Indexes[Any],
        buckets: Buckets,
        qstash_users: QStashUsers,
        audit_log: AuditLog,
        faults: FaultInjector,
        requests: RequestLog,
        settings: OAuthSettings,
    ) -> None:
        self.accounts = accounts
        self.teams = teams
        self.grants = grants
        self.clients = clients
        self.databases = databases
        self.audit_log = audit_log
        self.faults = faults
        self.requests = requests
        self.settings = settings
        self.default_settings = msgspec.structs.asdict(settings)
        self._vector_indexes = vector_indexes
        self._search_indexes = search_indexes
        self._buckets = buckets
        self._qstash_users = qstash_users

    # --- accounts and API keys ---

    def account(self, email: str) -> Account:
        """
        Return the account with this email.

        Raises:
            RequestError: With 404 if there is none.
        """
        account = self.accounts.by_email(email)
        if account is None:
            raise RequestError(404, "no account with this email exists; GET accounts lists them")
        return account

    async def delete_account(self, account: Account) -> None:
        """Delete an account with its API keys and grants, its resources, and the teams that it owns."""
        for team in self.teams.owned_by(account):
            await self._delete_team(team)
        await self._delete_resources(account)
        self.teams.leave_all(account)
        self.accounts.delete(account)

    def create_api_key(self, account: Account, name: str, *, read_only: bool, ip: str | None) -> str:
        """
        Create an API key, and return it.

        Raises:
            RequestError: If the name is taken, or the account has the maximum number of keys.
        """
        api_key = self.accounts.create_api_key(account, name, read_only=read_only)
        self._log(account, "Create API Key", name, ip)
        return api_key

    def revoke_api_key(self, account: Account, name: str, *, ip: str | None) -> None:
        """
        Revoke an API key.

        Raises:
            RequestError: With 404 if there is none with this name.
        """
        if not self.accounts.revoke_api_key(account, name):
            raise RequestError(404, "no API key with this name exists; GET api-keys lists them")
        self._log(account, "Revoke API Key", name, ip)

    # --- grants ---

    def grant(self, grant_id: str) -> Grant:
        """
        Return a grant.

        Raises:
            RequestError: With 404 if there is none with this ID.
        """
        for grant in self.grants.all():
            if grant.id == grant_id:
                return grant
        raise RequestError(404, "no grant with this ID exists; GET grants lists them")

    def revoke_grant(self, grant: Grant, *, ip: str | None) -> None:
        """Revoke a grant and its tokens."""
        self.grants.revoke(grant.id)
        self._log(self.account(grant.email), "Revoke OAuth Client", grant.client_name, ip)

    # --- teams ---

    def create_team(self, owner: Account, name: str, members: Mapping[str, AssignableRole], *, ip: str | None) -> Team:
        """
        Create a team with members.

        Raises:
            RequestError: If the account owns the maximum number of teams, or the members contain an email twice.
        """
        emails = {email.lower() for email in members}
        if owner.email.lower() in emails:
            raise RequestError(409, f"{owner.email} is already a member of the team, as its owner")
        if len(emails) < len(members):
            raise RequestError(409, "the members contain an email twice, in different case")
        team = self.teams.create(owner, name)
        self._log(owner, "Create Team", name, ip)
        for email, role in members.items():
            self.add_member(team, email, role, ip=ip)
        return team

    def add_member(self, team: Team, email: str, role: AssignableRole, *, ip: str | None) -> None:
        """
        Add a member to a team.

        Raises:
            RequestError: With 409 if the email is a member already.
        """
        self.teams.add_member(team, email, role)
        self._log(self.owner_of_team(team), "Add Team Member", team.team_name, ip, email)

    def remove_member(self, team: Team, email: str, *, ip: str | None) -> None:
        """
        Remove a member from a team, and revoke the member's grants for it.

        Raises:
            RequestError: If the email is not a member, or is the owner.
        """
        self.teams.remove_member(team, email)
        self.grants.revoke_team(team.team_id, email)
        self._log(self.owner_of_team(team), "Remove Team Member", team.team_name, ip, email)

    async def delete_team(self, team: Team, *, ip: str | None) -> None:
        """Delete a team with its resources and its grants."""
        owner = self.accounts.by_email(self.owner_of_team(team).email)
        await self._delete_team(team)
        if owner is not None:
            self._log(owner, "Delete Team", team.team_name, ip)

    def owner_of_team(self, team: Team) -> Owner:
        """Return the team, as the owner of its resources."""
        return Owner(team.team_id, self.teams.members(team)[0].member_email)

    # --- resources ---

    def owner(self, *, email: str | None = None, team_id: str | None = None) -> Owner:
        """
        Return the account with this email or the team with this ID.

        Raises:
            RequestError: If there is none (404), or not exactly one of the two is given (400).
        """
        if email is not None and team_id is None:
            return self.account(email)
        if team_id is not None and email is None:
            return self.owner_of_team(self.teams.by_id(team_id))
        raise RequestError(400, "invalid request body: give either email, for an account, or team_id")

    def owners(self) -> list[Owner]:
        """Return all accounts, then all teams."""
        return [*self.accounts.all(), *map(self.owner_of_team, self.teams.all())]

    def resources(self, owner: Owner) -> Resources:
        """Return the resources of an account or team, oldest first."""
        return Resources(
            databases=self.databases.list(owner),
            vector_indexes=self._vector_indexes.list(owner),
            search_indexes=self._search_indexes.list(owner),
            buckets=self._buckets.list(owner.id),
        )

    async def create_database(self, owner: Owner, new: NewDatabase, *, ip: str | None) -> Database:
        """
        Create a database.

        Raises:
            RequestError: If the read regions are invalid, or the owner has the maximum number of databases.
        """
        database = await self.databases.create(owner, new)
        self._log(owner, "Create Database", new.name, ip)
        return database

    # --- everything ---

    async def reset(self) -> None:
        """Delete all accounts and what belongs to them, clear the logs and faults, and reset the settings."""
        for account in self.accounts.all():
            await self.delete_account(account)
        for team in self.teams.all():  # whose owner has no account
            await self._delete_team(team)
        for client in self.clients.clients():
            self.clients.remove_client(client.id)
        self.audit_log.clear()
        self.faults.clear()
        self.requests.clear()
        self.change_settings(self.default_settings)

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Set some settings."""
        for name, value in values.items():
            setattr(self.settings, name, value)

    async def _delete_team(self, team: Team) -> None:
        owner = self.owner_of_team(team)
        await self._delete_resources(owner)
        self.grants.revoke_team(team.team_id)
        self.teams.delete(team.team_id)

    async def _delete_resources(self, owner: Owner) -> None:
        resources = self.resources(owner)
        for database in resources.databases:
            with contextlib.suppress(RequestError):  # another request has deleted it in the meantime
                await self.databases.delete(self.databases.get(owner, database.record.id))
        for index in resources.vector_indexes:
            self._vector_indexes.remove(index)
        for index in resources.search_indexes:
            self._search_indexes.remove(index)
        for bucket in resources.buckets:
            self._buckets.remove(bucket)
        self._qstash_users.remove(owner.id)
        self.audit_log.remove(owner.id)

    def _log(self, owner: Owner, action: str, entity: str, ip: str | None, other: str = "NA") -> None:
        self.audit_log.add(owner, action, source=SOURCE, entity=entity, other=other, ip=ip)
