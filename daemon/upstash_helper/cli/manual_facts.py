"""What a manual page tells beside the commands: the settings as variables, and the files."""

from __future__ import annotations

import ast
import inspect
import itertools
import typing
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.settings.config.config import Settings
from upstash_helper.settings.profiles import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
