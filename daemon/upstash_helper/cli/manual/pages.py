"""The manual pages, made from the commands themselves: what `--help` says and what `man` says cannot differ."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import typing
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

from upstash_helper import __released__, __version__
from upstash_helper.cli import exit_codes
from upstash_helper.settings.config import Settings
from upstash_helper.settings.profiles import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What the typesetter would take for its own or for a typographic sign. A hyphen that is meant to be typed is `\-`.
_SPECIAL: Final = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
    "\t": "    ",
    "\N{NO-BREAK SPACE}": r"\ ",
}
# A line that begins with one of these is a request. An apostrophe never stands there: it is `\(aq` by then.
_CONTROL: Final = "."

BREAK_AFTER_BAR: Final = r"|\:"
"""A bar behind which a line may end, without a hyphen."""

_CODE: Final = re.compile(r"`([^`\n]+)`")


def escaped(text: str) -> str:
    """Return ``text`` without anything that the typesetter would act on, as part of a line."""
    return "".join(_SPECIAL.get(character) or _plain(character) for character in text)


def line(text: str) -> str:
    """Return ``text``, which is roff already, so that it can begin a line: no request, and no empty line."""
    flat = " ".join(text.split("\n")).strip(" ")
    return rf"\&{flat}" if flat.startswith(_CONTROL) or not flat else flat


def prose(text: str) -> str:
    """Return a sentence or more as one line; what stands in backquotes becomes bold, as what is typed is in a page."""
    parts = _CODE.split(text)
    return line("".join(bold(part) if place % 2 else escaped(part) for place, part in enumerate(parts)))


def bold(text: str) -> str:
    """Return ``text`` as what is typed as it stands."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return ``text`` as what is replaced by the reader's own."""
    return rf"\fI{escaped(text)}\fR"


def macro(name: str, *arguments: str) -> str:
    """Return a call of a macro; an argument is one whatever spaces are in it."""
    return " ".join([f".{name}", *(f'"{escaped(argument)}"' for argument in arguments)])


def example(text: str) -> list[str]:
    """Return lines that stay as they are, indented."""
    return [".RS 4", ".nf", *(line_as_it_is(each) for each in text.split("\n")), ".fi", ".RE"]


def line_as_it_is(text: str) -> str:
    """Return a line whose spaces count; an empty one remains one."""
    return rf"\&{escaped(text.rstrip())}" if not text.strip() or text.startswith((_CONTROL, " ")) else escaped(text)


def _plain(character: str) -> str:
    if character == "\n" or (character.isascii() and character.isprintable()):
        return character
    # A control character has no place in a page, least of all an escape sequence for the reader's terminal.
    return rf"\[u{ord(character):04X}]" if character.isprintable() else r"\[uFFFD]"


class Fact(NamedTuple):
    """A term, and what it means."""

    term: str
    meaning: str


WORLD_VARIABLES: Final = (
    Fact(f"{ENV_PREFIX}PROFILE", "The profile to use where `--profile` names none."),
    Fact(
        f"{ENV_PREFIX}HOME",
        "A folder: all files are below it, in `config`, `state`, `run` and `log`, not where the system has them.",
    ),
)

_ELSEWHERE: Final = (
    Fact("NO_COLOR", "If set to anything, nothing is colored."),
    Fact("BROWSER", "The browser that is opened, as Python's webbrowser module reads it."),
)

# As a user writes them; the tests compare them with the folders of profiles.py.
_FOLDERS: Final[Mapping[str, Mapping[str, str]]] = {
    "darwin": {
        "config": "~/Library/Application Support/upstash-helper",
        "state": "~/Library/Application Support/upstash-helper",
        "runtime": "~/Library/Caches/TemporaryItems/upstash-helper",
        "logs": "~/Library/Logs/upstash-helper",
    },
    "linux": {
        "config": "~/.config/upstash-helper",
        "state": "~/.local/state/upstash-helper",
        "runtime": "$XDG_RUNTIME_DIR/upstash-helper",
        "logs": "~/.local/state/upstash-helper/log",
    },
}


def variables() -> list[Fact]:
    """Return every environment variable that is read."""
    return [*WORLD_VARIABLES, *_setting_variables(), *_ELSEWHERE]


def files(platform: str) -> list[Fact]:
    """
    Return the files of the default profile.

    Args:
        platform: As ``sys.platform``. One without manual pages of its own is told where Linux has them.
    """
    where = _FOLDERS.get(platform, _FOLDERS["linux"])
    return [
        Fact(f"{where['config']}/config.toml", "The settings, for good. It need not exist; see `config path`."),
        Fact(f"{where['state']}/ledger.db", "The apps that were let in, and what they did. No API key is in it."),
        Fact(
            f"{where['state']}/credential.json",
            'The API key, in clear, only with `credential_store = "file"`. Otherwise the system\'s keyring has it.',
        ),
        Fact(
            f"{where['runtime']}/daemon.json",
            "Where the running daemon is, and the owner's token. It is new at every start, and only you can read it.",
        ),
        Fact(f"{where['logs']}/upstash-helper.log", "What the daemon did, as lines of JSON. No secret is in it."),
    ]


def setting_docs() -> dict[str, str]:
    """Return what each setting is for, as its definition says it: Python keeps no docstring of an attribute."""
    [definition] = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - it is the source of a class
    return dict(_documented(definition.body))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text).replace("``", "`")
            case _:
                continue


def _setting_variables() -> Iterator[Fact]:
    docs = setting_docs()
    kinds = typing.get_type_hints(Settings)
    for field in msgspec.structs.fields(Settings):
        choices = [str(choice) for choice in typing.get_args(kinds[field.name]) if isinstance(choice, str)]
        taken = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        default = "" if field.default is None else f" Default: `{_as_variable(field.default)}`."
        yield Fact(f"{ENV_PREFIX}{field.name.upper()}", f"{docs[field.name]}{taken}{default}")


def _as_variable(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
        macro("TH", name.upper(), SECTION, __released__, f"upstash-helper {__version__}", "User Commands"),
        # Neither hyphens nor stretched spaces: what is typed must be found by searching, and copied as it is.
        ".nh",
        ".ad l",
        macro("SH", "NAME"),
        rf"{escaped(name)} \- {escaped(_summary(ctx))}",
        macro("SH", "SYNOPSIS"),
        _synopsis(ctx),
        macro("SH", "DESCRIPTION"),
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
    pieces = " ".join(escaped(piece) for piece in ctx.command.collect_usage_pieces(ctx))
    return f"{bold(ctx.command_path)} {_PLACEHOLDER.sub(_in_italics, pieces)}".rstrip()


def _in_italics(found: re.Match[str]) -> str:
    return italic(found[0])


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        head, _, rest = paragraph.partition("\n")
        if head.strip() == _VERBATIM:
            # A first line that is not indented introduces the others.
            yield from example(rest)
        else:
            yield prose(paragraph)


def _options(ctx: click.Context) -> Iterator[str]:
    records = [(option, option.get_help_record(ctx)) for option in ctx.command.get_params(ctx)]
    shown = [(option, record[1]) for option, record in records if isinstance(option, click.Option) and record]
    if not shown:
        return
    yield macro("SH", "OPTIONS")
    for option, text in shown:
        yield from _entry(_names_of(option, ctx), text)


def _names_of(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join(bold(name) for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    # A long list of choices may be broken between two of them.
    return f"{names} {italic(option.make_metavar(ctx)).replace('|', BREAK_AFTER_BAR)}"


def _commands(ctx: click.Context) -> Iterator[str]:
    children = _children(ctx)
    if not children:
        return
    yield macro("SH", "COMMANDS")
    for child in children:
        yield from _entry(_reference(child), f"{_summary(child)}.")


def _exit_status(ctx: click.Context) -> Iterator[str]:
    yield macro("SH", "EXIT STATUS")
    if ctx.parent is not None and not isinstance(ctx.command, click.Group):
        yield prose("Those of them that apply here; they mean the same for every command.")
    for code, meaning in exit_codes.MEANING.items():
        yield from _entry(bold(str(code)), f"{meaning[:1].upper()}{meaning[1:]}.")


def _environment(ctx: click.Context) -> Iterator[str]:
    yield macro("SH", "ENVIRONMENT")
    root = ctx.parent is None
    for fact in variables() if root else WORLD_VARIABLES:
        yield from _entry(bold(fact.term), fact.meaning)
    if not root:
        yield ".PP"
        yield f"Every setting can be given as a variable: see {_reference(ctx.find_root())}."


def _files(ctx: click.Context, platform: str) -> Iterator[str]:
    yield macro("SH", "FILES")
    if ctx.parent is not None:
        yield f"See {_reference(ctx.find_root())}."
        return
    for fact in files(platform):
        yield from _entry(italic(fact.term), fact.meaning)
    yield ".PP"
    yield prose("A profile has the same files below `profiles/NAME` in these folders.")


def _see_also(ctx: click.Context) -> Iterator[str]:
    """Refer to the command above, those beside and those below."""
    near = _children(ctx)
    if ctx.parent is not None:
        beside = [] if ctx.parent.parent is None else _children(ctx.parent)
        near = [ctx.parent, *(it for it in beside if it.info_name != ctx.info_name), *near]
    yield macro("SH", "SEE ALSO")
    yield ",\n".join(_reference(it) for it in near)


def _reference(ctx: click.Context) -> str:
    return f"{bold(page_name(ctx))}({SECTION})"


def _entry(term: str, text: str) -> Iterable[str]:
    """Return a term (roff already) with its explanation below."""
    return (".TP", term, prose(text))
