"""The manual pages, made from the commands themselves: what `--help` says and what `man` says cannot differ."""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Final

import click

from upstash_helper import __released__, __version__
from upstash_helper.cli import exit_codes, manual_facts, roff

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SECTION: Final = "1"

# How click marks a paragraph that stays as it is, and the end of what is meant for readers.
_VERBATIM: Final = "\b"
_END: Final = "\f"

_PLACEHOLDER: Final = re.compile(r"[A-Z][A-Z0-9_]*")


def man_pages(*, platform: str = sys.platform) -> dict[str, str]:
    """
    Return the pages of all commands, by file name: ``upstash-helper.1``, ``upstash-helper-connect.1`` and so on.

    They depend on nothing of this machine, so that a package made twice is the same.

    Args:
        platform: Whose files are told, as ``sys.platform``.
    """
    return {f"{page_name(ctx)}.{SECTION}": render(ctx, platform=platform) for ctx in contexts()}


def contexts() -> Iterator[click.Context]:
    """Go through the root and all commands below it, but for hidden ones."""
    from upstash_helper.cli.app import PROGRAM, cli

    yield from _below(_context(cli, PROGRAM))


def page_name(ctx: click.Context) -> str:
    """Return the name of a command's page, as it is given to man(1)."""
    return ctx.command_path.replace(" ", "-")


def render(ctx: click.Context, *, platform: str = sys.platform) -> str:
    """Return the page of a command."""
    name = page_name(ctx)
    lines = [
        roff.macro("TH", name.upper(), SECTION, __released__, f"upstash-helper {__version__}", "User Commands"),
        # Neither hyphens nor stretched spaces: what is typed must be found by searching, and copied as it is.
        ".nh",
        ".ad l",
        roff.macro("SH", "NAME"),
        rf"{roff.escaped(name)} \- {roff.escaped(_summary(ctx))}",
        roff.macro("SH", "SYNOPSIS"),
        _synopsis(ctx),
        roff.macro("SH", "DESCRIPTION"),
        *_paragraphs(_help_of(ctx.command)),
        *_options(ctx),
        *_commands(ctx),
        *_exit_status(ctx),
        *_environment(ctx),
        *_files(ctx, platform),
        *_see_also(ctx),
    ]
    return "\n".join(lines) + "\n"


def _below(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    for child in _children(ctx):
        yield from _below(child)


def _children(ctx: click.Context) -> list[click.Context]:
    group = ctx.command
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(ctx, name)) for name in group.list_commands(ctx))
    return [_context(it, name, parent=ctx) for name, it in found if it is not None and not it.hidden]


def _context(command: click.Command, name: str, *, parent: click.Context | None = None) -> click.Context:
    """Return what click would make on the way to ``command``, without an argument being read."""
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _help_of(command: click.Command) -> str:
    return inspect.cleandoc((command.help or "").partition(_END)[0])


def _summary(ctx: click.Context) -> str:
    """Return the first sentence without its full stop, as apropos(1) lists it."""
    first = " ".join(_help_of(ctx.command).partition("\n\n")[0].split())
    return re.split(r"\.(?:\s|$)", first, maxsplit=1)[0].replace("`", "")


def _synopsis(ctx: click.Context) -> str:
    pieces = " ".join(roff.escaped(piece) for piece in ctx.command.collect_usage_pieces(ctx))
    return f"{roff.bold(ctx.command_path)} {_PLACEHOLDER.sub(_in_italics, pieces)}".rstrip()


def _in_italics(found: re.Match[str]) -> str:
    return roff.italic(found[0])


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        head, _, rest = paragraph.partition("\n")
        if head.strip() == _VERBATIM:
            # A first line that is not indented introduces the others.
            yield from roff.example(rest)
        else:
            yield roff.prose(paragraph)


def _options(ctx: click.Context) -> Iterator[str]:
    records = [(option, option.get_help_record(ctx)) for option in ctx.command.get_params(ctx)]
    shown = [(option, record[1]) for option, record in records if isinstance(option, click.Option) and record]
    if not shown:
        return
    yield roff.macro("SH", "OPTIONS")
    for option, text in shown:
        yield from _entry(_names_of(option, ctx), text)


def _names_of(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join(roff.bold(name) for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    # A long list of choices may be broken between two of them.
    return f"{names} {roff.italic(option.make_metavar(ctx)).replace('|', roff.BREAK_AFTER_BAR)}"


def _commands(ctx: click.Context) -> Iterator[str]:
    children = _children(ctx)
    if not children:
        return
    yield roff.macro("SH", "COMMANDS")
    for child in children:
        yield from _entry(_reference(child), f"{_summary(child)}.")


def _exit_status(ctx: click.Context) -> Iterator[str]:
    yield roff.macro("SH", "EXIT STATUS")
    if ctx.parent is not None and not isinstance(ctx.command, click.Group):
        yield roff.prose("Those of them that apply here; they mean the same for every command.")
    for code, meaning in exit_codes.MEANING.items():
        yield from _entry(roff.bold(str(code)), f"{meaning[:1].upper()}{meaning[1:]}.")


def _environment(ctx: click.Context) -> Iterator[str]:
    yield roff.macro("SH", "ENVIRONMENT")
    root = ctx.parent is None
    for fact in manual_facts.variables() if root else manual_facts.WORLD_VARIABLES:
        yield from _entry(roff.bold(fact.term), fact.meaning)
    if not root:
        yield ".PP"
        yield f"Every setting can be given as a variable: see {_reference(ctx.find_root())}."


def _files(ctx: click.Context, platform: str) -> Iterator[str]:
    yield roff.macro("SH", "FILES")
    if ctx.parent is not None:
        yield f"See {_reference(ctx.find_root())}."
        return
    for fact in manual_facts.files(platform):
        yield from _entry(roff.italic(fact.term), fact.meaning)
    yield ".PP"
    yield roff.prose("A profile has the same files below `profiles/NAME` in these folders.")


def _see_also(ctx: click.Context) -> Iterator[str]:
    """Refer to the command above, those beside and those below."""
    near = _children(ctx)
    if ctx.parent is not None:
        beside = [] if ctx.parent.parent is None else _children(ctx.parent)
        near = [ctx.parent, *(it for it in beside if it.info_name != ctx.info_name), *near]
    yield roff.macro("SH", "SEE ALSO")
    yield ",\n".join(_reference(it) for it in near)


def _reference(ctx: click.Context) -> str:
    return f"{roff.bold(page_name(ctx))}({SECTION})"


def _entry(term: str, text: str) -> Iterable[str]:
    """Return a term (roff already) with its explanation below."""
    return (".TP", term, roff.prose(text))
