"""Choosing a backend: a pure function of the environment and of what the user requested."""

from __future__ import annotations

from typing import Final, Protocol, get_args

from upstash_helper_tray.backends.screen import Backend, TrayUnavailable

AUTO: Final = "auto"
_LINUX_BACKENDS: Final = frozenset({"statusnotifier", "appindicator", "gtk", "xorg"})
_SYSTEM_NAMES: Final = {"win32": "Windows", "darwin": "macOS"}

_WITHOUT_ICON: Final = "Without an icon, use `upstash-helper open` and `upstash-helper approvals`."
_INSTALL_GTK: Final = (
    "Install PyGObject with GTK 3 for the Python that upstash-helper runs with (Debian, Ubuntu: python3-gi and "
    "gir1.2-gtk-3.0)."
)
_INSTALL_APPINDICATOR: Final = (
    "Install PyGObject and the AppIndicator library for the Python that upstash-helper runs with (Debian, Ubuntu: "
    "python3-gi and gir1.2-ayatanaappindicator3-0.1)."
)

# Keyed by the names in XDG_CURRENT_DESKTOP. The first known one counts: "ubuntu:GNOME" is GNOME, but "Budgie:GNOME" is
# Budgie.
_PANEL_ADVICE: Final = {
    "gnome": (
        "GNOME shows tray icons with its AppIndicator extension: install gnome-shell-extension-appindicator (Debian, "
        "Ubuntu, Fedora) or get it at extensions.gnome.org, log in again, and enable it in Extensions."
    ),
    "kde": "Add the System Tray widget to a panel.",
    "xfce": "Add the Status Tray Plugin to a panel.",
    "mate": "Add the Notification Area to a panel.",
    "x-cinnamon": "Add the XApp Status applet to a panel.",
    "lxqt": "Add the Status Notifier plugin to the panel.",
    "budgie": "Add the System Tray applet to a panel.",
    "pantheon": "Pantheon shows tray icons with the package wingpanel-indicator-ayatana.",
    "sway": "Run a bar with a tray, such as Waybar with its tray module.",
    "hyprland": "Run a bar with a tray, such as Waybar with its tray module.",
    "i3": f"i3bar supports legacy (XEmbed) tray icons only. {_INSTALL_GTK}",
}
# Desktops whose panel gets the icons from a separate program, and shows none without it.
_WATCHER_ADVICE: Final = {
    "x-cinnamon": (
        "Cinnamon gets tray icons from the program xapp-sn-watcher (org.kde.StatusNotifierWatcher), which is not "
        "running. Install it (Debian, Ubuntu: the package xapp-sn-watcher; elsewhere it is in xapp or xapps), log in "
        "again, and add the XApp Status applet to a panel."
    ),
}
_LEGACY_DESKTOPS: Final = frozenset({"i3"})
"""Desktops whose own panel shows legacy icons only."""
_ANY_PANEL_ADVICE: Final = "Start a panel that shows StatusNotifierItem tray icons."


class Environment(Protocol):
    """What the machine and the desktop session offer. Each property is determined on first access."""

    @property
    def session_bus(self) -> bool:
        """Whether there is a session bus."""

    @property
    def display(self) -> bool:
        """Whether there is an X11 display."""

    @property
    def sni_host(self) -> bool:
        """Whether a panel shows StatusNotifierItems."""

    @property
    def sni_watcher(self) -> bool:
        """Whether a program keeps the list of StatusNotifierItems, even if no panel shows them."""

    @property
    def xembed_tray(self) -> bool:
        """Whether a panel shows legacy tray icons, which are X11 windows (XEmbed)."""

    @property
    def gtk(self) -> bool:
        """Whether PyGObject and GTK 3 are installed."""

    @property
    def appindicator(self) -> bool:
        """Whether PyGObject, GTK 3, and an AppIndicator library are installed."""

    @property
    def menu_bar(self) -> bool:
        """macOS: whether this process runs in a desktop session."""

    @property
    def desktop(self) -> str:
        """The names in ``XDG_CURRENT_DESKTOP``, in lower case."""


def choose(platform: str, environment: Environment, requested: str = AUTO) -> Backend:
    """
    Return the backend that can show an icon here.

    If a panel shows StatusNotifierItems, our own backend is preferred even if PyGObject is installed: it supports a
    tooltip and a click, which pystray's AppIndicator backend does not, and takes half the memory.

    Args:
        platform: Like ``sys.platform``.
        environment: What is available.
        requested: ``auto``, or the name of a backend.

    Raises:
        TrayUnavailable: If none can, or the requested one cannot.
    """
    if requested != AUTO:
        return _requested(platform, environment, requested)
    if platform == "win32":
        return "win32"
    if platform == "darwin":
        return _menu_bar(environment)
    if environment.session_bus and environment.sni_host:
        return "statusnotifier"
    if environment.display and environment.xembed_tray:
        if environment.gtk:
            return "gtk"
        raise _legacy_panel(environment)
    raise _no_panel(environment)


def _requested(platform: str, environment: Environment, requested: str) -> Backend:
    for backend in get_args(Backend):
        if backend == requested:
            _require(platform, environment, backend)
            return backend  # type: ignore[no-any-return]
    message = f"Unknown backend {requested!r}."
    raise TrayUnavailable(message, advice=f"Choose one of {', '.join((AUTO, *get_args(Backend)))}.")


def _require(platform: str, environment: Environment, backend: Backend) -> None:
    """Raise ``TrayUnavailable`` unless ``backend`` can show an icon here."""
    system = _SYSTEM_NAMES.get(backend, "Linux")
    if _SYSTEM_NAMES.get(platform, "Linux") != system:
        message = f"The backend {backend} is for {system}."
        raise TrayUnavailable(message, advice="Omit --backend to choose the right one automatically.")
    if backend == "darwin":
        _menu_bar(environment)
    if backend not in _LINUX_BACKENDS:
        return
    missing = _missing(environment, backend)
    if missing is not None:
        message, advice = missing
        raise TrayUnavailable(f"The backend {backend} cannot be used: {message}", advice=advice)
    if not _has_panel(environment, backend):
        raise _no_panel(environment)


def _menu_bar(environment: Environment) -> Backend:
    """Return the backend of macOS. Outside a desktop session, AppKit would end the process."""
    if environment.menu_bar:
        return "darwin"
    raise TrayUnavailable(
        "There is no menu bar to show an icon in.",
        advice=f"Run it in your desktop session on this Mac, not over SSH. {_WITHOUT_ICON}",
    )


def _missing(environment: Environment, backend: Backend) -> tuple[str, str] | None:
    """Return what a Linux backend lacks, and the advice; None if nothing."""
    match backend:
        case "appindicator" if not environment.appindicator:
            return "PyGObject or the AppIndicator library is missing.", _INSTALL_APPINDICATOR
        case "gtk" if not environment.gtk:
            return "PyGObject or GTK 3 is missing.", _INSTALL_GTK
        case "appindicator" | "gtk" | "xorg" if not environment.display:
            return "there is no X11 display.", "Set DISPLAY, or omit --backend."
        case _:
            return None


def _has_panel(environment: Environment, backend: Backend) -> bool:
    match backend:
        case "statusnotifier":
            return environment.session_bus and environment.sni_host
        case "appindicator":
            return (environment.session_bus and environment.sni_host) or environment.xembed_tray
        case _:
            return environment.xembed_tray


def _no_panel(environment: Environment) -> TrayUnavailable:
    if not environment.session_bus and not environment.display:
        return TrayUnavailable(
            "There is no desktop to show an icon on: neither a session bus nor a display was found.",
            advice=f"Run it inside your desktop session, not over SSH or as a system service. {_WITHOUT_ICON}",
        )
    if not environment.session_bus:
        return TrayUnavailable(
            "There is no session bus (D-Bus), which panels need to show tray icons.",
            advice=f"Run it inside your desktop session, or set DBUS_SESSION_BUS_ADDRESS. {_WITHOUT_ICON}",
        )
    advice = _desktop_advice(environment) or _ANY_PANEL_ADVICE
    return TrayUnavailable("No panel here shows tray icons.", advice=f"{advice} {_WITHOUT_ICON}")


def _legacy_panel(environment: Environment) -> TrayUnavailable:
    advice = f"{_INSTALL_GTK} Or, for an icon without a menu: --backend xorg"
    if _LEGACY_DESKTOPS.isdisjoint(_names(environment)):
        # On a desktop that can do better, PyGObject is not what is missing.
        advice = " Or: ".join(filter(None, (_desktop_advice(environment), advice)))
    message = "The running panel supports only legacy (XEmbed) tray icons, which require PyGObject."
    return TrayUnavailable(message, advice=advice)


def _desktop_advice(environment: Environment) -> str:
    """Return how to get tray icons on this desktop; empty if it is not a known one."""
    name = next((name for name in _names(environment) if name in _PANEL_ADVICE), "")
    if name in _WATCHER_ADVICE and not environment.sni_watcher:
        return _WATCHER_ADVICE[name]
    return _PANEL_ADVICE.get(name, "")


def _names(environment: Environment) -> list[str]:
    return environment.desktop.split(":")
