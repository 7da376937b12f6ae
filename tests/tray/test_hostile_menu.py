"""The menu stays readable and trustworthy with hostile names, texts, and amounts of data."""

from __future__ import annotations

import random
import unicodedata
from typing import Any, get_args

import msgspec
import pytest

from tests.tray.states import ADA, app, attempt, database, page, pairing, running
from upstash_helper.protocol.literals import AccountAccess, AttemptState, ConnectionMethod, ConnectionState
from upstash_helper.protocol.wire import Sensitive, StartedAttempt
from upstash_helper.protocol.wire_apps import Identity, IdentityWarning, RequestedScope
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk
from upstash_helper_tray.presentation.status import icon_status, tooltip_for
from upstash_helper_tray.presentation.text import MAX_LINE, MAX_NAME, is_complete, one_line, quoted, shorten, wrapped
from upstash_helper_tray.sync.state import DaemonState, IconStatus, TrayState

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


def hostile_state(seed: int) -> TrayState:
    pick = random.Random(seed)

    def text() -> str:
        return "".join(pick.sample(HOSTILE, pick.randint(1, 3)))

    def some(make: Any, most: int = 4) -> tuple[Any, ...]:
        return tuple(make() for _ in range(pick.choice((0, 1, 2, most))))

    def an_identity() -> Any:
        return page(text(), kind=pick.choice(("web", "extension", "native")), program=text())

    def a_pairing() -> Any:
        scopes = some(lambda: RequestedScope(scope="upstash:write", meaning=text(), strong=True), 40)
        return pairing(identity=an_identity(), claimed_name=text(), user_code=text(), reason=text(), scopes=scopes)

    last = attempt(state=pick.choice(get_args(AttemptState)), detail=text(), reason=text())
    return running(
        pick.choice(get_args(ConnectionState)),
        connection={
            "account": pick.choice(
                (
                    None,
                    msgspec.structs.replace(ADA, email=text(), team_id=pick.choice((None, text())), team_role=text()),
                )
            ),
            "title": text(),
            "method": pick.choice((None, *get_args(ConnectionMethod))),
            "access": pick.choice((None, *get_args(AccountAccess))),
            "attempt": pick.choice((None, last, msgspec.structs.replace(last, waiting="no_callback"))),
            "detail": text(),
        },
        daemon=pick.choice(get_args(DaemonState)),
        error_text=text(),
        databases=pick.choice((None, some(lambda: database(text(), host=text()), 1_000))),
        databases_error=pick.choice(("", text())),
        pairings=some(a_pairing, 20),
        apps=some(lambda: app(text(), identity=an_identity(), last_used_at=text()), 100),
        console_url=pick.choice((None, "https://console.example")),
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_one_short_visible_line(seed: int) -> None:
    """No entry is empty, too long, or on two lines, and none contains characters that hide or reorder others."""
    for path, entry in walk(menu_for(hostile_state(seed))):
        assert entry.text.strip(), path
        assert len(entry.text) <= MAX_LINE, path
        assert entry.text.isprintable(), path
        assert "\N{HANGUL FILLER}" not in entry.text, path


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_a_label_an_item_or_a_submenu(seed: int) -> None:
    """It is never two of these, and a submenu is never empty."""
    for path, entry in walk(menu_for(hostile_state(seed))):
        assert not (entry.action and entry.entries), path
        if entry.entries:
            assert [one for one in entry.entries if not isinstance(one, Separator)], path
            assert not isinstance(entry.entries[0], Separator), path
            assert not isinstance(entry.entries[-1], Separator), path


@pytest.mark.parametrize("seed", SEEDS)
def test_length_of_menus_is_bounded(seed: int) -> None:
    """This holds for any number of databases, apps, requests, and scopes."""
    menu = menu_for(hostile_state(seed))

    submenus = [menu, *(entry.entries for _, entry in walk(menu))]

    assert max(map(len, submenus)) <= 130


@pytest.mark.parametrize("seed", SEEDS)
def test_tooltip_fits_on_windows(seed: int) -> None:
    """It is one line of at most 127 UTF-16 code units."""
    tooltip = tooltip_for(hostile_state(seed))

    assert len(tooltip.encode("utf-16-le")) <= 2 * 127
    assert tooltip.isprintable()
    assert tooltip.startswith("Upstash helper: ")


def test_state_contains_no_secrets() -> None:
    """No type that the menu is built from holds a secret."""
    seen: set[type] = set()

    def collect(annotation: Any) -> None:
        for part in get_args(annotation) or (annotation,):
            if get_args(part):
                collect(part)
            elif isinstance(part, type) and issubclass(part, msgspec.Struct) and part not in seen:
                seen.add(part)
                for field in msgspec.structs.fields(part):
                    collect(field.type)

    for value in (running().connection, database(), pairing(), app()):
        collect(type(value))
    assert {"Connection", "Account", "Attempt", "Database", "Pairing", "Identity", "App"} <= {
        found.__name__ for found in seen
    }
    assert not [found for found in seen if issubclass(found, Sensitive)]


def test_sign_in_address_is_in_no_entry_and_no_action() -> None:
    """An attempt that was started here contains it."""
    started = StartedAttempt(
        attempt_id="att-1", state="pending", expires_at="", authorization_url="https://auth.example/?state=made-up"
    )

    menu = menu_for(running("connecting", connection={"attempt": started}))

    assert "made-up" not in repr(menu)


# --- display text -----------------------------------------------------------------------------------------------------


def test_invisible_characters_are_marked() -> None:
    """A name that contains some does not look like the name without them."""
    assert "fire�fox" == one_line("fire\N{ZERO WIDTH SPACE}fox")
    assert "�" == one_line("\N{RIGHT-TO-LEFT OVERRIDE}" * 1_000)
    assert "a b c" == one_line(" a\n\tb\u2028c ")


def test_t76_end_of_a_domain_is_shown() -> None:
    """The end of a domain is what decides who owns it, so the menu shows it, however long the domain is."""
    domain = "accounts.google.com." + "a-" * 100 + "z.evil.example"

    shown = shorten(f"https://{domain}")
    lines = [
        entry.text for _, entry in walk(menu_for(running(pairings=(pairing(identity=page(f"https://{domain}")),))))
    ]

    assert MAX_NAME >= len(shown)
    assert shown.endswith("-z.evil.example")
    assert any(line.startswith(f"{shown} · ") for line in lines)
    assert any(line.endswith("evil.example") and len(line) <= MAX_LINE for line in lines)
    assert f"Block {shown}" in lines


def test_t64_doubtful_program_is_explained() -> None:
    """Everything that makes a program doubtful is in the menu, and its path is nowhere without that."""
    shown = "/usr/bin/env (process 7, inside a container or sandbox)"
    warning = IdentityWarning(code="sandboxed", text="There, another file can be at this path.")
    identity = Identity(
        kind="native", name="/usr/bin/env", shown=shown, pid=7, warnings=(warning,), others=("/bin/cat (process 8)",)
    )

    lines = [entry.text for _, entry in walk(menu_for(running(pairings=(pairing(identity=identity),))))]

    assert f"Program: {shown}" in " ".join(lines)
    assert "Connection shared with /bin/cat (process 8)" in lines
    assert "Warning: There, another file can be at this path." in lines
    assert all("sandbox" in line for line in lines if "/usr/bin/env" in line and " · " in line)


def test_stacked_combining_marks_are_limited() -> None:
    """Otherwise they would reach into the lines above."""
    marks = [one for one in one_line("Z" + "\N{COMBINING ACUTE ACCENT}" * 50) if unicodedata.combining(one)]

    assert len(marks) <= 2


@pytest.mark.parametrize("mark", ['"', "“", "”", "\N{FULLWIDTH QUOTATION MARK}"])
def test_quoted_text_cannot_close_the_quotation(mark: str) -> None:
    """An app cannot make its own text look like ours."""
    assert "“Example' (verified)”" == quoted(f"Example{mark} (verified)")


def test_elided_text_is_recognized() -> None:
    """Only a text that was wrapped without loss is complete."""
    fits, too_long = "some words " * 20, "some words " * 90

    assert is_complete(fits, wrapped(fits))
    assert not is_complete(too_long, wrapped(too_long))
    assert "…" in wrapped(too_long)
    assert wrapped(too_long)[-1].endswith("some words")


# --- icon and tooltip -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status", "tooltip"),
    [
        (TrayState(pairings=(pairing(),)), IconStatus.ABSENT, "not running"),
        (TrayState(daemon="starting"), IconStatus.CONNECTING, "starting"),
        (running("disconnected"), IconStatus.DISCONNECTED, "No account connected"),
        (running("connecting"), IconStatus.CONNECTING, "Waiting for your sign-in"),
        (running("connecting", connection={"attempt": attempt()}), IconStatus.CONNECTING, "Waiting for your sign-in"),
        (
            running("connecting", connection={"attempt": attempt(waiting="no_callback")}),
            IconStatus.ATTENTION,
            "Waiting for your sign-in",
        ),
        (running("connected"), IconStatus.CONNECTED, "Connected as ada@example.com"),
        (
            running("connected", connection={"attempt": attempt(state="succeeded")}),
            IconStatus.CONNECTED,
            "Connected as ada@example.com",
        ),
        (
            running("connected", connection={"attempt": attempt()}),
            IconStatus.CONNECTING,
            "Connected as ada@example.com. Waiting for your sign-in",
        ),
        (running("reconnect_required"), IconStatus.ATTENTION, "Upstash no longer accepts the API key"),
        (
            running("reconnect_required", connection={"attempt": attempt()}),
            IconStatus.CONNECTING,
            "Upstash no longer accepts the API key",
        ),
        (running("needs_email"), IconStatus.ATTENTION, "Email address missing"),
        (running("keyring_locked"), IconStatus.ATTENTION, "The keyring is locked"),
        (running("keyring_unavailable"), IconStatus.ATTENTION, "The keyring cannot be used"),
        (running("port_conflict"), IconStatus.ATTENTION, "Another program uses the callback port"),
        (
            running("connected", pairings=(pairing(), pairing())),
            IconStatus.ATTENTION,
            "2 apps request access. Connected as ada@example.com",
        ),
    ],
)
def test_icon_and_tooltip_for_each_state(state: TrayState, status: IconStatus, tooltip: str) -> None:
    """An access request takes precedence over the connection in the icon. The tooltip shows both."""
    assert status is icon_status(state)
    assert f"Upstash helper: {tooltip}" == tooltip_for(state)
