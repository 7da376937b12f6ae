r"""
Windows: the registry key ``HKCU\Software\Microsoft\Windows\CurrentVersion\Run``, which starts programs at login.

``RunKey`` is the tray's autostart entry (an ``Autostart``), which the tray's own menu changes, too. The functions apply
the values of a plan; on other systems they do nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.service.plan import RunValue

if sys.platform == "win32":
    import winreg
    from typing import Final

    _RUN: Final = r"Software\Microsoft\Windows\CurrentVersion\Run"
    # Written by Task Manager's list of startup apps. The lowest bit of the first byte means: disabled.
    _APPROVED: Final = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"

    class RunKey:
        """One value of the ``Run`` key."""

        def __init__(self, name: str, command: str) -> None:
            """
            Args:
                name: The value's name.
                command: The command line to start.
            """
            self._name = name
            self._command = command

        def state(self) -> bool | None:
            """Return whether the value exists and is not disabled in Task Manager."""
            if not self._value(_RUN):
                return False
            approved = self._value(_APPROVED)
            return not (isinstance(approved, bytes) and approved[:1] and approved[0] & 1)

        def enable(self) -> None:
            """Write the value, and enable it in Task Manager."""
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
                winreg.SetValueEx(key, self._name, 0, winreg.REG_SZ, self._command)
            self._delete(_APPROVED)

        def disable(self) -> None:
            """Remove the value."""
            self._delete(_RUN)

        def value(self) -> object:
            """Return the command line in the registry, or None."""
            return self._value(_RUN)

        def _value(self, path: str) -> object:
            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
                    return winreg.QueryValueEx(key, self._name)[0]
            except FileNotFoundError:
                return None

        def _delete(self, path: str) -> None:
            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.DeleteValue(key, self._name)
            except FileNotFoundError:
                return

    def is_outdated(value: RunValue) -> bool:
        """Return whether the value must be written. A value that is disabled in Task Manager stays disabled."""
        return _key(value).value() != value.command

    def exists(value: RunValue) -> bool:
        """Return whether a value with this name exists."""
        return _key(value).value() is not None

    def write(value: RunValue) -> None:
        """Write the value."""
        _key(value).enable()

    def remove(value: RunValue) -> None:
        """Remove the value."""
        _key(value).disable()

    def _key(value: RunValue) -> RunKey:
        return RunKey(value.name, value.command)

else:

    def is_outdated(value: RunValue) -> bool:  # noqa: ARG001 - only Windows has a registry
        """Return False."""
        return False

    def exists(value: RunValue) -> bool:  # noqa: ARG001 - as above
        """Return False."""
        return False

    def write(value: RunValue) -> None:
        """Do nothing."""

    def remove(value: RunValue) -> None:
        """Do nothing."""
