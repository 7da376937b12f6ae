"""What ``install`` puts beside the service for the user's shell: completion scripts and man pages."""

from __future__ import annotations

import sys
from typing import Final

from upstash_helper.cli.manual.completion import completion_script
from upstash_helper.cli.manual.pages import man_pages

# Below XDG_DATA_HOME, where each shell looks by itself; zsh if its fpath has the folder.
_COMPLETIONS: Final = {
    "bash": "bash-completion/completions/upstash-helper",
    "zsh": "zsh/site-functions/_upstash-helper",
    "fish": "fish/vendor_completions.d/upstash-helper.fish",
}


def documents() -> dict[str, str]:
    """Return their texts by their paths below ``XDG_DATA_HOME``; none on Windows, which has neither."""
    if sys.platform == "win32":
        return {}
    texts = {path: completion_script(shell).lstrip("\n") for shell, path in _COMPLETIONS.items()}
    return texts | {f"man/man1/{name}": text for name, text in man_pages().items()}
