"""
The tray icon: a separate process, and a client of the loopback API like any app.

Data flows one way. ``sync`` follows the daemon and keeps a ``TrayState``; ``presentation`` and ``menu`` are pure
functions that turn it into an icon, a tooltip, a menu, and notifications; a ``Screen`` in ``backends`` shows them. What
the user chooses comes back as an ``Action``, which ``dispatch`` carries out. ``runtime`` starts and stops all of it.
"""
