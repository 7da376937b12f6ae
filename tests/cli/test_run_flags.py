import click
import pytest

from upstash_helper.cli.app import cli
from upstash_helper.cli.daemon.run_flags import RUN_FLAGS, SWITCHES, RunRequest, read_plainly
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
        (["run", "--rest-url", "https://{host}/a=b"], RunRequest(None, {"rest_url": "https://{host}/a=b"})),
    ],
)
def test_plain_starts_are_read(arguments: list[str], expected: RunRequest) -> None:
    """
    The usual ways to start the daemon are understood without click.
    """
    assert expected == read_plainly(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["status"],
        ["run", "--help"],
        ["run", "-h"],
        ["run", "--json"],
        ["run", "--port"],
        ["run", "--port", "--no-browser"],
        ["run", "--prot", "4000"],
        ["run", "extra"],
        ["--profile", "run"],
        ["--version", "run"],
        ["status", "run"],
    ],
)
def test_everything_else_is_left_to_click(arguments: list[str]) -> None:
    """
    What is not plain is left to click, which explains it.
    """
    assert read_plainly(arguments) is None


def test_flags_are_settings() -> None:
    """
    Every flag of `run` stands for a setting, and every setting has a flag.
    """
    assert set(Settings.__struct_fields__) == {flag.setting for flag in (*RUN_FLAGS, *SWITCHES)}


def test_click_knows_the_same_flags() -> None:
    """
    The flags that are read plainly are those in the help of `run`.
    """
    command = cli.get_command(click.Context(cli), "run")
    assert command is not None

    options = {option for parameter in command.params for option in parameter.opts}

    others = {"--stop-with-parent", "--wait-for-port", "--json"}
    assert {flag.flag for flag in (*RUN_FLAGS, *SWITCHES)} | others == options
