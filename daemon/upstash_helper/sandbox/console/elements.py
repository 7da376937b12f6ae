"""The parts that the console's pages are made of."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from upstash_helper.sandbox.console.markup import Attribute, Child, Content, Html, join, tag

Options = Sequence[tuple[str, str]]
"""Value and label of each choice."""


class Form(msgspec.Struct, frozen=True):
    """Where the forms of a page are sent, and the token that protects them."""

    action: str
    csrf: str

    def __call__(self, *children: Content, intent: str, hidden: Mapping[str, str] | None = None) -> Html:
        """Return a form with hidden fields."""
        fields = {"csrf": self.csrf, "intent": intent, **(hidden or {})}
        return tag(
            "form",
            (tag("input", type="hidden", name=name, value=value) for name, value in fields.items()),
            *children,
            method="post",
            action=self.action,
        )

    def button(self, label: str, intent: str, *, about: str = "", **hidden: str) -> Html:
        """Return a form that is one button. ``about``: what it is applied to, for screen readers."""
        name = f"{label} {about}" if about else None
        return self(tag("button", label, aria_label=name), intent=intent, hidden=hidden)


def field(
    label: str, name: str, *, hint: str = "", value: str = "", type_: str = "text", **attributes: Attribute
) -> Html:
    """Return an input with its label."""
    described = f"{name}-hint" if hint else None
    return join(
        tag("label", label, for_=name),
        tag("input", id=name, name=name, type=type_, value=value, aria_describedby=described, **attributes),
        tag("p", hint, id=described, class_="hint") if hint else None,
    )


def choice(label: str, name: str, options: Options, *, value: str = "") -> Html:
    """Return a drop-down list with its label."""
    return join(
        tag("label", label, for_=name),
        tag(
            "select",
            (tag("option", text, value=option, selected=option == value) for option, text in options),
            id=name,
            name=name,
        ),
    )


def checkbox(label: str, name: str) -> Html:
    """Return a checkbox with its label."""
    return tag("label", tag("input", type="checkbox", name=name, value="1"), tag("span", label), class_="choice")


def submit(label: str) -> Html:
    """Return a form's main button."""
    return tag("div", tag("button", label, class_="primary"), class_="actions")


def items(entries: Sequence[Html], *, empty: str) -> Html:
    """Return a list, or a sentence if there is nothing in it."""
    return tag("ul", entries) if entries else tag("p", empty, class_="hint")


def entry(title: Child, *details: Child, actions: Iterable[Html] = ()) -> Html:
    """Return an item of a list: a title, lines of details, and buttons."""
    buttons = list(actions)
    return tag(
        "li",
        tag("p", tag("strong", title)),
        (tag("p", detail, class_="hint") for detail in details if detail),
        tag("div", buttons, class_="row") if buttons else None,
    )


def facts(rows: Iterable[tuple[str, Child]]) -> Html:
    """Return a list of names and values."""
    return tag("dl", (join(tag("dt", name), tag("dd", value)) for name, value in rows), class_="facts")


def section(title: str, *children: Content) -> Html:
    """Return a section of a page with its heading."""
    return tag("section", tag("h2", title), *children)


def moment(seconds: float) -> str:
    """Return a Unix time as text."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
