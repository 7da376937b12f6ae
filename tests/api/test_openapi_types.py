"""The dashboard's types of the API are those of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.javascript.api_types import TYPES, declarations

if TYPE_CHECKING:
    from tests.support.world import World


async def test_the_dashboards_types_are_those_of_the_api(world: World) -> None:
    """
    A changed field of the API is a type error in the dashboard, and not a surprise in a browser.
    """
    document = (await world.get("/openapi.json", token=None)).json

    generated = declarations(document)

    assert TYPES.read_text(encoding="utf-8") == generated, "Write it again: see CONTRIBUTING.md, JavaScript"
