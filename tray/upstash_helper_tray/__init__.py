"""
The tray icon: a process of its own and a client of the loopback API.

``follow`` keeps a ``View`` up to date, ``menu_for`` and ``sign_of`` make of it what is shown, a ``Screen`` shows it,
and what the user chooses comes back as an ``Action``. Only ``backends`` knows how an icon gets on a panel.
"""
