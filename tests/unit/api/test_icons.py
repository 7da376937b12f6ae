"""One set of icons for all pages."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, get_args
from xml.etree import ElementTree as ET

import pytest

from upstash_helper.api.pages.icons import IconName, icons, sprite, svg
from upstash_helper.api.pages.page import Page

if TYPE_CHECKING:
    from tests.support.world import World

WEB = files("upstash_helper.web")


def _dashboard(*, without: str = "") -> str:
    modules = (item for item in WEB.joinpath("dashboard").iterdir() if item.name.endswith(".js"))
    return "\n".join(module.read_text(encoding="utf-8") for module in modules if module.name != without)


def test_the_sprite_is_well_formed() -> None:
    """
    Each icon is a symbol of strokes on a grid of 24, and each is read from it.
    """
    root = ET.fromstring(sprite())  # noqa: S314 - our own file

    symbols = {symbol.attrib["id"].removeprefix("icon-"): symbol for symbol in root}

    assert symbols.keys() == icons().keys()
    for symbol in symbols.values():
        assert "0 0 24 24" == symbol.attrib["viewBox"]
        assert {"path"} == {part.tag.rpartition("}")[2] for part in symbol}


def test_the_dashboard_knows_the_icons_by_name() -> None:
    """
    The type check finds a name that the sprite does not have, since their type has the names of the sprite.
    """
    [names] = re.findall(r"@typedef \{([^}]*)\} IconName", _dashboard())

    assert icons().keys() == set(re.findall(r'"([a-z-]+)"', names))


def test_every_icon_is_used() -> None:
    """
    By the dashboard, or by a result page.
    """
    quoted = set(re.findall(r'"([a-z-]+)"', _dashboard(without="dom.js")))

    assert set() == icons().keys() - quoted - set(get_args(IconName))


@pytest.mark.parametrize("icon", get_args(IconName))
def test_page_contains_its_icon(icon: IconName) -> None:
    """
    The paths are in the page itself, so it can be read without a script.
    """
    text = str(Page(title="Title", lead="Lead", icon=icon).response().text)

    assert f'<div class="sign plain">{svg(icon)}</div>' in text
    assert f'<template id="warning">{svg("warning")}</template>' in text


async def test_the_dashboard_has_the_sprite(world: World) -> None:
    """
    It is part of the page: the icons are there when the helper is not.
    """
    page = (await world.get("/", token=None, headers=world.at_pages())).text

    assert sprite() in page
    assert "<!-- icons -->" not in page
