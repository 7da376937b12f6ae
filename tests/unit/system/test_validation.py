"""Errors in JSON, described for the person who wrote it (T79)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.protocol import wire, wire_apps
from upstash_helper.sandbox import admin, faults
from upstash_helper.sandbox.developer_api import wire as sandbox_wire
from upstash_helper.sandbox.oauth import settings as oauth_settings
from upstash_helper.settings.config import Settings
from upstash_helper.system.allowed import ALLOWED
from upstash_helper.system.validation import JsonInvalid, ValuesInvalid, convert, decode_json

DECODER = re.compile(r"\$|`|[Ee]xpected|regex|enum|Object|missing required|unknown field|msgspec|\bstr\b|\bint\b|byte")
"""Words of a decoder, which mean nothing to the sender."""

LONG = "x" * 20_000
WRONG: tuple[object, ...] = (
    None, True, 1.5, -1, 10**12, "", "azure", "a\tb", "é@", LONG, [], [1], ["azure"], ["us-east-1"] * 60, {}, {"a": 1},
)  # fmt: skip

TYPES: tuple[tuple[type, dict[str, object]], ...] = (
    (wire.Connect, {"open_browser": True, "force": False}),
    (wire.PastedAddress, {"address": "http://localhost:3000/?code=1"}),
    (wire.ApiKey, {"email": "ann@example.com", "api_key": "key"}),
    (wire.Email, {"email": "ann@example.com"}),
    (
        wire.CreateDatabase,
        {
            "name": "orders", "primary_region": "eu-west-1", "read_regions": [], "platform": "aws", "plan": "free",
            "budget": 1, "eviction": True, "tls": True,
        },
    ),
    (
        wire.ChangeDatabase,
        {
            "name": "orders", "eviction": True, "auto_upgrade": True, "daily_backup": True, "read_regions": [],
            "plan": "free", "budget": 1, "tls": True,
        },
    ),
    (wire_apps.PairingRequest, {"name": "Orders", "scopes": ["databases:read"], "reason": "Why"}),
    (wire_apps.Approve, {"scopes": ["databases:read"], "all_databases": True, "once": True}),
    (wire_apps.RenameApp, {"name": "Orders"}),
    (wire_apps.Block, {"scope": "site"}),
    (wire_apps.BeginSession, {"ticket": "ticket"}),
    (wire_apps.ShowDashboard, {"section": "key"}),
    (admin.NewAccount, {"email": "ann@example.com", "password": "secret"}),
    (admin.KeyChange, {"email": "ann@example.com", "name": "key", "read_only": True, "revoke": True}),
    (faults.Fault, {"listener": "api", "when": "before", "times": 1, "latency": 0.0, "status": 500, "repeat": 1}),
    (oauth_settings.OAuthSettings, {"redirect_iss": True, "code_lifetime": 1.0}),
    (
        sandbox_wire.CreateDatabase,
        {"database_name": "a", "platform": "aws", "primary_region": "eu-west-1", "plan": "free"},
    ),
    (sandbox_wire.Rename, {"name": "a"}),
    (sandbox_wire.ChangePlan, {"plan_name": "free"}),
    (sandbox_wire.UpdateBudget, {"budget": 1}),
    (sandbox_wire.UpdateRegions, {"read_regions": []}),
    (Settings, {"client_id": "a", "port": 3000, "port_policy": "always", "open_browser": True, "log_level": "info"}),
)  # fmt: skip
"""Every type that a caller sends, with a valid value of each field."""


def errors_of(value: object, kind: type) -> dict[str, str]:
    """Return the details of the errors by pointer; none if the value is valid."""
    try:
        decode_json(msgspec.json.encode(value), kind)
    except ValuesInvalid as error:
        return {one.pointer: one.detail for one in error.errors}
    return {}


def test_every_request_of_the_api_is_in_the_list() -> None:
    """A new type is tested as well."""
    requests = {one for one in wire.RequestBody.__subclasses__() if one.__module__.startswith("upstash_helper.")}

    assert requests <= {kind for kind, _ in TYPES}


@pytest.mark.parametrize(("kind", "valid"), TYPES, ids=lambda one: getattr(one, "__qualname__", ""))
def test_t79_every_wrong_value_is_described(kind: type, valid: dict[str, object]) -> None:
    """The field is named, with what it must be, in words of the sender's, for every kind of wrong value."""
    assert {} == errors_of(valid, kind)
    for name in valid:
        found = [errors_of({**valid, name: wrong}, kind) for wrong in WRONG]
        assert any(found)
        for errors in filter(None, found):
            for pointer, detail in errors.items():
                assert pointer.startswith(f"/{name}")
                assert detail.endswith((".", "?"))
                assert "Is not valid." != detail
                assert not DECODER.search(detail), detail
                assert len(detail) < 900


@pytest.mark.parametrize(("kind", "valid"), TYPES, ids=lambda one: getattr(one, "__qualname__", ""))
def test_t79_missing_and_unknown_fields_are_named(kind: type, valid: dict[str, object]) -> None:
    """An unknown field is shown with the closest known one."""
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    closed = msgspec.inspect.type_info(kind).forbid_unknown_fields  # type: ignore[attr-defined]
    first = next(iter(valid))

    assert {f"/{name}": "Is required." for name in required} == errors_of({}, kind)
    unknown = errors_of({**valid, f"{first}s": 1}, kind)
    assert ({f"/{first}s": f'Is not a known field. Did you mean "{first}"?'} if closed else {}) == unknown
    wholes: tuple[object, ...] = (None, True, 1, "text", [])
    for whole in wholes:
        (detail,) = errors_of(whole, kind).values()
        assert detail.startswith("Must be an object, not ")


class Sample(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A type with what the real ones have."""

    word: Annotated[str, Meta(pattern="^[a-z]+$", max_length=4, extra={ALLOWED: "lower-case letters"})] = "a"
    size: Annotated[int, Meta(ge=1, le=10)] | None = None
    region: Literal["eu-west-1", "us-east-1"] | UnsetType = UNSET
    only: Literal[True] | UnsetType = UNSET
    items: Annotated[tuple[Literal["a", "b"], ...], Meta(min_length=1, max_length=2)] = ("a",)
    map: dict[str, int] = {}
    secret: str = ""


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        ({"word": "A"}, "/word", "Must be lower-case letters."),
        ({"word": "abcde"}, "/word", "Must have at most 4 characters, not 5."),
        ({"word": ""}, "/word", "Must not be empty."),
        ({"word": None}, "/word", "Must be text, not null."),
        ({"size": 11}, "/size", "Must be a whole number from 1 to 10, not 11."),
        ({"size": "2"}, "/size", 'Must be a whole number from 1 to 10, not "2".'),
        ({"size": True}, "/size", "Must be a whole number from 1 to 10, not true."),
        (
            {"region": "eu-wst-1"},
            "/region",
            'Must be one of "eu-west-1", "us-east-1", not "eu-wst-1". Did you mean "eu-west-1"?',
        ),
        ({"region": 5}, "/region", 'Must be one of "eu-west-1", "us-east-1", not 5.'),
        ({"only": False}, "/only", "Must be true, not false."),
        ({"items": []}, "/items", "Must have at least one item."),
        ({"items": ["a", "c"]}, "/items/1", 'Must be one of "a", "b", not "c".'),
        ({"map": {"x/y": "z"}}, "/map/x~1y", 'Must be a whole number, not "z".'),
        ({"secret": 1234567}, "/secret", "Must be text, not a number."),
        (
            {"region": "sk_" + "s" * 40},
            "/region",
            'Must be one of "eu-west-1", "us-east-1", not a text of 43 characters.',
        ),
    ],
)  # fmt: skip
def test_what_was_sent_and_what_is_allowed(value: dict[str, Any], pointer: str, detail: str) -> None:
    """Long texts, which may be secrets, and numbers in place of text are not shown."""
    assert {pointer: detail} == errors_of(value, Sample)


class Measured(msgspec.Struct, kw_only=True):
    """A type with a number that need not be whole."""

    seconds: float = 0.0


LARGE = "not such a large number."


@pytest.mark.parametrize(
    ("data", "kind", "errors"),
    [
        (b'{"size": 1e999}', Sample, {"/size": f"Must be a whole number from 1 to 10, {LARGE}"}),
        (b'{"size": -1e999}', Sample, {"/size": f"Must be a whole number from 1 to 10, {LARGE}"}),
        (b'{"map": {"a": 1e999}}', Sample, {"/map/a": f"Must be a whole number, {LARGE}"}),
        (b'{"seconds": 1e999}', Measured, {"/seconds": f"Must be a number, {LARGE}"}),
        (b'{"word": 5, "size": 1e999}', Sample,
         {"/word": "Must be text, not a number.", "/size": f"Must be a whole number from 1 to 10, {LARGE}"}),
        (rb'{"size": 0, "word": "\ud83d"}', Sample,
         {"/size": "Must be a whole number from 1 to 10, not 0.", "/word": "Must be lower-case letters."}),
    ],
)  # fmt: skip
def test_t79_value_that_another_parser_reads_is_described(
    data: bytes, kind: type[msgspec.Struct], errors: dict[str, str]
) -> None:
    """The first parser stops at the first wrong value, and may not be able to read what follows."""
    with pytest.raises(ValuesInvalid) as refused:
        decode_json(data, kind)

    assert errors == {one.pointer: one.detail for one in refused.value.errors}


def test_all_errors_are_reported_together() -> None:
    """A form can mark all of its fields."""
    assert ["/word", "/size", "/nope"] == list(errors_of({"nope": 1, "word": "A", "size": 0}, Sample))


HALF = r"It has half of a surrogate pair, such as \ud83d without \ude00, which is not a character."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "It is empty."),
        (b" \n", "It is empty."),
        (b"{", "It ends too early: a value, a quotation mark, or a bracket is missing."),
        (b'{"word": "a', "It ends too early: a value, a quotation mark, or a bracket is missing."),
        (b'{\n "word" "a"}', "See line 2, column 9."),
        (b'{"word": "\xe9"}', "It is not in UTF-8: see line 1, column 11."),
        ('{"word": "a"}'.encode("utf-16"), "It is encoded in UTF-16 instead of UTF-8."),
        ('{"word": "a"}'.encode("utf-16-le"), "It is encoded in UTF-16 instead of UTF-8."),
        ('{"word": "a"}'.encode("utf-32"), "It is encoded in UTF-32 instead of UTF-8."),
        (b'{"size": NaN}', "It has a value that JSON does not have, such as NaN."),
        (b'{"word": 5, "size": -Infinity}', "It has a value that JSON does not have, such as NaN."),
        (rb'{"word": "\ud83d"}', HALF),
        (rb'{"word": "a\ude00\ud83d"}', HALF),
        (rb'{"\ud83d": "a"}', HALF),
        (b"[" * 200_000, "It is nested too deeply."),
        (b'{"word": "a", "word": "b"}', "An object has the same key twice."),
    ],
)
def test_t79_text_that_is_not_json_is_explained(data: bytes, reason: str) -> None:
    """The place is named as in an editor, and nothing is quoted."""
    with pytest.raises(JsonInvalid) as refused:
        decode_json(data, Sample, unique_keys=True)

    assert reason == str(refused.value)


def test_t79_byte_order_mark_is_skipped() -> None:
    """Editors on Windows write one (RFC 8259, section 8.1)."""
    assert "ab" == decode_json(b'\xef\xbb\xbf{"word": "ab"}\r\n', Sample).word


@pytest.mark.parametrize(("value", "result"), [("8", 8), ("0", None), ("x", None), ("", None)])
def test_text_may_stand_for_a_number(value: str, result: int | None) -> None:
    """In an environment variable and on the command line, everything is text."""
    kind = Annotated[int, Meta(ge=1, le=10)]
    if result is not None:
        assert result == convert(value, kind, lenient=True)
        return
    with pytest.raises(ValuesInvalid) as refused:
        convert(value, kind, lenient=True)
    assert refused.value.errors[0].detail.startswith("Must be a whole number from 1 to 10, not ")
