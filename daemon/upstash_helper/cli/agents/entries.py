"""A server's entry in the text of a configuration file, for every format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upstash_helper.cli.agents import json_text, toml_text
from upstash_helper.cli.agents.catalog import CONNECTION_FIELDS
from upstash_helper.cli.agents.errors import InvalidText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.cli.agents.catalog import Agent


def find(agent: Agent, text: str, server: str) -> dict[str, Any] | None:
    """
    Return the entry of a server; None if there is none.

    Raises:
        InvalidText: If the text is not valid, or has something else in place of the entry.
    """
    content = _content(agent, text)
    found: Any = content
    for key in (*agent.container(content), server):
        if key not in found:
            return None
        found = found[key]
        if not isinstance(found, dict):
            message = f'is not as expected: "{key}" is not {"a table" if agent.format == "toml" else "an object"}'
            raise InvalidText(message)
    return dict(found)


def with_fields(agent: Agent, text: str, server: str, fields: Mapping[str, Any]) -> str:
    """
    Return the text with the connection fields of an entry replaced by ``fields``. Other fields are kept.

    Raises:
        InvalidText: If the text is not valid, or cannot be edited.
    """
    entry = find(agent, text, server)
    container = agent.container(_content(agent, text))
    obsolete = {key for key in entry or {} if key in CONNECTION_FIELDS and key not in fields}
    if agent.format == "toml":
        return toml_text.with_table(text, (container[0], server), fields, replaces=obsolete)
    path = (*container, server)
    if entry is None:
        changed = json_text.with_member(text, path, dict(fields), dialect=agent.format)
    else:
        changed = text
        for key, value in fields.items():
            if key not in entry or entry[key] != value:
                changed = json_text.with_member(changed, (*path, key), value, dialect=agent.format)
        for key in obsolete:
            changed = json_text.without_member(changed, (*path, key), dialect=agent.format)
    kept = {key: value for key, value in (entry or {}).items() if key not in obsolete}
    _check(agent, changed, _set(_content(agent, text), path, {**kept, **fields}))
    return changed


def without(agent: Agent, text: str, server: str, *, created: bool) -> str:
    """
    Return the text without an entry.

    Args:
        agent: The agent.
        text: The text.
        server: The name of the entry.
        created: Whether the object for the servers was created with the entry. If so, it is removed if it is empty.

    Raises:
        InvalidText: If the text is not valid, or cannot be edited.
    """
    if find(agent, text, server) is None:
        return text
    content = _content(agent, text)
    container = agent.container(content)
    if agent.format == "toml":
        return toml_text.without_table(text, (container[0], server))
    path = (*container, server)
    servers: Any = content
    for key in container:
        servers = servers[key]
    if created and len(servers) == 1 and len(container) == 1:
        path = container
    changed = json_text.without_member(text, path, dialect=agent.format)
    _check(agent, changed, _set(content, path, None))
    return changed


def is_same(agent: Agent, one: str, other: str) -> bool:
    """Return whether two texts have the same content. If the first one is not valid, they do not."""
    try:
        return _content(agent, one) == _content(agent, other)
    except InvalidText:
        return False


def has_container(agent: Agent, text: str) -> bool:
    """
    Return whether there is an object for servers.

    Raises:
        InvalidText: If the text is not valid.
    """
    content: Any = _content(agent, text)
    for key in agent.container(content):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def _content(agent: Agent, text: str) -> dict[str, Any]:
    if agent.format == "toml":
        return toml_text.value_of(text)
    return json_text.value_of(text, dialect=agent.format)


def _set(content: Mapping[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return a copy of ``content`` with a member set or, if the value is None, removed."""
    key, *rest = path
    copy = dict(content)
    if rest:
        copy[key] = _set(copy.get(key, {}), tuple(rest), value)
    elif value is None:
        del copy[key]
    else:
        copy[key] = value
    return copy


def _check(agent: Agent, changed: str, expected: Mapping[str, Any]) -> None:
    """Parse the result, so that a text that was misread is refused instead of damaged."""
    if _content(agent, changed) != expected:
        message = "has a format that setup cannot edit"
        raise InvalidText(message)
