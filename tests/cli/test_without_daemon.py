"""Commands without a daemon, and invalid commands: error messages and exit codes, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment, free_port
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from pathlib import Path

NEEDS_DAEMON = [
    ("status",),
    ("connect",),
    ("connect", "--api-key", "--email", "a@b.example"),
    ("disconnect", "--yes"),
    ("databases", "list"),
    ("databases", "get", "x"),
    ("databases", "credentials", "x"),
    ("databases", "env", "x"),
    ("databases", "regions"),
    ("databases", "create", "x", "--region", "us-east-1"),
    ("databases", "rename", "x", "y"),
    ("databases", "update", "x", "--eviction"),
    ("databases", "reset-password", "x"),
    ("databases", "delete", "x"),
    ("approvals", "list"),
    ("approvals", "approve", "x", "--yes"),
    ("approvals", "deny"),
    ("approvals", "block", "x", "--yes"),
    ("approvals", "blocked"),
    ("approvals", "unblock", "x"),
    ("apps", "list"),
    ("apps", "show", "x"),
    ("apps", "rename", "x", "y"),
    ("apps", "revoke", "x", "--yes"),
    ("audit",),
    ("events",),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has never run the helper."""
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path / "home")}


@pytest.mark.parametrize("arguments", NEEDS_DAEMON, ids=" ".join)
async def test_stopped_daemon_shows_how_to_start_it(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """
    Every command that needs the daemon shows the command that starts it, and exits with 3.
    """
    ran = await run_cli(*arguments, environment=environment, typed="")

    assert (exit_codes.NOT_RUNNING, "") == (ran.code, ran.out)
    *progress, problem = ran.err.splitlines()  # what takes longer than a second is shown
    assert "The daemon is not running. Start it with: upstash-helper start" == problem
    assert all(line.endswith("…") for line in progress)


@pytest.mark.parametrize("arguments", NEEDS_DAEMON, ids=" ".join)
async def test_error_is_json_with_json(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """
    With --json only JSON is written: results to stdout, errors to stderr.
    """
    ran = await run_cli(*arguments, "--json", environment=environment, typed="")

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.NOT_RUNNING, "") == (ran.code, ran.out)
    assert "daemon_unreachable" == problem["code"]
    assert exit_codes.NOT_RUNNING == problem["exit_code"]


async def test_suggested_command_has_the_profile(environment: dict[str, str]) -> None:
    """
    The suggested command starts the daemon of the requested profile.
    """
    ran = await run_cli("--profile", "staging", "status", environment=environment)

    assert "upstash-helper --profile staging start" in ran.err


async def test_read_only_commands_create_no_files(environment: dict[str, str], tmp_path: Path) -> None:
    """
    Commands that only read create no folder.
    """
    await run_cli("status", environment=environment)
    await run_cli("config", "show", environment=environment)
    await run_cli("doctor", environment=environment)

    assert [] == list(tmp_path.iterdir())


async def test_stop_without_a_daemon_succeeds(environment: dict[str, str]) -> None:
    """
    `stop` succeeds if the daemon is not running.
    """
    ran = await run_cli("stop", "--json", environment=environment)

    assert (0, {"was_running": False}) == (ran.code, ran.json)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
async def test_writable_discovery_file_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    """
    A discovery file that others can write to is refused, with its path and the fix.
    """
    runtime = tmp_path / "home" / "run"
    runtime.mkdir(parents=True)
    discovery.discovery_file(runtime).write_text("{}", encoding="utf-8")
    discovery.discovery_file(runtime).chmod(0o666)

    ran = await run_cli("status", environment=environment)

    assert exit_codes.FAILURE == ran.code
    assert str(discovery.discovery_file(runtime)) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--profile", "No/Such", "status"), "Profile name 'No/Such'"),
        (("nonsense",), "No such command 'nonsense'"),
        (("conect",), "No such command 'conect'. Did you mean 'connect'?"),
        (("databases", "lst"), "No such command 'lst'. Did you mean 'list'?"),
        (("logs",), "No such command 'logs'. Did you mean 'service logs'?"),
        (("create", "orders"), "No such command 'create'. Did you mean 'databases create'?"),
        (("status", "--nonsense"), "No such option '--nonsense'."),
        (("connect", "--forse"), "No such option '--forse'. Did you mean '--force'?"),
        (("run", "--prot", "4000"), "No such option '--prot'. Did you mean '--port'?"),
        (("start", "--prot", "4000"), "No such option '--prot'. Did you mean '--port'?"),
        (("databases", "create", "x"), "Missing option '--region'"),
        (("databases", "create"), "Missing argument 'NAME'"),
        (("databases", "create", "x", "--region", "r", "--budget", "-1"), "--budget"),
        (("databases", "create", "x", "--region", "r", "--plan", "golden"), "'golden' is not one of"),
        (("databases", "update", "x"), "Nothing to change"),
        (("databases", "update", "x", "--read-region", "a", "--no-read-regions"), "cannot be used together"),
        (("connect", "--timeout", "0"), "--timeout"),
        (("completion", "csh"), "'csh' is not one of"),
        (("run", "--port", "0"), "setting 'port'"),
        (("run", "--port", "http"), "setting 'port'"),
        (("start", "--credential-store", "paper"), "setting 'credential_store'"),
        (("run", "--auth-url", "http://evil.example"), "setting 'auth_url'"),
        (("run", "--api-url"), "requires an argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_usage_error_names_the_mistake(
    environment: dict[str, str], arguments: tuple[str, ...], reported: str
) -> None:
    """
    An invalid command line exits with 2 and names the mistake.
    """
    ran = await run_cli(*arguments, environment=environment)

    assert (exit_codes.USAGE, "") == (ran.code, ran.out)
    assert reported in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["run", "start", "restart", "config show"])
@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("prot = 4000", "unknown setting 'prot'. Did you mean 'port'?"),
        ('port = "4000"', "setting 'port'"),
        ("port = 4000\nport = 4001", "not valid TOML"),
        ("port =", "not valid TOML"),
    ],
)
async def test_invalid_setting_names_its_file(
    environment: dict[str, str], tmp_path: Path, command: str, content: str, reported: str
) -> None:
    """
    An invalid setting is named with its file, and no daemon is started.
    """
    file = tmp_path / "home" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")

    ran = await run_cli(*command.split(), environment=environment)

    assert exit_codes.USAGE == ran.code
    assert str(file) in ran.err
    assert reported in ran.err


async def test_usage_error_is_json_with_json(environment: dict[str, str]) -> None:
    """
    With --json a usage error is printed as JSON.
    """
    ran = await run_cli("databases", "create", "x", "--json", environment=environment)

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.USAGE, "usage") == (ran.code, problem["code"])
    assert "--region" in problem["detail"]


async def test_help_lists_commands_and_exit_codes(environment: dict[str, str]) -> None:
    """
    The help lists every command and every exit code.
    """
    ran = await run_cli("--help", environment=environment)

    assert 0 == ran.code
    assert all(meaning in ran.out for meaning in exit_codes.MEANING.values())
    assert all(f"\n  {name} " in ran.out for name in ("status", "connect", "databases", "doctor", "demo"))


async def test_config_show_has_values_and_sources(environment: dict[str, str], tmp_path: Path) -> None:
    """
    `config show` has every setting with its value and source.
    """
    file = tmp_path / "home" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('port = 4000\nclient_id = "from-file"', encoding="utf-8")

    ran = await run_cli("config", "show", "--json", environment=environment | {"UPSTASH_HELPER_CLIENT_ID": "from-env"})

    settings = ran.json["settings"]
    assert {"value": 4000, "source": str(file)} == settings["port"]
    assert {"value": "from-env", "source": "UPSTASH_HELPER_CLIENT_ID"} == settings["client_id"]
    assert {"value": "info", "source": "default"} == settings["log_level"]


async def test_config_show_is_a_table(environment: dict[str, str]) -> None:
    """
    For people the settings are a table with a header.
    """
    ran = await run_cli("config", "show", environment=environment)

    lines = ran.out.splitlines()
    assert ["SETTING", "VALUE", "SOURCE"] == lines[0].split()
    assert ["port", "3000", "default"] in [line.split() for line in lines]


async def test_config_path_works_before_the_file_exists(environment: dict[str, str], tmp_path: Path) -> None:
    """
    `config path` prints the path, so that it can be passed to an editor.
    """
    ran = await run_cli("config", "path", environment=environment)

    assert f"{tmp_path / 'home' / 'config' / 'config.toml'}\n" == ran.out


@pytest.mark.parametrize("arguments", [("config", "show"), ("--help",), ("completion", "bash")])
def test_closed_pipe_is_no_error(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """
    Piped into `head`, a command ends without an error message.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        reported = process.stderr.read()
        process.wait(30)

    assert not reported


@pytest.mark.parametrize(
    ("arguments", "heading"),
    [((), "Setup and diagnosis:"), (("databases",), "Commands:"), (("service",), "Commands:")],
    ids=["root", "databases", "service"],
)
async def test_group_without_a_command_prints_its_help(
    environment: dict[str, str], arguments: tuple[str, ...], heading: str
) -> None:
    """
    As with `gh` and `kubectl`, that is no error: the help is the result.
    """
    ran = await run_cli(*arguments, environment=environment)
    helped = await run_cli(*arguments, "--help", environment=environment)

    assert (0, "", helped.out) == (ran.code, ran.err, ran.out)
    assert heading in ran.out


async def test_help_lists_sections_in_order(environment: dict[str, str]) -> None:
    """
    Account, databases, apps, the daemon, and setup, and then examples.
    """
    ran = await run_cli("--help", environment=environment)

    headings = [line for line in ran.out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert [
        "Options:", "Account:", "Databases:", "Apps:", "Daemon:", "Setup and diagnosis:", "Examples:",
    ] == headings  # fmt: skip


async def test_examples_are_shown_with_a_prompt(environment: dict[str, str]) -> None:
    """
    A command that can be used in several ways shows how, with comments.
    """
    ran = await run_cli("databases", "env", "--help", environment=environment)

    assert "\nExamples:\n  # Append the variables to a .env file\n  $ upstash-helper databases env" in ran.out


def test_help_imports_no_command(environment: dict[str, str]) -> None:
    """
    `upstash-helper --help` does not import the commands that it lists.
    """
    script = (
        "import sys\n"
        "from upstash_helper.cli.app import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('upstash_helper.cli.commands')])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)

    assert done.stdout.endswith("[]\n")


def test_commands_import_only_what_they_need(environment: dict[str, str]) -> None:
    """
    A command that asks the daemon imports neither the daemon, nor its HTTP library, nor the keyring.

    Without psutil, only Linux reports whose program listens on a port.
    """
    script = (
        "import sys\n"
        "from upstash_helper.cli.app import cli\n"
        "try: cli.main(['status'])\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'asyncio', 'keyring', 'psutil', 'redis', 'oauthlib', 'upstash_helper.runtime.serve'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)

    assert f"{[] if sys.platform == 'linux' else ['psutil']}\n" == done.stdout


def test_working_directory_is_not_imported_from(environment: dict[str, str], tmp_path: Path) -> None:
    """
    A module in the working directory does not replace a library when the daemon is started.
    """
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('hijacked')", encoding="utf-8")
    (tmp_path / "msgspec.py").write_text("raise SystemExit('hijacked')", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "upstash_helper", "start", "--port", str(free_port()), "--no-browser"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip

    assert "hijacked" not in done.stdout + done.stderr
    subprocess.run([sys.executable, "-P", "-m", "upstash_helper", "stop"], env=environment, check=True, cwd=tmp_path)
