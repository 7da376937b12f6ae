"""The flags of ``run``, ``start``, and ``restart``, and their one parser."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from tests.support.daemon import clean_environment
from upstash_helper.cli.app import cli
from upstash_helper.cli.daemon.run_flags import (
    JSON,
    RUN_SWITCHES,
    SETTING_FLAGS,
    SETTING_SWITCHES,
    RunRequest,
    RunUsageError,
    parse_command_line,
    parse_flags,
)
from upstash_helper.settings.config import Settings


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run"], RunRequest(None, {})),
        (["--profile", "dev", "run"], RunRequest("dev", {})),
        (["--profile=dev", "run", "--port", "4000"], RunRequest("dev", {"port": "4000"})),
        (["run", "--port=4000", "--no-browser"], RunRequest(None, {"port": "4000", "open_browser": False})),
        (["run", "--no-notifications"], RunRequest(None, {"notifications": False})),
        (["run", "--stop-with-parent"], RunRequest(None, {}, stop_with_parent=True)),
        (["run", "--wait-for-port", "--json"], RunRequest(None, {}, wait_for_port=True, as_json=True)),
        (["run", "--rest-url", "https://{host}/a=b"], RunRequest(None, {"rest_url": "https://{host}/a=b"})),
        (["run", "--client-id", "-x-"], RunRequest(None, {"client_id": "-x-"})),
        (["run", "--client-id=--port"], RunRequest(None, {"client_id": "--port"})),
        (["run", "--port", "4000", "--port", "4001"], RunRequest(None, {"port": "4001"})),
        (["run", "--port="], RunRequest(None, {"port": ""})),
    ],
)
def test_run_command_line_is_parsed(arguments: list[str], expected: RunRequest) -> None:
    """
    Values follow their flag or an equals sign, and of a repeated flag the last value counts.
    """
    assert expected == parse_command_line(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["status"],
        ["run", "--help"],
        ["run", "--port", "4000", "-h"],
        ["--profile", "run"],
        ["--version", "run"],
        ["status", "run"],
    ],
)
def test_other_command_lines_are_left_to_click(arguments: list[str]) -> None:
    """
    Other commands, and help, need click.
    """
    assert parse_command_line(arguments) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port"], "Option '--port' requires an argument."),
        (["--port", "--no-browser"], "Option '--port' requires an argument."),
        (["--port", "--client-id=x"], "Option '--port' requires an argument."),
        (["--no-browser=yes"], "Option '--no-browser' does not take a value."),
        (["--json=yes"], "Option '--json' does not take a value."),
        (["--prot", "4000"], "No such option '--prot'. Did you mean '--port'?"),
        (["--prot=4000"], "No such option '--prot'. Did you mean '--port'?"),
        (["-x"], "No such option '-x'."),
        (["--"], "No such option '--'."),
        (["extra"], "Unexpected argument 'extra'."),
    ],
)
def test_invalid_flag_is_named(arguments: list[str], message: str) -> None:
    """
    The error names the argument, and the flag that was probably meant.
    """
    with pytest.raises(RunUsageError) as caught:
        parse_flags(arguments, switches=RUN_SWITCHES)

    assert message == str(caught.value)


def test_switches_of_run_are_unknown_to_start() -> None:
    """
    A background daemon neither stops with its parent nor waits for its port.
    """
    with pytest.raises(RunUsageError, match="--wait-for-port"):
        parse_flags(["--wait-for-port"], switches=frozenset({JSON}))


def test_every_setting_has_a_flag() -> None:
    """
    Every flag is a setting, and every setting has a flag.
    """
    assert set(Settings.__struct_fields__) == {flag.setting for flag in (*SETTING_FLAGS, *SETTING_SWITCHES)}


@pytest.mark.parametrize(("command", "switches"), [("run", RUN_SWITCHES), ("start", {JSON}), ("restart", {JSON})])
def test_help_has_the_parsers_flags(command: str, switches: set[str]) -> None:
    """
    The flags in the help, which click declares, are those that the parser knows.
    """
    found = cli.get_command(click.Context(cli, **cli.context_settings), command)
    assert found is not None

    options = {option for parameter in found.params for option in parameter.opts}

    assert {flag.flag for flag in (*SETTING_FLAGS, *SETTING_SWITCHES)} | set(switches) == options


def test_run_does_not_import_click() -> None:
    """
    The daemon parses its flags without click, whose memory it would hold for its whole life.
    """
    script = (
        "import sys\n"
        "sys.argv = ['upstash-helper', 'run', '--port', 'http']\n"
        "from upstash_helper.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code, 'click' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=clean_environment(), check=True
    )

    assert "2 False\n" == done.stdout
    assert "setting 'port'" in done.stderr
