"""``completion``: the scripts with which the shells complete our commands."""

from __future__ import annotations

from typing import Final

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json
from upstash_helper.cli.session import Session, pass_session

_HELP = """
Print the completion script of a shell.

\b
  bash   upstash-helper completion bash > ~/.local/share/bash-completion/completions/upstash-helper
  zsh    upstash-helper completion zsh > ~/.zfunc/_upstash-helper      (with ~/.zfunc in fpath)
  fish   upstash-helper completion fish > ~/.config/fish/completions/upstash-helper.fish
"""


SHELLS: Final = ("bash", "zsh", "fish")


def completion_script(shell: str) -> str:
    """
    Return the script with which ``shell``, one of ``SHELLS``, completes our commands.

    Raises:
        Failure: If there is none for that shell.
    """
    from click.shell_completion import get_completion_class

    from upstash_helper.cli.app import PROGRAM, cli

    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        message = f"There is no completion for {shell}; there is for {', '.join(SHELLS)}."
        raise Failure(message, code="no_such_shell", exit_code=exit_codes.USAGE)
    # Not source(): it starts bash to look at its version, and the script may be made where there is none.
    complete = found(cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".replace("-", "_").upper())
    return complete.source_template % complete.source_vars()


@command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_session
def completion(session: Session, *, shell: str) -> None:
    """Print a script."""
    script = completion_script(shell)
    if session.json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
