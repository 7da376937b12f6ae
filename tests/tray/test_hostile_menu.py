"""What the menu is made of comes from elsewhere: whatever that is, the menu stays one that can be read and trusted."""

from __future__ import annotations

import random
import unicodedata
from typing import Any, get_args

import msgspec
import pytest

from tests.tray.views import ADA, app, attempt, database, page, pairing, running
from upstash_helper.protocol.literals import AttemptState, ConnectionState
from upstash_helper.protocol.wire import Sensitive, StartedAttempt
from upstash_helper.protocol.wire_apps import RequestedScope
from upstash_helper_tray import state as views
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk
from upstash_helper_tray.state import Sign, View
from upstash_helper_tray.status import sign_of, tooltip_for
from upstash_helper_tray.text import LONGEST_LINE, LONGEST_NAME, lines, one_line, quoted, short, whole

SEEDS = range(150)
HOSTILE = (
    "",
    " ",
    "main",
    "ünïcödé",
    "a\nb\r\nc\td",
    "\N{RIGHT-TO-LEFT OVERRIDE}moc.elpmaxe",
    "\N{LEFT-TO-RIGHT ISOLATE}x",
    "zero\N{ZERO WIDTH SPACE}width",
    "\N{HANGUL FILLER}" * 20,
    "\x00\x1b[31mred",
    "\ud800 alone",
    "Z" + "\N{COMBINING ACUTE ACCENT}" * 500,
    "x" * 10_000,
    "\N{RIGHT-TO-LEFT OVERRIDE}" * 10_000,
    "word " * 2_000,
    "\N{GRINNING FACE}" * 300,
    "“Allow” & _Deny_ <b>bold</b>",
    "שלום עולם",
    "\u2028line\u2029paragraph",
    "\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}",
)


def hostile_view(seed: int) -> View:
    pick = random.Random(seed)

    def text() -> str:
        return "".join(pick.sample(HOSTILE, pick.randint(1, 3)))

    def some(make: Any, most: int = 4) -> tuple[Any, ...]:
        return tuple(make() for _ in range(pick.choice((0, 1, 2, most))))

    def an_identity() -> Any:
        return page(text(), kind=pick.choice(("web", "extension", "native")), program=text())

    def a_pairing() -> Any:
        wishes = some(lambda: RequestedScope(scope="upstash:write", meaning=text()), 40)
        return pairing(identity=an_identity(), claimed_name=text(), user_code=text(), reason=text(), scopes=wishes)

    tried = attempt(state=pick.choice(get_args(AttemptState)), detail=text(), reason=text())
    return running(
        pick.choice(get_args(ConnectionState)),
        connection={
            "account": pick.choice((None, msgspec.structs.replace(ADA, email=text()))),
            "attempt": pick.choice((None, tried, msgspec.structs.replace(tried, waiting="no_callback"))),
            "detail": text(),
        },
        daemon=pick.choice(get_args(views.DaemonState)),
        trouble=text(),
        databases=pick.choice((None, some(lambda: database(text(), host=text()), 1_000))),
        databases_trouble=pick.choice(("", text())),
        pairings=some(a_pairing, 20),
        apps=some(lambda: app(text(), identity=an_identity(), last_used_at=text()), 100),
        console_url=pick.choice((None, "https://console.example")),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_a_short_line_that_can_be_seen(seed: int) -> None:
    """
    No entry is empty, too long, on two lines, or has a character that hides or reorders others.
    """
    for path, entry in walk(menu_for(hostile_view(seed))):
        assert entry.text.strip(), path
        assert len(entry.text) <= LONGEST_LINE, path
        assert entry.text.isprintable(), path
        assert "\N{HANGUL FILLER}" not in entry.text, path


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_words_a_choice_or_a_way(seed: int) -> None:
    """
    An entry does something, or leads to a menu with an entry in it, or is words: never two of these.
    """
    for path, entry in walk(menu_for(hostile_view(seed))):
        assert not (entry.action and entry.entries), path
        if entry.entries:
            assert [one for one in entry.entries if not isinstance(one, Separator)], path
            assert not isinstance(entry.entries[0], Separator), path
            assert not isinstance(entry.entries[-1], Separator), path


@pytest.mark.parametrize("seed", SEEDS)
def test_no_menu_grows_without_end(seed: int) -> None:
    """
    However many databases and apps there are, the menu stays one that can be shown.
    """
    menu = menu_for(hostile_view(seed))

    submenus = [menu, *(entry.entries for _, entry in walk(menu))]

    assert max(map(len, submenus)) <= 130


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tooltip_fits_everywhere(seed: int) -> None:
    """
    A tooltip is one line that Windows has room for.
    """
    tooltip = tooltip_for(hostile_view(seed))

    assert len(tooltip.encode("utf-16-le")) <= 2 * 127
    assert tooltip.isprintable()
    assert tooltip.startswith("Upstash helper: ")


def test_nothing_that_the_tray_knows_is_a_secret() -> None:
    """
    What the menu is made of has no type that holds a secret.
    """
    seen: set[type] = set()

    def look(shape: Any) -> None:
        for part in get_args(shape) or (shape,):
            if get_args(part):
                look(part)
            elif isinstance(part, type) and issubclass(part, msgspec.Struct) and part not in seen:
                seen.add(part)
                for field in msgspec.structs.fields(part):
                    look(field.type)

    for held in (type(one) for one in (running().connection, database(), pairing(), app())):
        look(held)
    assert {"Connection", "Account", "Attempt", "Database", "Pairing", "Identity", "App"} <= {
        it.__name__ for it in seen
    }
    assert not [it for it in seen if issubclass(it, Sensitive)]


def test_the_address_of_a_sign_in_is_not_shown() -> None:
    """
    An attempt that was started here knows its address, which is that sign-in's own: no entry and no action has it.
    """
    started = StartedAttempt(
        attempt_id="att-1", state="pending", expires_at="", authorization_url="https://auth.example/?state=made-up"
    )

    menu = menu_for(running("connecting", connection={"attempt": started}))

    assert "made-up" not in repr(menu)


# --- the words --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_seen_is_marked() -> None:
    """
    A name with something hidden in it does not look like the name without.
    """
    assert "fire�fox" == one_line("fire\N{ZERO WIDTH SPACE}fox")
    assert "�" == one_line("\N{RIGHT-TO-LEFT OVERRIDE}" * 1_000)
    assert "a b c" == one_line(" a\n\tb\u2028c ")


def test_a_long_text_is_cut_in_its_middle() -> None:
    """
    Of an address the end tells as much as the beginning.
    """
    shown = short("https://" + "a" * 200 + ".evil.example")

    assert LONGEST_NAME == len(shown)
    assert shown.startswith("https://aaa")
    assert shown.endswith("aa.evil.example")
    assert "…" in shown


def test_marks_do_not_pile_up() -> None:
    """
    No letter climbs into the lines above it.
    """
    marks = [one for one in one_line("Z" + "\N{COMBINING ACUTE ACCENT}" * 50) if unicodedata.combining(one)]

    assert len(marks) <= 2


@pytest.mark.parametrize("mark", ['"', "“", "”", "\N{FULLWIDTH QUOTATION MARK}"])
def test_a_quotation_ends_where_it_ends(mark: str) -> None:
    """
    An app cannot close the quotation that its words stand in, and go on in ours.
    """
    assert "“Example' (verified)”" == quoted(f"Example{mark} (verified)")


def test_lines_say_all_or_tell_that_they_do_not() -> None:
    """
    Words that were cut are known to be.
    """
    fits, too_long = "some words " * 20, "some words " * 90

    assert whole(fits, lines(fits))
    assert not whole(too_long, lines(too_long))
    assert lines(too_long)[-1].endswith("…")


# --- the sign ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "sign", "tooltip"),
    [
        (View(pairings=(pairing(),)), Sign.ABSENT, "not running"),
        (View(daemon="starting"), Sign.CONNECTING, "starting"),
        (running("disconnected"), Sign.DISCONNECTED, "No account is connected"),
        (running("connecting"), Sign.CONNECTING, "Waiting for your sign-in"),
        (running("connecting", connection={"attempt": attempt()}), Sign.CONNECTING, "Waiting for your sign-in"),
        (
            running("connecting", connection={"attempt": attempt(waiting="no_callback")}),
            Sign.ATTENTION,
            "Waiting for your sign-in",
        ),
        (running("connected"), Sign.CONNECTED, "Connected as ada@example.com"),
        (
            running("connected", connection={"attempt": attempt(state="succeeded")}),
            Sign.CONNECTED,
            "Connected as ada@example.com",
        ),
        (
            running("connected", connection={"attempt": attempt()}),
            Sign.CONNECTING,
            "Connected as ada@example.com. Waiting for your sign-in",
        ),
        (running("reconnect_required"), Sign.ATTENTION, "Upstash no longer takes the API key"),
        (
            running("reconnect_required", connection={"attempt": attempt()}),
            Sign.CONNECTING,
            "Upstash no longer takes the API key",
        ),
        (running("needs_email"), Sign.ATTENTION, "One thing is missing"),
        (running("keyring_locked"), Sign.ATTENTION, "The keyring is locked"),
        (running("keyring_unavailable"), Sign.ATTENTION, "There is no keyring"),
        (running("port_conflict"), Sign.ATTENTION, "Another program has the helper's port"),
        (
            running("connected", pairings=(pairing(), pairing())),
            Sign.ATTENTION,
            "2 apps ask to be let in. Connected as ada@example.com",
        ),
    ],
)
def test_the_icon_says_what_matters_most(view: View, sign: Sign, tooltip: str) -> None:
    """
    The icon shows that somebody waits for the user before how the connection is; the tooltip says both.
    """
    assert sign is sign_of(view)
    assert f"Upstash helper: {tooltip}" == tooltip_for(view)
