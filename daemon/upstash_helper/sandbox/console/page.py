"""What every page of the console has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from upstash_helper.sandbox.administration import Administration
from upstash_helper.sandbox.console.elements import Form
from upstash_helper.sandbox.console.markup import Html
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.system import validation

Fields = dict[str, str]
Action = Callable[[web.Request, Fields], Awaitable[Html | web.StreamResponse | None]]
"""Processes a form. Returns what the page then shows once, another response, or None to reload the page."""
Values = TypeVar("Values")


class Page(ABC):
    """A page with its forms, or one page for each of several items."""

    PATH: str
    """The path below the console's; a part in braces is a variable."""
    NAVIGATION: str
    """The path of the entry that is marked in the navigation."""

    def __init__(self, admin: Administration, path: str) -> None:
        """
        Args:
            admin: Reads what is shown, and carries out what forms request.
            path: The console's path.
        """
        self._admin = admin
        self._path = path

    @abstractmethod
    def title(self, request: web.Request) -> str:
        """
        Return the heading.

        Raises:
            RequestError: If the page's subject does not exist.
        """

    @abstractmethod
    def content(self, request: web.Request, form: Form) -> list[Html]:
        """Return what is below the heading."""

    @property
    @abstractmethod
    def actions(self) -> Mapping[str, Action]:
        """What the forms do, by their ``intent``."""

    def headers(self, _request: web.Request) -> Mapping[str, str]:
        """Return more headers of the response."""
        return {}

    def link(self, path: str) -> str:
        """Return the URL of another page."""
        return f"{self._path}/{path}"


def read(fields: Mapping[str, Any], kind: type[Values]) -> Values:
    """
    Return a form's fields as ``kind``.

    Raises:
        RequestError: With status 400, naming the invalid field.
    """
    try:
        msgspec.json.encode(fields)
    except UnicodeEncodeError:
        raise RequestError(400, "The form contains characters that are not text.") from None
    try:
        values: Values = validation.convert(dict(fields), kind)
    except validation.ValuesInvalid as error:
        first = error.errors[0]
        name = first.pointer.removeprefix("/").replace("_", " ").capitalize()
        raise RequestError(400, f"{name}: {first.detail}" if name else first.detail) from None
    return values


def only(fields: Mapping[str, str], *names: str) -> dict[str, str]:
    """Return some of a form's fields, without empty ones."""
    return {name: fields[name].strip() for name in names if fields.get(name, "").strip()}
