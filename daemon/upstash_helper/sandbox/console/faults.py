"""The console's page for faults, which make requests fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from upstash_helper.sandbox.console.elements import Form, choice, counted, entry, field, items, section, submit
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.console.page import Action, Fields, Page, only, read
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.faults import ActiveFault, Fault

if TYPE_CHECKING:
    from aiohttp import web

KINDS = (
    ("status", "Respond with the status"),
    ("delay", "Delay the response"),
    ("reset", "Reset the connection"),
    ("truncate", "Truncate the body"),
    ("slow", "Send the body slowly"),
)
LISTENERS = (("api", "api"), ("issuer", "issuer"), ("rest", "rest"))
MAX_NUMBER = 10**9
WHEN = (("before", "Before the operation"), ("after", "After the operation"))


class FaultsPage(Page):
    """The faults."""

    PATH = "faults"
    NAVIGATION = "faults"

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Faults"

    def content(self, _request: web.Request, form: Form) -> list[Html]:
        """Return the faults, and the form for a new one."""
        faults = self._admin.faults.active()
        return [
            items([_entry(fault, form) for fault in faults], empty="There are no faults."),
            tag("div", form.button("Remove all", "clear"), class_="row") if faults else Html(),
            section(
                "New fault",
                form(
                    tag("div", (tag("div", one) for one in _fields()), class_="fields"),
                    submit("Add fault"),
                    intent="add",
                ),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {"add": self._add, "switch": self._switch, "remove": self._remove, "clear": self._clear}

    async def _add(self, _request: web.Request, fields: Fields) -> None:
        self._admin.faults.add(_fault(fields))

    async def _switch(self, _request: web.Request, fields: Fields) -> None:
        self._admin.faults.set_enabled(_id(fields), enabled=fields.get("enabled") == "1")

    async def _remove(self, _request: web.Request, fields: Fields) -> None:
        self._admin.faults.remove(_id(fields))

    async def _clear(self, _request: web.Request, _fields: Fields) -> None:
        self._admin.faults.clear()


def _fields() -> list[Html]:
    return [
        choice("What happens", "kind", KINDS),
        choice("Listener", "listener", LISTENERS),
        field("Method", "method", value="*", maxlength=20, required=True),
        field("Path", "path", value="*", maxlength=500, required=True, hint="* matches anything."),
        choice("When", "when", WHEN),
        field("Number of requests", "times", type_="number", min=1, hint="If empty, until the fault is removed."),
        field("Status", "status", type_="number", value="503", min=200, max=599),
        field(
            "Seconds",
            "seconds",
            type_="number",
            value="1",
            min=0,
            max=3600,
            step="any",
            hint="The delay, or the time between two bytes of a slow body.",
        ),
        field("Bytes", "bytes", type_="number", value="10", min=0, hint="How much of a truncated body is sent."),
    ]


def _fault(fields: Fields) -> Fault:
    """
    Return the fault that a form describes.

    Raises:
        RequestError: If a field is invalid.
    """
    values: dict[str, Any] = {"method": "", "path": "", **only(fields, "listener", "method", "path", "when")}
    if not values["method"] or not values["path"]:
        raise RequestError(400, "Enter a method and a path. * matches anything.")
    values["times"] = _number(fields, "times", int) if fields.get("times", "").strip() else None
    match fields.get("kind"):
        case "status":
            values["status"] = status = _number(fields, "status", int)
            values["body"] = f'{{"error":"fault {status}"}}'
        case "delay":
            values["latency"] = _number(fields, "seconds", float)
        case "reset":
            values["reset"] = True
        case "truncate":
            values["truncate"] = _number(fields, "bytes", int)
        case "slow":
            values["drip"] = _number(fields, "seconds", float)
        case _:
            raise RequestError(400, "Choose what happens.")
    return read(values, Fault)


def _number(fields: Fields, name: str, kind: type[int | float]) -> float:
    text = fields.get(name, "").strip()
    try:
        number = kind(text[:20])
    except ValueError:
        number = MAX_NUMBER
    if not abs(number) < MAX_NUMBER:  # nor is it NaN
        raise RequestError(400, f"{name.capitalize()}: Must be a number.")
    return number


def _entry(fault: ActiveFault, form: Form) -> Html:
    title = f"{_effect(fault)}: {fault.method} {fault.path}"
    remaining = "all requests" if fault.times is None else f"the next {counted(fault.times, 'request')}"
    hidden = {"fault": str(fault.id)}
    on, about = fault.enabled, f"fault {fault.id}"
    return entry(
        title,
        f"{'On' if on else 'Off'} · {fault.listener} · {fault.when} the operation · {remaining}",
        actions=[
            form.button("Turn off" if on else "Turn on", "switch", about=about, enabled="0" if on else "1", **hidden),
            form.button("Remove", "remove", about=about, **hidden),
        ],
    )


def _effect(fault: Fault) -> str:
    effects = [
        "connection reset" if fault.reset else "",
        f"status {fault.status}" if fault.status is not None else "",
        f"delay of {fault.latency:g} seconds" if fault.latency else "",
        f"body truncated to {counted(fault.truncate, 'byte')}" if fault.truncate is not None else "",
        f"slow body, {fault.drip:g} seconds per byte" if fault.drip is not None else "",
        "changed body" if fault.body is not None and fault.status is None else "",
        "extra headers" if fault.headers else "",
    ]
    text = ", ".join(effect for effect in effects if effect) or "no effect"
    return text[0].upper() + text[1:]


def _id(fields: Fields) -> int:
    text = fields.get("fault", "")
    if not (text.isascii() and text.isdecimal()):
        raise RequestError(400, "The form names no fault.")
    return int(text[:18])
