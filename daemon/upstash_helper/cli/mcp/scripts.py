"""
Which script an interpreter runs, from its command line.

The account of a token depends on it, so a wrong answer would give an agent another agent's token. Therefore, whatever
is not certain counts as unknown: an option that may take the following word as its value, a name that is not a file,
code in the arguments, a relative path. (The process may have changed its working directory since it was started.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.system import starters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.system.starters import Process

_INTERPRETERS: Final = frozenset(
    {
        "bun", "deno", "dotnet", "electron", "java", "javaw", "julia", "lua", "luajit", "node", "nodejs", "perl", "php",
        "pypy", "python", "pythonw", "ruby",
    }
)  # fmt: skip
_PYTHONS: Final = ("python", "pypy")
_SUBCOMMANDS: Final = {"bun": ("run", "x", "exec"), "deno": ("run", "x", "exec"), "dotnet": ("exec",)}
_CODE: Final = re.compile(r"-[cep]|--(eval|print|run)(=.*)?", re.DOTALL)
_OF_NODE: Final = frozenset(
    {"-C", "--conditions", "--env-file", "--experimental-loader", "--import", "--loader", "-r", "--require"}
)
_FLAGS_OF_NODE: Final = re.compile(r"--(enable-.+|expose-gc|inspect|inspect-brk|no-.+|preserve-symlinks|watch)")
# Options whose value is always the next word. The same letter can mean something else for another interpreter: with -r,
# PHP runs code, and Deno takes no value.
_WITH_VALUE: Final = {
    "bun": frozenset({"--import", "--preload", "-r", "--require"}),
    "deno": frozenset({"--config", "--import-map"}),
    "java": frozenset({"-cp", "-classpath", "--class-path"}),
    "javaw": frozenset({"-cp", "-classpath", "--class-path"}),
    "node": _OF_NODE,
    "nodejs": _OF_NODE,
}
# Options that never take the next word.
_WITHOUT_VALUE: Final = {
    "bun": re.compile(r"--(bun|hot|smol|watch|inspect|no-.+)"),
    "deno": re.compile(r"-A|--(allow-.+|inspect|no-.+|quiet|unstable-.+)"),
    "java": re.compile(r"-jar|-[DX].+"),
    "javaw": re.compile(r"-jar|-[DX].+"),
    "node": _FLAGS_OF_NODE,
    "nodejs": _FLAGS_OF_NODE,
    "perl": re.compile(r"-[wT]"),
    "ruby": re.compile(r"-w"),
}
_NONE: Final = re.compile(r"(?!)")
_PYTHON_FLAGS: Final = frozenset("bBdEhiIOPqRsSuvx")
_SAFE_PATH: Final = "IP"
"""Without these, a module is first looked for in the working directory."""
# For these, a name without a dot or slash is a package, a task, or (for Java) a class.
_NAMES_ARE_NO_FILES: Final = ("bun", "deno", "dotnet", "java", "javaw")


def interpreter_of(executable: str) -> str:
    """Return the name of an interpreter without its version; an empty string for any other program."""
    name = re.sub(r"[\d.]+t?$", "", starters.name_of(executable))
    return name if name in _INTERPRETERS else ""


def script_of(process: Process) -> str:
    """
    Return the absolute path of the script that an interpreter runs; for a module of Python, the path of the interpreter
    and the module, because each virtual environment has its own modules. Return an empty string if it is unknown.
    """
    interpreter = interpreter_of(process.executable)
    words = iter(process.words[1:])
    if interpreter.startswith(_PYTHONS):
        return _of_python(process, words)
    subcommands = _SUBCOMMANDS.get(interpreter, ())
    with_value = _WITH_VALUE.get(interpreter, frozenset())
    without_value = _WITHOUT_VALUE.get(interpreter, _NONE)
    is_value = False  # whether the next word may be the value of an option
    for word in words:
        if word == "--":
            return _existing(next(words, ""))
        if word.startswith("-"):
            is_long = word.startswith("--")
            is_known = word in with_value or without_value.fullmatch(word) is not None
            if _CODE.fullmatch(word) or not (is_long or is_known):
                return ""
            is_value = not is_known and "=" not in word
            if word in with_value:
                next(words, "")
        elif is_value:
            return ""
        elif word in subcommands:
            subcommands = ()
        else:
            is_name = interpreter in _NAMES_ARE_NO_FILES and not re.search(r"[./\\]", word)
            return "" if is_name else _existing(word)
    return ""


def _of_python(process: Process, words: Iterator[str]) -> str:
    """Python's options are letters. Several can be one word, and the last one can have a value."""
    is_safe = False
    for word in words:
        if word == "--check-hash-based-pycs":
            next(words, "")
            continue
        if not word.startswith("-"):
            return _existing(word)
        for place, letter in enumerate(word[1:], 2):
            if letter in _PYTHON_FLAGS:
                is_safe = is_safe or letter in _SAFE_PATH
                continue
            if letter not in "mWX":
                return ""
            value = word[place:] or next(words, "")
            if letter == "m":
                return _module(process, value) if is_safe else ""
            break
        if word == "-":
            return ""
    return ""


def _module(process: Process, module: str) -> str:
    # The system reports the file of the interpreter, which many virtual environments share. The one that was started is
    # in the command line; if the shell found it on the PATH, it is unknown.
    interpreter = _existing(process.words[0])
    return f"{interpreter} -m {module}" if interpreter and module.partition(".")[0] else ""


def _existing(word: str) -> str:
    path = Path(word)
    try:
        return str(path) if path.is_absolute() and path.exists() else ""
    except (OSError, ValueError):
        return ""
