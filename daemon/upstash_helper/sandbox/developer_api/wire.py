"""The Developer API's request and response bodies, with the fields of Upstash's OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.records import MAX_RECORD_BYTES, MAX_REQUEST_BYTES, NewDatabase, Plan, Platform
from upstash_helper.sandbox.teams import AssignableRole, Role

ReadRegion = Literal[
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "sa-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
]
AwsRegion = ReadRegion | Literal["af-south-1"]
GcpRegion = Literal["us-central1", "us-east4", "europe-west1", "asia-northeast1"]
Region = AwsRegion | GcpRegion
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
Budget = Annotated[int, Meta(ge=0, le=2**53)]

GCP_REGIONS = frozenset({"us-central1", "us-east4", "europe-west1", "asia-northeast1"})


# --- requests ---------------------------------------------------------------------------------------------------------


class CreateDatabase(msgspec.Struct, kw_only=True):
    """
    ``POST /redis/database``, in both formats that clients use.

    The current format has ``database_name`` and ``platform``, the older one ``name`` and ``region: global``. Upstash's
    own command line mixes the two.
    """

    database_name: Name | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    platform: Platform | UnsetType = UNSET
    region: Literal["global"] | UnsetType = UNSET
    primary_region: Region
    read_regions: list[ReadRegion] = []
    plan: Plan = "free"
    budget: Budget = 0
    eviction: bool = False
    tls: bool = False

    def to_new_database(self) -> NewDatabase:
        """
        Return the database to create, whichever format the request has.

        Raises:
            RequestError: If a required field is missing, or the region is not one of the platform.
        """
        return NewDatabase(
            name=self._resolve_name(),
            platform=self._resolve_platform(),
            plan=self.plan,
            primary_region=self.primary_region,
            read_regions=self.read_regions,
            budget=self.budget,
            eviction=self.eviction,
            tls=self.tls,
        )

    def _resolve_name(self) -> str:
        name = self.database_name or self.name
        if not isinstance(name, str):
            raise RequestError(400, "invalid request body: database_name is required")
        return name

    def _resolve_platform(self) -> Platform:
        on_gcp = self.primary_region in GCP_REGIONS
        if self.platform is UNSET and self.region is UNSET:
            raise RequestError(400, "invalid request body: platform is required")
        if self.platform is not UNSET and (self.platform == "gcp") != on_gcp:
            raise RequestError(400, f"region {self.primary_region} is not a region of platform {self.platform}")
        return "gcp" if on_gcp else "aws"


class Rename(msgspec.Struct):
    """``POST /redis/rename/{id}``."""

    name: Name


class ChangePlan(msgspec.Struct, kw_only=True):
    """``POST /redis/{id}/change-plan``. Upstash's own command line sends ``plan`` instead of ``plan_name``."""

    plan_name: Plan | UnsetType = UNSET
    plan: Plan | UnsetType = UNSET
    database_id: str | UnsetType = UNSET
    auto_upgrade: bool | UnsetType = UNSET
    prod_pack_enabled: bool | UnsetType = UNSET

    def resolve_plan(self) -> Plan:
        """
        Return the new plan, whichever name the field has.

        Raises:
            RequestError: If it is missing.
        """
        plan = self.plan_name or self.plan
        if isinstance(plan, UnsetType):
            raise RequestError(400, "invalid request body: plan_name is required")
        return plan


class UpdateBudget(msgspec.Struct):
    """``PATCH /redis/update-budget/{id}``."""

    budget: Budget


class UpdateRegions(msgspec.Struct):
    """``POST /redis/update-regions/{id}``."""

    read_regions: list[ReadRegion]


class MoveToTeam(msgspec.Struct):
    """``POST /redis/move-to-team``."""

    team_id: str
    database_id: str


class CreateTeam(msgspec.Struct):
    """``POST /team``."""

    team_name: Name
    copy_cc: bool


class AddTeamMember(msgspec.Struct):
    """``POST /teams/member``."""

    team_id: str
    member_email: Email
    member_role: AssignableRole


class DeleteTeamMember(msgspec.Struct):
    """``DELETE /teams/member``."""

    team_id: str
    member_email: str


class CreateBackup(msgspec.Struct):
    """``POST /redis/create-backup/{id}``."""

    name: Name


class RestoreBackup(msgspec.Struct):
    """``POST /redis/restore-backup/{id}``."""

    backup_id: str


# --- responses --------------------------------------------------------------------------------------------------------


class TokenInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``GET /account/oauth/token-info``. Upstash omits what does not apply."""

    email: str
    team_id: str | None = None
    team_role: Role | None = None
    read_only: bool = False
    blocked: bool = False


class SecurityAddons(msgspec.Struct, rename="camel"):
    """Security add-ons, none of which the sandbox has."""

    ip_whitelisting: bool = False
    vpc_peering: bool = False
    private_link: bool = False
    tls_mutual_auth: bool = False
    encryption_at_rest: bool = False


class Database(msgspec.Struct, kw_only=True, omit_defaults=False):
    """
    A database in Upstash's format. ``?credentials=hide`` leaves out the three secrets.

    Only ``tls_ca`` is the sandbox's own: the certificate file that clients must trust, for a database with TLS.
    """

    database_id: str
    database_name: str
    region: str = "global"
    port: int
    creation_time: int
    state: str = "active"
    endpoint: str
    tls: bool
    db_max_clients: int = 1000
    db_max_request_size: int = MAX_REQUEST_BYTES
    db_disk_threshold: int
    db_max_entry_size: int = MAX_RECORD_BYTES
    db_memory_threshold: int
    db_max_commands_per_second: int = 10_000
    db_request_limit: int = 8_024_278_031_528_736_858
    type: str
    budget: int
    primary_region: str
    primary_members: list[str]
    all_members: list[str]
    read_regions: list[str]
    eviction: bool
    db_eviction: bool
    auto_upgrade: bool
    consistent: bool = False
    modifying_state: str = ""
    db_resource_size: str = "S"
    db_type: str = "pebble"
    db_conn_idle_timeout: int = 21_600_000_000_000
    db_lua_timeout: int = 250_000_000
    db_lua_credits_per_min: int = 10_000_000_000
    db_store_max_idle: int = 900_000_000_000
    db_max_loads_per_sec: int = 1_000_000
    db_acl_enabled: str = "false"
    db_acl_default_user_status: str = "true"
    last_plan_upgrade_time: int
    replicas: int
    customer_id: str
    daily_backup_enabled: bool
    securityAddons: SecurityAddons = msgspec.field(default_factory=SecurityAddons)  # noqa: N815 - Upstash's name
    prometheus_enabled: str = "false"
    prod_pack_enabled: bool
    tls_ca: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    rest_token: str | UnsetType = UNSET
    read_only_rest_token: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Database({self.database_id})"
