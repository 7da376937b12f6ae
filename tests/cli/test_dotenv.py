import json
import shutil
import subprocess

import pytest

from upstash_helper.client.dotenv import EnvFormat, NotExpressible, env_lines

VALUES = {
    "PLAIN": "AXkzACQgMmZ-_.~",
    "URL": "rediss://default:p%40ss@beloved-stallion-58500.upstash.io:6379",
    "REST": "https://host.example/?a=b&c=d#e",
    "EMPTY": "",
    "SPACES": "  a  b  ",
    "DOLLAR": "a$HOME${HOME}$(id)`id`",
    "SINGLE": "it's",
    "DOUBLE": 'say "hi"',
    "BACKSLASH": r"a\b\\n",
    "ALL": "'\"\\$`!#=;&|<>*?~",
    "WORDS": "Grüße, 世界",
}


def output_of_sh(script: str) -> str:
    """Return what a real shell prints."""
    sh = shutil.which("sh")
    if sh is None:
        pytest.skip("platform: there is no sh")
    return subprocess.run([sh, "-c", script], capture_output=True, encoding="utf-8", check=True).stdout


def through_sh(script: str) -> dict[str, str]:
    """Return what a real shell reads from a script."""
    dump = "".join(f"printf '%s\\0' \"${name}\"\n" for name in VALUES)
    return dict(zip(VALUES, output_of_sh(f"{script}\n{dump}").split("\0"), strict=False))


@pytest.mark.parametrize("form", ["dotenv", "shell"])
def test_shell_reads_every_value_back(form: EnvFormat) -> None:
    """
    Sourcing the lines gives exactly the values, whatever characters they contain, and runs nothing.
    """
    assert VALUES == through_sh(env_lines(VALUES, form))


def test_usage_is_in_comments_of_the_file_only() -> None:
    """
    A `.env` file says how to use its variables, in comments. Code for a shell and JSON have the variables only.
    """
    usage = {"redis-py": 'from_url(os.environ["URL"])', "Node.js": "$HOME `id` 'x"}

    lines = env_lines(VALUES, "dotenv", usage)

    assert ['# redis-py: from_url(os.environ["URL"])', "# Node.js: $HOME `id` 'x"] == lines.splitlines()[:2]
    assert VALUES == through_sh(lines)
    for form in ("shell", "powershell", "json"):
        assert env_lines(VALUES, form) == env_lines(VALUES, form, usage)


def test_shell_lines_are_exported() -> None:
    """
    Variables that `eval` sets are in the environment of programs that are started afterwards.
    """
    script = f"{env_lines({'GREETING': 'it works'}, 'shell')}; env"

    assert "GREETING=it works" in output_of_sh(script).splitlines()


@pytest.mark.parametrize("name", ["PLAIN", "URL", "REST", "EMPTY", "SPACES", "DOLLAR", "SINGLE", "DOUBLE", "WORDS"])
def test_simple_values_need_no_escapes(name: str) -> None:
    """
    Readers of `.env` files disagree about escapes, so values contain none if possible.
    """
    line = env_lines({name: VALUES[name]}, "dotenv")

    assert f"{name}={line[len(name) + 1]}{VALUES[name]}{line[-1]}" == line
    assert line[-1] == line[len(name) + 1]
    assert line[-1] in {"'", '"'}


def test_values_with_dollars_are_not_double_quoted() -> None:
    """
    Many readers would expand a variable between double quotes.
    """
    assert "TOKEN='a$b'" == env_lines({"TOKEN": "a$b"}, "dotenv")


def test_json_format_is_one_object() -> None:
    """
    The JSON format is one object.
    """
    assert VALUES == json.loads(env_lines(VALUES, "json"))


def test_powershell_quotes_are_doubled() -> None:
    """
    In PowerShell, single quotes are literal and are doubled inside.
    """
    assert "$env:A = 'it''s $b'" == env_lines({"A": "it's $b"}, "powershell")


@pytest.mark.parametrize("variables", [{"A": "two\nlines"}, {"A": "\x00"}, {"A B": "x"}, {"A;id": "x"}, {"": "x"}])
@pytest.mark.parametrize("form", ["dotenv", "shell", "powershell"])
def test_invalid_name_or_value_is_rejected(variables: dict[str, str], form: EnvFormat) -> None:
    """
    A name or value that could end the line, or be a command, is an error.
    """
    with pytest.raises(NotExpressible):
        env_lines(variables, form)
