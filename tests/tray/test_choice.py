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
    xembed_tray: bool = False
    gtk: bool = False
    appindicator: bool = False
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


def test_legacy_panel_requires_pygobject() -> None:
    """The advice names the packages, and the backend that works without them."""
    with pytest.raises(TrayUnavailable, match="PyGObject") as refused:
        choose("linux", FixedEnvironment(xembed_tray=True))

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
