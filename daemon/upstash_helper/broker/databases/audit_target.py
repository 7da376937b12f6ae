"""
What the audit log shows about a change of a database: its ID, its name, and what is changed.

The ID comes first, so that a database can be found by it. The name follows, since it is all that a user remembers of a
database that no longer exists. Apps choose names, so these are cleaned and quoted. The audit shortens long texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker import models
from upstash_helper.broker.apps.display_text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.broker.models import Change, Database, NewDatabase

_MAX_NAME: Final = 64
"""As long as the names that the API accepts. Longer ones come from elsewhere, and are cut in the middle."""


def to_create(new: NewDatabase) -> str:
    """Return what an app wants to create, before it has an ID."""
    plan = () if new.plan is None else (f"plan {new.plan}",)
    return _created(new.name, new.primary_region, new.read_regions, plan)


def created(database: Database) -> str:
    """Return what was created."""
    plan = (f"plan {_cleaned(database.plan)}",) if database.plan else ()
    return f"{database.id} {_created(database.name, database.primary_region, database.read_regions, plan)}"


def named(database_id: str, name: str) -> str:
    """Return something with an ID and a name, such as a database that was deleted."""
    return f"{database_id} {quoted(name)}"


def changed(database_id: str, changes: Iterable[Change], *, name: str | None = None) -> str:
    """
    Return what is changed.

    Args:
        database_id: The database.
        changes: The changes.
        name: The database's name before them, if it is known.
    """
    what = ", ".join(_described(one) for one in changes)
    return f"{database_id} {what}" if name is None else f"{named(database_id, name)}: {what}"


def quoted(name: str) -> str:
    """Return a name that someone has chosen, such that it cannot pass for the text around it."""
    return f'"{_cleaned(name)}"'


def _cleaned(text: str) -> str:
    return clean(text, _MAX_NAME).replace('"', "'")


def _created(name: str, region: str, read_regions: tuple[str, ...], plan: tuple[str, ...]) -> str:
    also = (_read_from(read_regions),) if read_regions else ()
    return ", ".join((f"{quoted(name)} in {_cleaned(region)}", *plan, *also))


def _read_from(regions: tuple[str, ...]) -> str:
    return f"read regions: {' '.join(map(_cleaned, regions)) or 'none'}"


def _described(change: Change) -> str:  # noqa: PLR0911 - one for each kind of change
    match change:
        case models.Rename(name):
            return f"renamed to {quoted(name)}"
        case models.SetEviction(enabled):
            return f"eviction {_on_or_off(enabled)}"
        case models.SetAutoUpgrade(enabled):
            return f"automatic upgrades {_on_or_off(enabled)}"
        case models.SetDailyBackup(enabled):
            return f"daily backups {_on_or_off(enabled)}"
        case models.SetReadRegions(regions):
            return _read_from(regions)
        case models.SetPlan(plan):
            return f"plan {plan}"
        case models.SetBudget(budget):
            return f"budget {budget} USD a month"
        case models.EnableTls():
            return "TLS required"
        case models.ResetPassword():
            return "password reset"


def _on_or_off(value: bool) -> str:  # noqa: FBT001 - the value is all there is
    return "on" if value else "off"
