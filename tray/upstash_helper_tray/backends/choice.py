"""Which backend: a pure function of what is here and what the user wants."""

from __future__ import annotations

from typing import Final, Protocol, get_args

from upstash_helper_tray.screen import Backend, NoTray

AUTO: Final = "auto"
_FREEDESKTOP: Final = frozenset({"statusnotifier", "appindicator", "gtk", "xorg"})
_SYSTEM_OF: Final = {"win32": "Windows", "darwin": "macOS"}

_WITHOUT_ICON: Final = "Without an icon, `upstash-helper open` and `upstash-helper approvals` do the same."
_GTK: Final = (
    "Install PyGObject with GTK 3 for the Python that upstash-helper runs with (Debian, Ubuntu: python3-gi and "
    "gir1.2-gtk-3.0)."
)
_APPINDICATOR: Final = (
    "Install PyGObject and the AppIndicator library for the Python that upstash-helper runs with (Debian, Ubuntu: "
    "python3-gi and gir1.2-ayatanaappindicator3-0.1)."
)

# By the names of XDG_CURRENT_DESKTOP, of which the first that is known counts: "ubuntu:GNOME" is a GNOME,
# "Budgie:GNOME" is none.
_ADVICE: Final = {
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
    "sway": "Run a bar with a tray, such as Waybar with its module tray.",
    "hyprland": "Run a bar with a tray, such as Waybar with its module tray.",
    "i3": f"i3bar shows icons of the old kind alone. {_GTK}",
}
_ANY_PANEL: Final = "Start a panel with a tray for StatusNotifierItem icons."


class Facts(Protocol):
    """What is here. Each is found out when it is asked for."""

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
        """Whether a panel shows icons of the old kind, which are X11 windows."""

    @property
    def gtk(self) -> bool:
        """Whether PyGObject and GTK 3 are here."""

    @property
    def appindicator(self) -> bool:
        """Whether PyGObject, GTK 3 and an AppIndicator library are here."""

    @property
    def desktop(self) -> str:
        """The names in ``XDG_CURRENT_DESKTOP``, in lower case."""


def choose(platform: str, facts: Facts, wanted: str = AUTO) -> Backend:
    """
    Return the backend that shows an icon here.

    Where a panel takes StatusNotifierItems, our own comes first even if PyGObject is there: it has a tooltip and a
    click, which pystray's for AppIndicator has not, and costs half the memory.

    Args:
        platform: As ``sys.platform``.
        facts: What is here.
        wanted: ``auto``, or a backend's name.

    Raises:
        NoTray: If none can, or the one that is wanted cannot.
    """
    if wanted != AUTO:
        return _wanted(platform, facts, wanted)
    if platform == "win32":
        return "win32"
    if platform == "darwin":
        return "darwin"
    if facts.session_bus and facts.sni_host:
        return "statusnotifier"
    if facts.display and facts.xembed_tray:
        if facts.gtk:
            return "gtk"
        message = "The panel here shows tray icons of the old kind alone, and those take PyGObject."
        raise NoTray(message, advice=f"{_GTK} Or, for an icon without a menu: --backend xorg")
    raise _no_panel(facts)


def _wanted(platform: str, facts: Facts, wanted: str) -> Backend:
    for backend in get_args(Backend):
        if backend == wanted:
            _see_to(platform, facts, backend)
            return backend  # type: ignore[no-any-return]
    message = f"There is no backend {wanted!r}."
    raise NoTray(message, advice=f"Choose one of {', '.join((AUTO, *get_args(Backend)))}.")


def _see_to(platform: str, facts: Facts, backend: Backend) -> None:
    """See to it that ``backend`` can show something."""
    of = _SYSTEM_OF.get(backend, "Linux")
    if _SYSTEM_OF.get(platform, "Linux") != of:
        message = f"The backend {backend} is for {of}."
        raise NoTray(message, advice="Leave --backend out: the right one is found.")
    if backend not in _FREEDESKTOP:
        return
    lacks = _lacks(facts, backend)
    if lacks is not None:
        message, advice = lacks
        raise NoTray(f"The backend {backend} cannot be used: {message}", advice=advice)
    if not _has_panel(facts, backend):
        raise _no_panel(facts)


def _lacks(facts: Facts, backend: Backend) -> tuple[str, str] | None:
    match backend:
        case "appindicator" if not facts.appindicator:
            return "PyGObject or the AppIndicator library is missing.", _APPINDICATOR
        case "gtk" if not facts.gtk:
            return "PyGObject or GTK 3 is missing.", _GTK
        case "appindicator" | "gtk" | "xorg" if not facts.display:
            return "there is no X11 display.", "Set DISPLAY, or leave --backend out."
        case _:
            return None


def _has_panel(facts: Facts, backend: Backend) -> bool:
    match backend:
        case "statusnotifier":
            return facts.session_bus and facts.sni_host
        case "appindicator":
            return (facts.session_bus and facts.sni_host) or facts.xembed_tray
        case _:
            return facts.xembed_tray


def _no_panel(facts: Facts) -> NoTray:
    if not facts.session_bus and not facts.display:
        return NoTray(
            "There is no desktop here to show an icon on: neither a session bus nor a display.",
            advice=f"Start it inside your desktop session, not over SSH or as a system service. {_WITHOUT_ICON}",
        )
    if not facts.session_bus:
        return NoTray(
            "There is no session bus (D-Bus), over which panels show tray icons.",
            advice=f"Start it inside your desktop session, or set DBUS_SESSION_BUS_ADDRESS. {_WITHOUT_ICON}",
        )
    advice = next((_ADVICE[name] for name in facts.desktop.split(":") if name in _ADVICE), _ANY_PANEL)
    return NoTray("No panel here shows tray icons.", advice=f"{advice} {_WITHOUT_ICON}")
