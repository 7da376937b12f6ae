"""``daemon/server.json``, with which the MCP server registry lists this project."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from install.environment import ROOT
from upstash_helper import __version__
from upstash_helper.cli.app import cli
from upstash_helper.settings.profiles import ENV_PREFIX

FILE = ROOT / "daemon" / "server.json"
SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

# The rules of the schema of 2025-12-11 for what we use, and of the registry's documents "server.json format" and
# "official registry requirements". Here, unknown members are not allowed: a typing error would be one.

_Version = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[0-9][0-9A-Za-z.+-]*$")]
"""One version, not a range, and not ``latest``."""
_Address = Annotated[str, Meta(pattern=r"^https://[^\s]+$")]


class Input(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An environment variable."""

    name: str
    description: str
    default: str = ""
    is_required: bool = False
    is_secret: bool = False


class Argument(msgspec.Struct, forbid_unknown_fields=True):
    """A positional argument needs a value, or a hint."""

    type: Literal["positional"]
    value: str


class Transport(msgspec.Struct, forbid_unknown_fields=True):
    """That of a local process has no other member."""

    type: Literal["stdio"]


class Package(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A package. PyPI's needs a version, and no address of a registry."""

    registry_type: Literal["pypi"]
    identifier: str
    version: _Version
    transport: Transport
    runtime_hint: Literal["uvx"]
    package_arguments: list[Argument]
    environment_variables: list[Input]


class Server(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The file."""

    schema: str = msgspec.field(name="$schema")
    name: Annotated[str, Meta(min_length=3, max_length=200, pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$")]
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    description: Annotated[str, Meta(min_length=1, max_length=100)]
    version: _Version
    website_url: _Address
    packages: Annotated[list[Package], Meta(min_length=1)]


def server() -> Server:
    return msgspec.json.decode(FILE.read_bytes(), type=Server)


def project() -> dict[str, Any]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = content["project"]
    return found


def test_file_follows_the_rules_of_the_schema() -> None:
    """
    The registry would refuse it otherwise. There is no secret to ask the user for.
    """
    found = server()

    assert SCHEMA == found.schema
    assert not any(one.is_secret or one.is_required for one in found.packages[0].environment_variables)


def test_name_and_version_are_those_of_the_package() -> None:
    """
    A release changes the version in one place more.
    """
    found = server()

    assert project()["name"] == found.name.rpartition("/")[2]
    assert [(project()["name"], __version__)] == [(one.identifier, one.version) for one in found.packages]
    assert __version__ == found.version


def test_readme_proves_that_the_package_is_the_servers() -> None:
    """
    The registry looks for this line in the package's description.
    """
    readme = (ROOT / project()["readme"]).read_text(encoding="utf-8")

    assert f"<!-- mcp-name: {server().name} -->" in readme.splitlines()


def test_command_and_variables_exist() -> None:
    """
    A client that installs the package runs its command with these arguments.
    """
    (package,) = server().packages

    assert package.identifier in project()["scripts"]
    assert ["mcp"] == [one.value for one in package.package_arguments]
    assert [f"{ENV_PREFIX}PROFILE"] == [one.name for one in package.environment_variables]
    assert cli.name == package.identifier
