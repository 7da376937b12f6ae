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
    "x-cinnamon": "Add the System Tray applet and the XApp Status applet to a panel.",
    "lxqt": "Add the Status Notifier plugin to the panel.",
    "budgie": "Add the System Tray applet to a panel.",
    "pantheon": "Pantheon shows tray icons with the package wingpanel-indicator-ayatana.",
    "sway": "Run a bar with a tray, such as Waybar with its tray module.",
    "hyprland": "Run a bar with a tray, such as Waybar with its tray module.",
    "i3": f"i3bar supports legacy (XEmbed) tray icons only. {_INSTALL_GTK}",
}
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
    def xembed_tray(self) -> bool:
        """Whether a panel shows legacy tray icons, which are X11 windows (XEmbed)."""

    @property
    def gtk(self) -> bool:
        """Whether PyGObject and GTK 3 are installed."""

    @property
    def appindicator(self) -> bool:
        """Whether PyGObject, GTK 3, and an AppIndicator library are installed."""

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
        return "darwin"
    if environment.session_bus and environment.sni_host:
        return "statusnotifier"
    if environment.display and environment.xembed_tray:
        if environment.gtk:
            return "gtk"
        message = "This panel supports legacy (XEmbed) tray icons only, which require PyGObject."
        raise TrayUnavailable(message, advice=f"{_INSTALL_GTK} Or, for an icon without a menu: --backend xorg")
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
    if backend not in _LINUX_BACKENDS:
        return
    missing = _missing(environment, backend)
    if missing is not None:
        message, advice = missing
        raise TrayUnavailable(f"The backend {backend} cannot be used: {message}", advice=advice)
    if not _has_panel(environment, backend):
        raise _no_panel(environment)


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
    names = environment.desktop.split(":")
    advice = next((_PANEL_ADVICE[name] for name in names if name in _PANEL_ADVICE), _ANY_PANEL_ADVICE)
    return TrayUnavailable("No panel here shows tray icons.", advice=f"{advice} {_WITHOUT_ICON}")
