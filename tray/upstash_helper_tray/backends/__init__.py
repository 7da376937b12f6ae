"""
How an icon gets onto a panel: the only package that knows pystray, D-Bus, and X11.

``factory.open_screen`` chooses a backend. Nothing that draws or connects is imported before it is called.
"""
