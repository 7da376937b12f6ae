"""The menu as panels read and click it, over com.canonical.dbusmenu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dbus_fast import Variant

from tests.support.notifications import session_bus
from tests.support.tray_host import Item, Line, Refused, TrayHost
from tests.support.tray_icon import RunningIcon, eventually, icon_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class World:
    """A panel, an icon on it, and what was chosen."""

    def __init__(self, icon: Any, item: Item, chosen: list[str]) -> None:
        self.icon = icon
        self.item = item
        self.chosen = chosen

    async def chosen_are(self, *expected: str) -> None:
        """Wait until this was chosen, and see that no more was."""
        await eventually(lambda: len(self.chosen) >= len(expected))
        await self.item.properties()  # all that was sent before is done when this is answered
        assert list(expected) == self.chosen

    async def shown(self, *items: Any) -> Line:
        """Show a menu, and return it as the panel reads it."""
        import pystray

        self.icon.menu = pystray.Menu(*items)
        return await self.item.menu()


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with session_bus() as session:
        session.enter(monkeypatch)
        monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
        yield session.env["DBUS_SESSION_BUS_ADDRESS"]


@pytest.fixture
async def world(bus: str) -> AsyncIterator[World]:
    from PIL import Image

    icon = icon_class()("a-test", Image.new("RGBA", (16, 16)), "A test")
    async with TrayHost.on(bus) as host, RunningIcon.of(icon):
        yield World(icon, await host.item(), [])


def choice(text: str, chosen: list[str], **more: Any) -> Any:
    """Return an item that does the same as any other with its text."""
    import pystray

    return pystray.MenuItem(text, _Choice(text, chosen), **more)


class _Choice:
    def __init__(self, text: str, chosen: list[str]) -> None:
        self._text = text
        self._chosen = chosen

    def __call__(self, _icon: object, _item: object) -> None:
        self._chosen.append(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Choice) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


async def test_a_menu_is_read_as_it_was_written(world: World) -> None:
    """With submenus, separators, ticks, radio buttons, and what is greyed."""
    import pystray

    menu = await world.shown(
        choice("Open", world.chosen, default=True, visible=False),
        choice("Connected", world.chosen, enabled=False),
        pystray.Menu.SEPARATOR,
        pystray.MenuItem("Databases", pystray.Menu(choice("orders", world.chosen))),
        choice("At login", world.chosen, checked=lambda _: True),
        choice("Once", world.chosen, checked=lambda _: False, radio=True),
    )

    assert ["Connected (grey)", "---", "Databases", "  orders", "[x] At login", "[ ] Once"] == menu.texts()


@pytest.mark.parametrize("text", ["a_b", "__init__", "_", "&File", "<b>bold</b>", "\N{SNOWMAN} 名前", "%s {} \\"])
async def test_a_text_is_what_is_read(world: World, text: str) -> None:
    """No character of a database's or an app's name marks an access key, or anything else."""
    menu = await world.shown(choice(text, world.chosen))
    [properties] = await world.item.menu_call("GetProperty", "is", [menu.lines[0].id, "label"])

    assert text == menu.lines[0].text
    assert text.replace("_", "__") == properties.value


async def test_a_click_chooses(world: World) -> None:
    """Wherever the item is."""
    import pystray

    await world.shown(pystray.MenuItem("Databases", pystray.Menu(choice("orders", world.chosen))))

    await world.item.click("Databases", "orders")

    await world.chosen_are("orders")


async def test_a_click_on_a_menu_that_has_changed_does_what_was_seen(world: World) -> None:
    """An app's request goes away while the user looks at it: the click is for that app, whoever is in its place now."""
    seen = await world.shown(choice("Let A in", world.chosen), choice("Deny A", world.chosen))
    now = await world.shown(choice("Let B in", world.chosen), choice("Deny B", world.chosen))

    await world.item.click_id(seen.find("Deny A").id)

    await world.chosen_are("Deny A")
    assert {line.id for line in seen.lines}.isdisjoint(line.id for line in now.lines)


async def test_an_item_that_stays_keeps_its_number(world: World) -> None:
    """So that a panel need not build it anew, and the menu does not jump."""
    import pystray

    def databases(*names: str) -> Any:
        return pystray.MenuItem("Databases", pystray.Menu(*(choice(name, world.chosen) for name in names)))

    before = await world.shown(choice("Open", world.chosen), databases("a", "b"))
    after = await world.shown(choice("New", world.chosen), choice("Open", world.chosen), databases("b", "c"))

    assert before.find("Open").id == after.find("Open").id
    assert before.find("Databases", "b").id == after.find("Databases", "b").id
    known = {before.find("Databases", "a").id, before.find("Databases").id, before.find("Open").id}
    assert after.find("Databases", "c").id not in known


@pytest.mark.parametrize("more", [{"checked": lambda _: True}, {"enabled": False}])
async def test_an_item_that_looks_different_is_another(world: World, more: dict[str, Any]) -> None:
    """GNOME's extension never asks again how an item looks that it knows."""
    before = await world.shown(choice("At login", world.chosen))
    after = await world.shown(choice("At login", world.chosen, **more))

    assert before.lines[0].id != after.lines[0].id


async def test_the_same_text_for_something_else_is_another_item(world: World) -> None:
    """Two databases may have one name."""
    before = await world.shown(choice("orders", world.chosen))
    after = await world.shown(*(_titled("orders", text, world.chosen) for text in ("1", "2")))

    await world.item.click_id(before.lines[0].id)
    for line in after.lines:
        await world.item.click_id(line.id)

    await world.chosen_are("orders", "1", "2")


def _titled(title: str, text: str, chosen: list[str]) -> Any:
    import pystray

    return pystray.MenuItem(title, _Choice(text, chosen))


async def test_old_items_are_forgotten_some_day(world: World) -> None:
    """A tray that runs for months keeps no more of them than a menu could have."""
    first = await world.shown(choice("first", world.chosen))
    for number in range(1100):
        world.icon.menu = _menu(choice(str(number), world.chosen))

    await world.item.click_id(first.lines[0].id)
    [unknown] = await world.item.menu_call("EventGroup", "a(isvu)", [[_clicked(first.lines[0].id)]])

    assert [first.lines[0].id] == unknown
    await world.chosen_are()


def _menu(*items: Any) -> Any:
    import pystray

    return pystray.Menu(*items)


def _clicked(number: int, event: str = "clicked") -> list[Any]:
    return [number, event, Variant("i", 0), 0]


async def test_what_is_not_there_is_not_chosen(world: World) -> None:
    """Nor is what is greyed, words, a separator, a submenu, or an item that only was looked at."""
    import pystray

    menu = await world.shown(
        choice("Open", world.chosen),
        choice("Grey", world.chosen, enabled=False),
        pystray.Menu.SEPARATOR,
        pystray.MenuItem("More", pystray.Menu(choice("orders", world.chosen))),
    )

    for number in (-1, 2**31 - 1, 0, *(line.id for line in menu.lines[1:])):
        await world.item.click_id(number)
    for event in ("hovered", "opened", "closed", ""):
        await world.item.menu_call("Event", "isvu", _clicked(menu.lines[0].id, event))

    await world.chosen_are()


async def test_several_events_come_at_once(world: World) -> None:
    """Those that are not known are returned; the others are done."""
    menu = await world.shown(choice("a", world.chosen), choice("b", world.chosen))
    numbers = [menu.lines[1].id, 4711, menu.lines[0].id]

    [unknown] = await world.item.menu_call("EventGroup", "a(isvu)", [[_clicked(number) for number in numbers]])

    assert [4711] == unknown
    await world.chosen_are("b", "a")


async def test_a_part_of_a_menu_can_be_read(world: World) -> None:
    """As deep, and as much of it, as a panel asks for."""
    import pystray

    deep = pystray.MenuItem("More", pystray.Menu(pystray.MenuItem("Deep", pystray.Menu(choice("x", world.chosen)))))
    number = (await world.shown(choice("a", world.chosen, enabled=False), deep)).find("More").id

    _, top = await world.item.menu_call("GetLayout", "iias", [0, 0, []])
    _, one = await world.item.menu_call("GetLayout", "iias", [number, 1, ["label"]])
    [group] = await world.item.menu_call("GetGroupProperties", "aias", [[0, number, 4711], ["children-display"]])
    [all_of_them] = await world.item.menu_call("GetGroupProperties", "aias", [[], []])
    shown = await world.item.menu_call("AboutToShowGroup", "ai", [[number, 4711]])

    assert [] == top[2]
    assert {"label": Variant("s", "More")} == one[1]
    assert [({"label": Variant("s", "Deep")}, [])] == [(child.value[1], child.value[2]) for child in one[2]]
    submenu = {"children-display": Variant("s", "submenu")}
    assert [(0, submenu), (number, submenu)] == [tuple(one) for one in group]
    assert 5 == len(all_of_them)
    assert [[], [4711]] == shown
    assert [False] == await world.item.menu_call("AboutToShow", "i", [0])


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("GetLayout", "iias", [4711, -1, []]),
        ("GetProperty", "is", [4711, "label"]),
        ("GetProperty", "is", [0, "nothing"]),
        ("GetLayout", "s", ["all of it"]),
        ("Event", "", []),
        ("Nothing", "", []),
    ],
)
async def test_a_call_that_makes_no_sense_is_answered_by_an_error(
    world: World, member: str, signature: str, body: list[Any]
) -> None:
    """And by nothing worse: the icon is still there."""
    with pytest.raises(Refused):
        await world.item.menu_call(member, signature, body)

    assert ["Open"] == (await world.shown(choice("Open", world.chosen))).texts()


async def test_a_choice_that_fails_ends_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next one works."""

    def fail() -> None:
        message = "of a test"
        raise LookupError(message)

    import pystray

    await world.shown(pystray.MenuItem("Fail", fail), choice("Open", world.chosen))

    await world.item.click("Fail")
    await world.item.click("Open")

    await world.chosen_are("Open")
    assert "tray_choice_failed" in caplog.text


async def test_a_menu_as_large_as_it_gets_is_read_at_once(world: World) -> None:
    """A thousand databases are an unusual account, and no reason for a panel to wait."""
    menu = await world.shown(*(choice(f"database-{number}", world.chosen) for number in range(1000)))

    assert 1000 == len(menu.lines)
