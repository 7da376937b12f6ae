"""Choosing a backend, and the advice if there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest

from upstash_helper_tray.backends.choice import choose
from upstash_helper_tray.backends.screen import Backend, TrayUnavailable

LINUX = ("statusnotifier", "appindicator", "gtk", "xorg")


@dataclass(frozen=True, kw_only=True)
class FixedEnvironment:
    """An environment; by default a desktop session without a panel."""

    session_bus: bool = True
    display: bool = True
    sni_host: bool = False
    sni_watcher: bool = False
    xembed_tray: bool = False
    gtk: bool = False
    appindicator: bool = False
    menu_bar: bool = True
    desktop: str = ""


EVERYTHING = FixedEnvironment(sni_host=True, xembed_tray=True, gtk=True, appindicator=True)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("win32", FixedEnvironment(session_bus=False, display=False), "win32"),
        ("darwin", FixedEnvironment(session_bus=False, display=False), "darwin"),
        ("linux", FixedEnvironment(sni_host=True), "statusnotifier"),
        ("linux", FixedEnvironment(sni_host=True, display=False), "statusnotifier"),
        ("linux", EVERYTHING, "statusnotifier"),
        ("freebsd14", FixedEnvironment(sni_host=True), "statusnotifier"),
        ("linux", FixedEnvironment(xembed_tray=True, gtk=True), "gtk"),
        ("linux", FixedEnvironment(xembed_tray=True, gtk=True, session_bus=False), "gtk"),
    ],
)
def test_preferred_backend_is_chosen(platform: str, environment: FixedEnvironment, expected: str) -> None:
    """Our own backend is preferred to PyGObject's, which are for legacy panels only."""
    assert expected == choose(platform, environment)


@pytest.mark.parametrize("requested", ["auto", "darwin"])
def test_menu_bar_requires_a_desktop_session(requested: str) -> None:
    """Over SSH, AppKit would end the process. The advice names the commands to use without an icon."""
    with pytest.raises(TrayUnavailable, match="no menu bar") as refused:
        choose("darwin", FixedEnvironment(menu_bar=False), requested)

    assert "not over SSH" in refused.value.advice
    assert "upstash-helper approvals" in refused.value.advice


def test_legacy_panel_requires_pygobject() -> None:
    """The advice names the packages, and the backend that works without them."""
    with pytest.raises(TrayUnavailable, match="PyGObject") as refused:
        choose("linux", FixedEnvironment(xembed_tray=True))

    assert "python3-gi" in refused.value.advice
    assert "--backend xorg" in refused.value.advice


@pytest.mark.parametrize(
    ("desktop", "named"), [("x-cinnamon", "xapp-sn-watcher"), ("lxqt", "Status Notifier"), ("i3", "PyGObject")]
)
def test_what_the_desktop_lacks_is_named_before_pygobject(desktop: str, named: str) -> None:
    """Its panel shows legacy icons as well, but the icon without a menu is only a makeshift."""
    with pytest.raises(TrayUnavailable) as refused:
        choose("linux", FixedEnvironment(xembed_tray=True, desktop=desktop))

    first, _, _ = refused.value.advice.partition(".")
    assert named in first
    assert "--backend xorg" in refused.value.advice


@pytest.mark.parametrize("legacy", [True, False])
def test_missing_watcher_of_cinnamon_is_named(*, legacy: bool) -> None:
    """The advice says what it is, that it is not running, and where to get it."""
    with pytest.raises(TrayUnavailable) as refused:
        choose("linux", FixedEnvironment(desktop="x-cinnamon", xembed_tray=legacy))

    for part in ("xapp-sn-watcher", "org.kde.StatusNotifierWatcher", "not running", "the package", "XApp Status"):
        assert part in refused.value.advice


def test_watcher_of_cinnamon_that_runs_is_not_named() -> None:
    """Only the applet is missing."""
    with pytest.raises(TrayUnavailable) as refused:
        choose("linux", FixedEnvironment(desktop="x-cinnamon", sni_watcher=True))

    assert "xapp-sn-watcher" not in refused.value.advice
    assert "XApp Status" in refused.value.advice


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
def test_advice_without_a_panel_is_for_the_desktop(desktop: str, named: str) -> None:
    """It also names the commands to use without an icon."""
    with pytest.raises(TrayUnavailable) as refused:
        choose("linux", FixedEnvironment(desktop=desktop))

    assert "No panel here shows tray icons." == str(refused.value)
    assert named in refused.value.advice
    assert "upstash-helper open" in refused.value.advice


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (FixedEnvironment(session_bus=False, display=False), "no desktop to show"),
        (FixedEnvironment(session_bus=False), "no session bus"),
    ],
)
def test_missing_desktop_session_is_reported(environment: FixedEnvironment, message: str) -> None:
    """This is the case for root over SSH, and for a system service."""
    with pytest.raises(TrayUnavailable, match=message):
        choose("linux", environment)


@pytest.mark.parametrize("requested", LINUX)
def test_requested_backend_is_chosen(requested: str) -> None:
    """It overrides the order of preference."""
    assert requested == choose("linux", EVERYTHING, requested)


@pytest.mark.parametrize(
    ("requested", "environment", "message"),
    [
        ("statusnotifier", FixedEnvironment(xembed_tray=True, gtk=True), "No panel"),
        ("statusnotifier", FixedEnvironment(session_bus=False), "no session bus"),
        ("gtk", FixedEnvironment(xembed_tray=True), "GTK 3 is missing"),
        ("gtk", FixedEnvironment(gtk=True, display=False, sni_host=True), "no X11 display"),
        ("gtk", FixedEnvironment(gtk=True, sni_host=True), "No panel"),
        ("appindicator", FixedEnvironment(sni_host=True, gtk=True), "AppIndicator library is missing"),
        ("appindicator", FixedEnvironment(gtk=True, appindicator=True), "No panel"),
        ("xorg", FixedEnvironment(display=False, sni_host=True), "no X11 display"),
        ("xorg", FixedEnvironment(sni_host=True), "No panel"),
    ],
)
def test_requested_backend_that_cannot_work_is_refused(
    requested: str, environment: FixedEnvironment, message: str
) -> None:
    """There would be an icon that nobody sees."""
    with pytest.raises(TrayUnavailable, match=message) as refused:
        choose("linux", environment, requested)

    assert refused.value.advice


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_backend_of_another_system_is_refused(platform: str) -> None:
    """The message names the system that it is for."""
    own = {platform} & set(get_args(Backend)) or set(LINUX)

    for requested in set(get_args(Backend)) - own:
        with pytest.raises(TrayUnavailable, match=f"The backend {requested} is for "):
            choose(platform, EVERYTHING, requested)


def test_unknown_backend_is_refused() -> None:
    """The advice lists the valid names."""
    with pytest.raises(TrayUnavailable, match="Unknown backend 'qt'") as refused:
        choose("linux", EVERYTHING, "qt")

    assert all(name in refused.value.advice for name in ("auto", *get_args(Backend)))
