"""Which backend is chosen, and what is said where none can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest

from upstash_helper_tray.backends.choice import choose
from upstash_helper_tray.backends.screen import Backend, TrayUnavailable

LINUX = ("statusnotifier", "appindicator", "gtk", "xorg")


@dataclass(frozen=True, kw_only=True)
class Here:
    """What is here; by default nothing but a desktop session."""

    session_bus: bool = True
    display: bool = True
    sni_host: bool = False
    xembed_tray: bool = False
    gtk: bool = False
    appindicator: bool = False
    desktop: str = ""


EVERYTHING = Here(sni_host=True, xembed_tray=True, gtk=True, appindicator=True)


@pytest.mark.parametrize(
    ("platform", "here", "expected"),
    [
        ("win32", Here(session_bus=False, display=False), "win32"),
        ("darwin", Here(session_bus=False, display=False), "darwin"),
        ("linux", Here(sni_host=True), "statusnotifier"),
        ("linux", Here(sni_host=True, display=False), "statusnotifier"),
        ("linux", EVERYTHING, "statusnotifier"),
        ("freebsd14", Here(sni_host=True), "statusnotifier"),
        ("linux", Here(xembed_tray=True, gtk=True), "gtk"),
        ("linux", Here(xembed_tray=True, gtk=True, session_bus=False), "gtk"),
    ],
)
def test_the_first_that_can_show_an_icon_is_taken(platform: str, here: Here, expected: str) -> None:
    """Ours before PyGObject's, and PyGObject's only for panels of the old kind."""
    assert expected == choose(platform, here)


def test_a_panel_of_the_old_kind_needs_pygobject() -> None:
    """What can be installed is named, and what does without."""
    with pytest.raises(TrayUnavailable, match="PyGObject") as refused:
        choose("linux", Here(xembed_tray=True))

    assert "python3-gi" in refused.value.advice
    assert "--backend xorg" in refused.value.advice


@pytest.mark.parametrize(
    ("desktop", "named"),
    [
        ("gnome", "gnome-shell-extension-appindicator"),
        ("ubuntu:gnome", "gnome-shell-extension-appindicator"),
        ("kde", "System Tray"),
        ("xfce", "Status Tray Plugin"),
        ("mate", "Notification Area"),
        ("x-cinnamon", "XApp Status"),
        ("lxqt", "Status Notifier"),
        ("budgie:gnome", "System Tray applet"),
        ("pantheon", "wingpanel-indicator-ayatana"),
        ("sway", "Waybar"),
        ("hyprland", "Waybar"),
        ("i3", "PyGObject"),
        ("", "StatusNotifierItem"),
        ("one:nobody:knows", "StatusNotifierItem"),
    ],
)
def test_without_a_panel_the_desktop_s_own_way_is_named(desktop: str, named: str) -> None:
    """The advice is for this desktop, and says what does the same without an icon."""
    with pytest.raises(TrayUnavailable) as refused:
        choose("linux", Here(desktop=desktop))

    assert "No panel here shows tray icons." == str(refused.value)
    assert named in refused.value.advice
    assert "upstash-helper open" in refused.value.advice


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (Here(session_bus=False, display=False), "no desktop here"),
        (Here(session_bus=False), "no session bus"),
    ],
)
def test_without_a_desktop_session_that_is_said(here: Here, said: str) -> None:
    """As for root over SSH, and for a system service."""
    with pytest.raises(TrayUnavailable, match=said):
        choose("linux", here)


@pytest.mark.parametrize("wanted", LINUX)
def test_what_is_wanted_is_taken_where_it_can_work(wanted: str) -> None:
    """It overrides the order."""
    assert wanted == choose("linux", EVERYTHING, wanted)


@pytest.mark.parametrize(
    ("wanted", "here", "said"),
    [
        ("statusnotifier", Here(xembed_tray=True, gtk=True), "No panel"),
        ("statusnotifier", Here(session_bus=False), "no session bus"),
        ("gtk", Here(xembed_tray=True), "GTK 3 is missing"),
        ("gtk", Here(gtk=True, display=False, sni_host=True), "no X11 display"),
        ("gtk", Here(gtk=True, sni_host=True), "No panel"),
        ("appindicator", Here(sni_host=True, gtk=True), "AppIndicator library is missing"),
        ("appindicator", Here(gtk=True, appindicator=True), "No panel"),
        ("xorg", Here(display=False, sni_host=True), "no X11 display"),
        ("xorg", Here(sni_host=True), "No panel"),
    ],
)
def test_what_is_wanted_is_refused_where_it_cannot_work(wanted: str, here: Here, said: str) -> None:
    """In one sentence, instead of an icon that nobody sees."""
    with pytest.raises(TrayUnavailable, match=said) as refused:
        choose("linux", here, wanted)

    assert refused.value.advice


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_another_system_s_backend_is_refused(platform: str) -> None:
    """The sentence names the system that it is for."""
    own = {platform} & set(get_args(Backend)) or set(LINUX)

    for wanted in set(get_args(Backend)) - own:
        with pytest.raises(TrayUnavailable, match=f"The backend {wanted} is for "):
            choose(platform, EVERYTHING, wanted)


def test_an_unknown_backend_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(TrayUnavailable, match="no backend 'qt'") as refused:
        choose("linux", EVERYTHING, "qt")

    assert all(name in refused.value.advice for name in ("auto", *get_args(Backend)))
