"""The click classes of our commands: ``--json`` on each, examples in the help, and suggestions for typing errors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from click.shell_completion import CompletionItem


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that ``word`` is most likely a typing error of; None if none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(candidates), n=1)), None)


_MAX_MATCHES: Final = 2


class Command(click.Command):
    """A command with ``--json`` and, where there is more than one way to use it, examples."""

    def __init__(self, *args: Any, examples: str = "", **options: Any) -> None:
        """
        Args:
            args: Like ``click.Command``.
            examples: Command lines, each below a comment that begins with ``#``.
            options: Like ``click.Command``.
        """
        super().__init__(*args, **options)
        self.examples = examples.strip("\n")
        self.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                callback=_remember_json,
                help="Print JSON, also for errors (to stderr).",
            )
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


class CommandGroup(click.Group):
    """A group that lists its commands in the order of their definition, and prints its help if none is given."""

    command_class = Command

    def __init__(self, *args: Any, examples: str = "", **options: Any) -> None:
        """
        Args:
            args: Like ``click.Group``.
            examples: As for ``Command``.
            options: Like ``click.Group``.
        """
        super().__init__(*args, **options)
        self.examples = examples.strip("\n")

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of definition."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's options. Without any argument the help is the result, and not an error as in click."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """
        Find the command that was typed.

        Raises:
            click.UsageError: If there is none, with the closest name.
        """
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            match = closest(args[0], self.list_commands(ctx))
            matches = [match] if match else self._below(ctx, args[0])
            hint = f" Did you mean {' or '.join(map(repr, matches))}?" if 0 < len(matches) <= _MAX_MATCHES else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def _below(self, ctx: click.Context, name: str) -> list[str]:
        """Return the commands of this group's groups that have this name, such as ``service logs`` for ``logs``."""
        groups = ((each, self.get_command(ctx, each)) for each in self.list_commands(ctx))
        return [
            f"{each} {name}" for each, one in groups if isinstance(one, click.Group) and name in one.list_commands(ctx)
        ]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        write_examples(self.examples, formatter)
        super().format_epilog(ctx, formatter)


class LazyCommand(NamedTuple):
    """A command that is not imported yet."""

    target: str
    """``module:attribute`` in ``upstash_helper.cli``."""
    help: str
    """One line, for the list of commands."""


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they are run: listing and completing them costs nothing."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, LazyCommand]], **options: Any) -> None:
        """
        Args:
            args: Like ``CommandGroup``.
            sections: The commands by name, below the heading under which the help lists them.
            options: Like ``CommandGroup``.
        """
        super().__init__(*args, **options)
        self.sections = sections
        self._lazy = {name: found for commands in sections.values() for name, found in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        found = self._lazy.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = found.target.partition(":")
        command = getattr(import_module(f"upstash_helper.cli.{module}"), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table names commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands by section, without importing them."""
        width = max(map(len, self._lazy))
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                # Padded, so that the columns of all sections are aligned.
                formatter.write_dl([(name.ljust(width), command.help) for name, command in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands without importing them."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=command.help)
            for name, command in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return the decorator of a top-level command."""
    return click.command(name, cls=Command, **attributes)


def group(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], CommandGroup]:
    """Return the decorator of a group of commands."""
    return click.group(name, cls=CommandGroup, **attributes)


def write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    """Write examples as they are, with a prompt before each command line."""
    if not examples:
        return
    with formatter.section("Examples"):
        for line in examples.splitlines():
            prompt = "" if not line or line.startswith(("#", " ")) else "$ "
            formatter.write(f"{'':{formatter.current_indent}}{prompt}{line}".rstrip() + "\n")


def _remember_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).json = value
