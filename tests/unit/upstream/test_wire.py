from typing import Any

import msgspec
import pytest

from upstash_helper.upstream.wire import DatabaseDocument

WHOLE = {
    "database_id": "96ad0856-03b1-4ee7-9666-e81abd0349e1",
    "database_name": "MyRedis",
    "region": "global",
    "port": 6379,
    "creation_time": 1752649602,
    "state": "active",
    "endpoint": "beloved-stallion-58500",
    "tls": True,
    "type": "paid",
    "budget": 360,
    "primary_region": "us-east-1",
    "read_regions": ["us-east-2"],
    "eviction": False,
    "auto_upgrade": True,
    "daily_backup_enabled": True,
    "securityAddons": {"ipWhitelisting": False},
    "password": "p4ss",
    "rest_token": "r3st",
    "read_only_rest_token": "r3ad",
}


def document(**fields: Any) -> DatabaseDocument:
    """Return the document with some fields changed."""
    return msgspec.convert(WHOLE | fields, DatabaseDocument)


def test_complete_document_is_read() -> None:
    """
    Every field is read from where Upstash puts it.
    """
    database = document().database("https://{host}")

    assert {
        "id": "96ad0856-03b1-4ee7-9666-e81abd0349e1",
        "name": "MyRedis",
        "state": "active",
        "host": "beloved-stallion-58500.upstash.io",
        "port": 6379,
        "tls": True,
        "rest_url": "https://beloved-stallion-58500.upstash.io",
        "plan": "paid",
        "primary_region": "us-east-1",
        "read_regions": ("us-east-2",),
        "eviction": False,
        "auto_upgrade": True,
        "daily_backup": True,
        "budget": 360,
        "created_at": 1752649602,
    } == msgspec.structs.asdict(database)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("slug-1", "slug-1.upstash.io"),
        ("eu1-slug.upstash.io", "eu1-slug.upstash.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("", ""),
        (None, ""),
    ],
)
def test_endpoint_may_be_a_slug_or_a_host(endpoint: str | None, host: str) -> None:
    """
    The host is one that clients can connect to.
    """
    assert host == document(endpoint=endpoint).database("https://{host}").host


def test_rest_url_without_a_placeholder_is_unchanged() -> None:
    """
    A sandbox serves all databases at one URL.
    """
    assert "http://127.0.0.1:8079" == document().database("http://127.0.0.1:8079").rest_url


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"port": "6380"}, {"port": 6380}),
        ({"port": 6380.0}, {"port": 6380}),
        ({"port": "x"}, {"port": 6379}),
        ({"port": None}, {"port": 6379}),
        ({"tls": "false"}, {"tls": False}),
        ({"tls": None}, {"tls": True}),
        ({"eviction": "true"}, {"eviction": True}),
        ({"eviction": 1}, {"eviction": True}),
        ({"budget": "20"}, {"budget": 20}),
        ({"budget": ""}, {"budget": None}),
        ({"creation_time": "1e400"}, {"created_at": 0}),
        ({"creation_time": True}, {"created_at": 0}),
        ({"read_regions": None}, {"read_regions": ()}),
        ({"read_regions": ""}, {"read_regions": ()}),
        ({"database_name": 7}, {"name": "7"}),
        ({"state": None}, {"state": "unknown"}),
        ({"primary_region": None}, {"primary_region": "global"}),
        ({"plan": "fixed_1gb"}, {"plan": "fixed_1gb"}),
    ],
)
def test_unexpected_values_get_defaults(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """
    A number sent as text, a null or a missing field does not hide a database.
    """
    database = msgspec.structs.asdict(document(**fields).database("https://{host}"))

    assert expected == {name: database[name] for name in expected}


def test_id_is_the_only_required_field() -> None:
    """
    A database that is still being created is listed too.
    """
    database = msgspec.convert({"database_id": "x"}, DatabaseDocument).database("https://{host}")

    assert ("x", "unknown", 6379, True) == (database.id, database.state, database.port, database.tls)


@pytest.mark.parametrize("missing", ["password", "rest_token"])
def test_incomplete_secrets_are_none(missing: str) -> None:
    """
    Half of a credential is not returned.
    """
    assert document(**{missing: None}).secrets() is None


def test_repr_of_a_document_has_no_secrets() -> None:
    """
    The repr contains only the database's id.
    """
    assert "DatabaseDocument('96ad0856-03b1-4ee7-9666-e81abd0349e1')" == repr(document())
