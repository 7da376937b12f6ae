"""``completion``: shell completion scripts."""

from __future__ import annotations

from typing import Final

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import command
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import print_for_programs, print_json
from upstash_helper.cli.session import Session, pass_session

SHELLS: Final = ("bash", "zsh", "fish")

_EXAMPLES: Final = """
# Bash
upstash-helper completion bash > ~/.local/share/bash-completion/completions/upstash-helper

# Zsh, with ~/.zfunc in fpath
upstash-helper completion zsh > ~/.zfunc/_upstash-helper

# Fish
upstash-helper completion fish > ~/.config/fish/completions/upstash-helper.fish
"""


def completion_script(shell: str) -> str:
    """
    Return the completion script for ``shell``, one of ``SHELLS``.

    Raises:
        Failure: If the shell is not supported.
    """
    from click.shell_completion import get_completion_class

    from upstash_helper.cli.app import PROGRAM, cli

    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        message = f"No completion for {shell}. Supported shells: {', '.join(SHELLS)}."
        raise Failure(message, code="no_such_shell", exit_code=exit_codes.USAGE)
    # Not source(), which runs bash to check its version: the script may be made on a machine without bash.
    complete = found(cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".replace("-", "_").upper())
    return complete.source_template % complete.source_vars()


@command("completion", examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_session
def completion(session: Session, *, shell: str) -> None:
    """Print the completion script for a shell. `upstash-helper install` installs it for all of them."""
    script = completion_script(shell)
    if session.json:
        print_json({"shell": shell, "script": script})
    else:
        print_for_programs(script)
