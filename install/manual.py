"""
The man pages, generated from the commands, so that they cannot differ from ``--help``.

The build hook runs this when a wheel is built or the checkout is installed. In a checkout, generate them again with::

    .venv/bin/python install/manual.py

The pages depend only on the source: the same source gives the same bytes, on every machine and operating system.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import re
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

from upstash_helper import __released__, __version__
from upstash_helper.cli import exit_codes
from upstash_helper.settings.config import Settings
from upstash_helper.settings.profiles import ENV_PREFIX
from upstash_helper.system import open_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FOLDER: Final = Path(__file__).absolute().parents[1] / "daemon" / "upstash_helper" / "cli" / "manual"
"""Where `upstash-helper install` finds the pages in a checkout."""

SECTION: Final = "1"

# --- roff -------------------------------------------------------------------------------------------------------------

# Characters that roff would interpret or replace by typographic ones. `\-` is the hyphen that can be copied and typed.
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
# A line that begins with a dot is a request. One that begins with an apostrophe too, but that is `\(aq` here.
_CONTROL: Final = "."

BREAK_AFTER_BAR: Final = r"|\:"
"""A bar after which a line may break, without a hyphen."""

_CODE: Final = re.compile(r"`([^`\n]+)`")


def escaped(text: str) -> str:
    """Return ``text`` escaped for roff, as part of a line."""
    return "".join(_SPECIAL.get(character) or _plain(character) for character in text)


def line(text: str) -> str:
    """Return escaped ``text`` as a whole line that is neither a request nor empty."""
    flat = " ".join(text.split("\n")).strip(" ")
    return rf"\&{flat}" if flat.startswith(_CONTROL) or not flat else flat


def prose(text: str) -> str:
    """Return a paragraph as one line, with text in backquotes in bold."""
    parts = _CODE.split(text)
    return line("".join(bold(part) if place % 2 else escaped(part) for place, part in enumerate(parts)))


def bold(text: str) -> str:
    """Return ``text`` in bold: to be typed literally."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return ``text`` in italics: a placeholder."""
    return rf"\fI{escaped(text)}\fR"


def macro(name: str, *arguments: str) -> str:
    """Return a macro call; arguments may contain spaces and quotes."""
    return " ".join([f".{name}", *(f'"{escaped(argument)}"' for argument in arguments)])


def verbatim(text: str) -> list[str]:
    """Return ``text`` as indented lines that are not filled."""
    return [".RS 4", ".nf", *(verbatim_line(each) for each in text.split("\n")), ".fi", ".RE"]


def verbatim_line(text: str) -> str:
    """Return a line that keeps its spaces, and remains a line if it is empty."""
    return rf"\&{escaped(text.rstrip())}" if not text.strip() or text.startswith((_CONTROL, " ")) else escaped(text)


def _plain(character: str) -> str:
    if character == "\n" or (character.isascii() and character.isprintable()):
        return character
    # A control character could start an escape sequence on the reader's terminal.
    return rf"\[u{ord(character):04X}]" if character.isprintable() else r"\[uFFFD]"


# --- environment and files --------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A term and its explanation."""

    term: str
    meaning: str


PROFILE_VARIABLES: Final = (
    Entry(f"{ENV_PREFIX}PROFILE", "The profile to use without `--profile`."),
    Entry(
        f"{ENV_PREFIX}HOME",
        "A folder for all files, in `config`, `state`, `run`, and `log` below it, instead of the system's folders.",
    ),
)

_OTHER_VARIABLES: Final = (
    Entry("NO_COLOR", "If set, output is not colored."),
    Entry(
        "BROWSER",
        "The browser to open: commands, separated like PATH, each with `%s` in place of the address, or without it.",
    ),
)

# The tests compare these with the folders of settings.profiles.
LINUX_FOLDERS: Final = {
    "config": "~/.config/upstash-helper",
    "state": "~/.local/state/upstash-helper",
    "runtime": "~/.local/state/upstash-helper/run",
    "logs": "~/.local/state/upstash-helper/log",
}
MACOS_FOLDERS: Final = {
    "config": "~/Library/Application Support/upstash-helper",
    "state": "~/Library/Application Support/upstash-helper",
    "runtime": "~/Library/Application Support/upstash-helper/run",
    "logs": "~/Library/Logs/upstash-helper",
}


def variables() -> list[Entry]:
    """Return every environment variable that the helper reads."""
    return [*PROFILE_VARIABLES, *_setting_variables(), *_OTHER_VARIABLES]


def files(folders: Mapping[str, str]) -> list[Entry]:
    """Return the files of the default profile, in one platform's ``folders``."""
    return [
        Entry(f"{folders['config']}/config.toml", "The settings. The file is optional; see `config path`."),
        Entry(f"{folders['state']}/ledger.db", "The approved apps, and the audit log. It contains no credential."),
        Entry(
            f"{folders['state']}/credential.json",
            'The account\'s credential, in plaintext, only with `credential_store = "file"`. Otherwise it is in the '
            "keyring.",
        ),
        Entry(
            f"{folders['runtime']}/daemon.json",
            "The running daemon's address and the owner token. It is replaced at every start; only you can read it.",
        ),
        Entry(
            f"{folders['logs']}/upstash-helper.log",
            "The daemon's log, one JSON object per line. It contains no secrets.",
        ),
    ]


def setting_docs() -> dict[str, str]:
    """Return the docstring of each setting, from the source: Python does not keep those of attributes."""
    [definition] = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    return dict(_attribute_docs(definition.body))


def _attribute_docs(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text).replace("``", "`")
            case _:
                continue


def _setting_variables() -> Iterator[Entry]:
    docs = setting_docs()
    kinds = typing.get_type_hints(Settings)
    for field in msgspec.structs.fields(Settings):
        choices = [str(choice) for choice in typing.get_args(kinds[field.name]) if isinstance(choice, str)]
        values = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        default = "" if field.default is None else f" Default: `{_as_variable(field.default)}`."
        yield Entry(f"{ENV_PREFIX}{field.name.upper()}", f"{docs[field.name]}{values}{default}")


def _as_variable(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- pages ------------------------------------------------------------------------------------------------------------

# click's markers of a verbatim paragraph, and of the end of the help text.
_VERBATIM: Final = "\b"
_END: Final = "\f"

_PLACEHOLDER: Final = re.compile(r"[A-Z][A-Z0-9_]*")


def man_pages() -> dict[str, str]:
    """Return the pages of all commands, by file name: ``upstash-helper.1``, ``upstash-helper-connect.1``, …."""
    return {f"{page_name(ctx)}.{SECTION}": render(ctx) for ctx in contexts()}


def contexts() -> Iterator[click.Context]:
    """Yield the root and all commands below it, except hidden ones."""
    from upstash_helper.cli.app import PROGRAM, cli

    yield from _below(_context(cli, PROGRAM))


def page_name(ctx: click.Context) -> str:
    """Return the name of a command's page, as for man(1)."""
    return ctx.command_path.replace(" ", "-")


def render(ctx: click.Context) -> str:
    """Return the page of a command."""
    name = page_name(ctx)
    lines = [
        macro("TH", name.upper(), SECTION, __released__, f"upstash-helper {__version__}", "User Commands"),
        # No hyphenation and no justification, so that commands can be searched for and copied.
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
        *_sections(ctx),
        *_examples(ctx),
        *_exit_status(ctx),
        *_environment(ctx),
        *_files(ctx),
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
    found = ((name, _described(name, group.get_command(ctx, name))) for name in group.list_commands(ctx))
    return [_context(it, name, parent=ctx) for name, it in found if it is not None and not it.hidden]


def _described(name: str, command: click.Command | None) -> click.Command | None:
    """Return the command that a page describes: if it only passes its arguments on, the one of the other program."""
    if name != "serve":
        return command
    from upstash_helper.sandbox.__main__ import main as sandbox

    return sandbox


def _context(command: click.Command, name: str, *, parent: click.Context | None = None) -> click.Context:
    """Return the context that click creates for ``command``, without parsing arguments."""
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _help_of(command: click.Command) -> str:
    return inspect.cleandoc((command.help or "").partition(_END)[0])


def _summary(ctx: click.Context) -> str:
    """Return the first sentence without its period, for apropos(1)."""
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
            yield from verbatim(rest)
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
    # A long list of choices may break between two of them.
    return f"{names} {italic(option.make_metavar(ctx)).replace('|', BREAK_AFTER_BAR)}"


def _commands(ctx: click.Context) -> Iterator[str]:
    children = _children(ctx)
    if not children:
        return
    yield macro("SH", "COMMANDS")
    for child in children:
        yield from _entry(_reference(child), f"{_summary(child)}.")


def _sections(ctx: click.Context) -> Iterator[str]:
    """Return the additional sections of this command's page."""
    sections: Sequence[tuple[str, Sequence[tuple[str, str]]]] = getattr(ctx.command, "manual_sections", ())
    for title, entries in sections:
        yield macro("SH", title)
        for term, text in entries:
            yield from _entry(bold(term), text)


def _examples(ctx: click.Context) -> Iterator[str]:
    examples: str = getattr(ctx.command, "examples", "")
    if not examples:
        return
    yield macro("SH", "EXAMPLES")
    for number, paragraph in enumerate(examples.split("\n\n")):
        if number:
            yield ".PP"
        yield from verbatim(paragraph)


def _exit_status(ctx: click.Context) -> Iterator[str]:
    yield macro("SH", "EXIT STATUS")
    own: Mapping[int, str] | None = getattr(ctx.command, "exit_codes", None)
    if own is None and ctx.parent is not None and not isinstance(ctx.command, click.Group):
        yield prose("The codes are the same for every command.")
    for code, meaning in (exit_codes.MEANING if own is None else own).items():
        yield from _entry(bold(str(code)), f"{meaning[:1].upper()}{meaning[1:]}.")


def _environment(ctx: click.Context) -> Iterator[str]:
    yield macro("SH", "ENVIRONMENT")
    root = ctx.parent is None
    for entry in variables() if root else PROFILE_VARIABLES:
        yield from _entry(bold(entry.term), entry.meaning)
    if not root:
        yield ".PP"
        yield f"Every setting has a variable: see {_reference(ctx.find_root())}."


def _files(ctx: click.Context) -> Iterator[str]:
    yield macro("SH", "FILES")
    if ctx.parent is not None:
        yield f"See {_reference(ctx.find_root())}."
        return
    for entry in files(LINUX_FOLDERS):
        yield from _entry(italic(entry.term), entry.meaning)
    yield ".PP"
    yield prose("On macOS, they are:")
    for entry in files(MACOS_FOLDERS):
        yield from (".PP", line(italic(entry.term)))
    yield ".PP"
    yield prose("A profile has the same files in `profiles/NAME` below these folders.")


def _see_also(ctx: click.Context) -> Iterator[str]:
    """Refer to the parent command, its other commands, and the command's own."""
    near = _children(ctx)
    if ctx.parent is not None:
        beside = [] if ctx.parent.parent is None else _children(ctx.parent)
        near = [ctx.parent, *(it for it in beside if it.info_name != ctx.info_name), *near]
    yield macro("SH", "SEE ALSO")
    yield ",\n".join(_reference(it) for it in near)


def _reference(ctx: click.Context) -> str:
    return f"{bold(page_name(ctx))}({SECTION})"


def _entry(term: str, text: str) -> Iterable[str]:
    """Return an escaped term with its explanation below it."""
    return (".TP", term, prose(text))


# --- writing ----------------------------------------------------------------------------------------------------------


def write_pages(folder: Path) -> None:
    """Write all pages to ``folder``, and remove pages of commands that no longer exist."""
    pages = man_pages()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"*.{SECTION}"):
        if old.name not in pages:
            open_files.remove(old)
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="ascii", newline="\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages to a folder."""
    parser = argparse.ArgumentParser(description="Generate the man pages of all commands.")
    parser.add_argument(
        "folder", type=Path, nargs="?", default=FOLDER, help="output folder; by default where `install` finds them"
    )
    write_pages(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
