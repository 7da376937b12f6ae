"""The menu over com.canonical.dbusmenu, as panels read it and click in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if sys.platform != "linux":
    pytest.skip("platform: only Linux has D-Bus", allow_module_level=True)

from dbus_fast import Variant

from tests.support.notifications import session_bus
from tests.support.tray_host import CallError, Item, Line, TrayHost
from tests.support.tray_icon import RunningIcon, eventually, icon_class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Fixture:
    """A panel, an icon on it, and the texts of the items that were chosen."""

    def __init__(self, icon: Any, item: Item, chosen: list[str]) -> None:
        self.icon = icon
        self.item = item
        self.chosen = chosen

    async def chosen_after(self, count: int) -> list[str]:
        """Wait until ``count`` items have been chosen, and return all that were."""
        await eventually(lambda: len(self.chosen) >= count)
        # Messages are handled in order: once this is answered, all earlier ones are done.
        await self.item.properties()
        return list(self.chosen)

    async def show(self, *items: Any) -> Line:
        """Set the menu, and return it as the panel reads it."""
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
async def tray(bus: str) -> AsyncIterator[Fixture]:
    from PIL import Image

    icon = icon_class()("a-test", Image.new("RGBA", (16, 16)), "A test")
    async with TrayHost.on(bus) as host, RunningIcon.of(icon):
        yield Fixture(icon, await host.item(), [])


def choice(text: str, chosen: list[str], **more: Any) -> Any:
    """Return an item. Items with the same text have equal actions."""
    import pystray

    return pystray.MenuItem(text, _Choice(text, chosen), **more)


class _Choice:
    def __init__(self, text: str, chosen: list[str]) -> None:
        self.text = text
        self._chosen = chosen

    def __call__(self, _icon: object, _item: object) -> None:
        self._chosen.append(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Choice) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


async def test_panel_reads_the_whole_menu(tray: Fixture) -> None:
    """This includes submenus, separators, check marks, radio buttons, and disabled items."""
    import pystray

    menu = await tray.show(
        choice("Open", tray.chosen, default=True, visible=False),
        choice("Connected", tray.chosen, enabled=False),
        pystray.Menu.SEPARATOR,
        pystray.MenuItem("Databases", pystray.Menu(choice("orders", tray.chosen))),
        choice("At login", tray.chosen, checked=lambda _: True),
        choice("Once", tray.chosen, checked=lambda _: False, radio=True),
    )

    assert ["Connected (gray)", "---", "Databases", "  orders", "[x] At login", "[ ] Once"] == menu.texts()


@pytest.mark.parametrize("text", ["a_b", "__init__", "_", "&File", "<b>bold</b>", "\N{SNOWMAN} 名前", "%s {} \\"])
async def test_text_has_no_special_characters(tray: Fixture, text: str) -> None:
    """No character in the name of a database or app marks an access key or is markup."""
    menu = await tray.show(choice(text, tray.chosen))
    [properties] = await tray.item.menu_call("GetProperty", "is", [menu.lines[0].id, "label"])

    assert text == menu.lines[0].text
    assert text.replace("_", "__") == properties.value


async def test_click_chooses_the_item(tray: Fixture) -> None:
    """The item may be in a submenu."""
    import pystray

    await tray.show(pystray.MenuItem("Databases", pystray.Menu(choice("orders", tray.chosen))))

    await tray.item.click("Databases", "orders")

    assert ["orders"] == await tray.chosen_after(1)


async def test_click_in_an_outdated_menu_has_the_action_that_was_shown(tray: Fixture) -> None:
    """If a request disappears while the user looks at it, the click is not for the one that took its place."""
    seen = await tray.show(choice("Allow A", tray.chosen), choice("Deny A", tray.chosen))
    now = await tray.show(choice("Allow B", tray.chosen), choice("Deny B", tray.chosen))

    await tray.item.click_id(seen.find("Deny A").id)

    assert ["Deny A"] == await tray.chosen_after(1)
    assert {line.id for line in seen.lines}.isdisjoint(line.id for line in now.lines)


async def test_unchanged_item_keeps_its_id(tray: Fixture) -> None:
    """The panel does not have to rebuild it, and an open menu does not flicker."""
    import pystray

    def databases(*names: str) -> Any:
        return pystray.MenuItem("Databases", pystray.Menu(*(choice(name, tray.chosen) for name in names)))

    before = await tray.show(choice("Open", tray.chosen), databases("a", "b"))
    after = await tray.show(choice("New", tray.chosen), choice("Open", tray.chosen), databases("b", "c"))

    assert before.find("Open").id == after.find("Open").id
    assert before.find("Databases", "b").id == after.find("Databases", "b").id
    known = {before.find("Databases", "a").id, before.find("Databases").id, before.find("Open").id}
    assert after.find("Databases", "c").id not in known


@pytest.mark.parametrize("more", [{"checked": lambda _: True}, {"enabled": False}])
async def test_item_with_another_appearance_gets_a_new_id(tray: Fixture, more: dict[str, Any]) -> None:
    """GNOME's extension never reads the properties of a known item again."""
    before = await tray.show(choice("At login", tray.chosen))
    after = await tray.show(choice("At login", tray.chosen, **more))

    assert before.lines[0].id != after.lines[0].id


async def test_items_with_equal_text_and_different_actions_are_distinct(tray: Fixture) -> None:
    """Two databases may have the same name."""
    before = await tray.show(choice("orders", tray.chosen))
    after = await tray.show(*(_titled("orders", text, tray.chosen) for text in ("1", "2")))

    await tray.item.click_id(before.lines[0].id)
    for line in after.lines:
        await tray.item.click_id(line.id)

    assert ["orders", "1", "2"] == await tray.chosen_after(3)


def _titled(title: str, text: str, chosen: list[str]) -> Any:
    import pystray

    return pystray.MenuItem(title, _Choice(text, chosen))


async def test_number_of_remembered_items_is_bounded(tray: Fixture) -> None:
    """A tray may run for months."""
    first = await tray.show(choice("first", tray.chosen))
    for number in range(1100):
        tray.icon.menu = _menu(choice(str(number), tray.chosen))

    await tray.item.click_id(first.lines[0].id)
    [unknown] = await tray.item.menu_call("EventGroup", "a(isvu)", [[_clicked(first.lines[0].id)]])

    assert [first.lines[0].id] == unknown
    assert [] == await tray.chosen_after(0)


def _menu(*items: Any) -> Any:
    import pystray

    return pystray.Menu(*items)


def _clicked(item_id: int, event: str = "clicked") -> list[Any]:
    return [item_id, event, Variant("i", 0), 0]


async def test_only_a_click_on_an_enabled_item_chooses_it(tray: Fixture) -> None:
    """Unknown ids, disabled items, separators, submenus, and events other than a click are ignored."""
    import pystray

    menu = await tray.show(
        choice("Open", tray.chosen),
        choice("Disabled", tray.chosen, enabled=False),
        pystray.Menu.SEPARATOR,
        pystray.MenuItem("More", pystray.Menu(choice("orders", tray.chosen))),
    )

    for number in (-1, 2**31 - 1, 0, *(line.id for line in menu.lines[1:])):
        await tray.item.click_id(number)
    for event in ("hovered", "opened", "closed", ""):
        await tray.item.menu_call("Event", "isvu", _clicked(menu.lines[0].id, event))

    assert [] == await tray.chosen_after(0)


async def test_event_group_is_handled_and_returns_unknown_ids(tray: Fixture) -> None:
    """The events are handled in order."""
    menu = await tray.show(choice("a", tray.chosen), choice("b", tray.chosen))
    numbers = [menu.lines[1].id, 4711, menu.lines[0].id]

    [unknown] = await tray.item.menu_call("EventGroup", "a(isvu)", [[_clicked(number) for number in numbers]])

    assert [4711] == unknown
    assert ["b", "a"] == await tray.chosen_after(2)


async def test_part_of_a_menu_can_be_read(tray: Fixture) -> None:
    """A panel can limit the depth and the properties."""
    import pystray

    deep = pystray.MenuItem("More", pystray.Menu(pystray.MenuItem("Deep", pystray.Menu(choice("x", tray.chosen)))))
    number = (await tray.show(choice("a", tray.chosen, enabled=False), deep)).find("More").id

    _, top = await tray.item.menu_call("GetLayout", "iias", [0, 0, []])
    _, one = await tray.item.menu_call("GetLayout", "iias", [number, 1, ["label"]])
    [group] = await tray.item.menu_call("GetGroupProperties", "aias", [[0, number, 4711], ["children-display"]])
    [every] = await tray.item.menu_call("GetGroupProperties", "aias", [[], []])
    shown = await tray.item.menu_call("AboutToShowGroup", "ai", [[number, 4711]])

    assert [] == top[2]
    assert {"label": Variant("s", "More")} == one[1]
    assert [({"label": Variant("s", "Deep")}, [])] == [(child.value[1], child.value[2]) for child in one[2]]
    submenu = {"children-display": Variant("s", "submenu")}
    assert [(0, submenu), (number, submenu)] == [tuple(one) for one in group]
    assert 5 == len(every)
    assert [[], [4711]] == shown
    assert [False] == await tray.item.menu_call("AboutToShow", "i", [0])


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
async def test_invalid_call_is_answered_with_an_error(
    tray: Fixture, member: str, signature: str, body: list[Any]
) -> None:
    """The icon keeps working."""
    with pytest.raises(CallError):
        await tray.item.menu_call(member, signature, body)

    assert ["Open"] == (await tray.show(choice("Open", tray.chosen))).texts()


async def test_failing_action_is_logged(tray: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    """The next click works."""

    def fail() -> None:
        message = "of a test"
        raise LookupError(message)

    import pystray

    await tray.show(pystray.MenuItem("Fail", fail), choice("Open", tray.chosen))

    await tray.item.click("Fail")
    await tray.item.click("Open")

    assert ["Open"] == await tray.chosen_after(1)
    assert "tray_choice_failed" in caplog.text


async def test_large_menu_is_read_in_one_call(tray: Fixture) -> None:
    """An account may have a thousand databases."""
    menu = await tray.show(*(choice(f"database-{number}", tray.chosen) for number in range(1000)))

    assert 1000 == len(menu.lines)
