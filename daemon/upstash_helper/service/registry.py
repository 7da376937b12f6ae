"""Values of the registry's ``Run`` key: which programs Windows starts when the user logs in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.service.plan import RunValue

if sys.platform == "win32":
    from upstash_helper.service.autostart import RunKey

    def is_due(value: RunValue) -> bool:
        """Return whether it has to be written. One that the user switched off in the Task Manager stays off."""
        return _key(value).value() != value.command

    def is_there(value: RunValue) -> bool:
        """Return whether there is one of this name."""
        return _key(value).value() is not None

    def write(value: RunValue) -> None:
        """Write it."""
        _key(value).enable()

    def remove(value: RunValue) -> None:
        """Remove it."""
        _key(value).disable()

    def _key(value: RunValue) -> RunKey:
        return RunKey(value.name, value.command)

else:

    def is_due(value: RunValue) -> bool:  # noqa: ARG001 - only Windows has a registry
        """Return that there is nothing to write."""
        return False

    def is_there(value: RunValue) -> bool:  # noqa: ARG001 - as above
        """Return that there is none."""
        return False

    def write(value: RunValue) -> None:
        """Do nothing."""

    def remove(value: RunValue) -> None:
        """Do nothing."""
