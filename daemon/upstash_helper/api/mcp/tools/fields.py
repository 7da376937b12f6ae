"""Arguments and results that several tools have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from upstash_helper.broker.apps.display_text import clean

ID_PATTERN = r"^[A-Za-z0-9._~-]{1,128}$"

DatabaseId = Annotated[str, Meta(pattern=ID_PATTERN, description="The database_id from redis_list_databases.")]
Limit = Annotated[int, Meta(ge=1, le=100, description="Maximum number of entries to return.")]
Cursor = Annotated[
    str, Meta(max_length=1024, description="The next_cursor of the previous result. Empty for the first page.")
]
NextCursor = Annotated[str | None, Meta(description="Pass this as cursor to get the next page. Null on the last page.")]
Moment = Annotated[str, Meta(description="RFC 3339, UTC.")]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a tool. Unknown ones are rejected, so that a misspelled name is not ignored."""


class NoArguments(Arguments, frozen=True, kw_only=True):
    """A tool without arguments."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tool."""


class Outcome(Result, frozen=True, kw_only=True):
    """The outcome of a change."""

    done: Annotated[bool, Meta(description="False: the user did not allow the change, so nothing was changed.")]
    message: str


REFUSED = (
    "The user did not allow this, or did not answer in time. Nothing was changed. Do not try again unless the user asks"
    " for it."
)


def refused() -> Outcome:
    """Return the result for a question that the user did not answer with yes."""
    return Outcome(done=False, message=REFUSED)


def moment(unix: float) -> str:
    """Return a Unix time in RFC 3339 format; an empty string if it is not valid."""
    try:
        return datetime.fromtimestamp(int(unix), UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return ""


def shown(text: str, limit: int = 80) -> str:
    """Return a name that someone has chosen, for a question: on one line, and without hidden characters."""
    return clean(text, limit) or "(no name)"
