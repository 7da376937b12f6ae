"""Commands where no daemon runs, and commands that are wrong: sentences and exit codes, never a traceback."""

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
async def test_absent_daemon_is_a_sentence_with_the_command(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """
    Where no daemon runs, every command that needs it says how to start it, and exits with 3.
    """
    ran = await run_cli(*arguments, environment=environment, typed="")

    assert (exit_codes.NOT_RUNNING, "") == (ran.code, ran.out)
    assert "The daemon is not running. Start it with: upstash-helper start\n" == ran.err


@pytest.mark.parametrize("arguments", NEEDS_DAEMON, ids=" ".join)
async def test_with_json_the_error_is_json(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """
    With --json nothing but JSON is written: the result to stdout, a problem to stderr.
    """
    ran = await run_cli(*arguments, "--json", environment=environment, typed="")

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.NOT_RUNNING, "") == (ran.code, ran.out)
    assert "daemon_unreachable" == problem["code"]
    assert exit_codes.NOT_RUNNING == problem["exit_code"]


async def test_the_command_is_the_profiles(environment: dict[str, str]) -> None:
    """
    The command that is shown starts the daemon of the profile that was asked for.
    """
    ran = await run_cli("--profile", "staging", "status", environment=environment)

    assert "upstash-helper --profile staging start" in ran.err


async def test_looking_makes_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """
    Commands that only look leave no folder behind.
    """
    await run_cli("status", environment=environment)
    await run_cli("config", "show", environment=environment)
    await run_cli("doctor", environment=environment)

    assert [] == list(tmp_path.iterdir())


async def test_stopping_what_does_not_run_is_done(environment: dict[str, str]) -> None:
    """
    After `stop` no daemon runs; where none ran before, that is so already.
    """
    ran = await run_cli("stop", "--json", environment=environment)

    assert (0, {"was_running": False}) == (ran.code, ran.json)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
async def test_foreign_discovery_file_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    """
    A discovery file that others could have written is refused with its path and the way out.
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
    ("arguments", "said"),
    [
        (("--profile", "No/Such", "status"), "Profile name 'No/Such'"),
        (("nonsense",), "No such command 'nonsense'"),
        (("status", "--nonsense"), "No such option"),
        (("databases", "create", "x"), "Missing option '--region'"),
        (("databases", "create"), "Missing argument 'NAME'"),
        (("databases", "create", "x", "--region", "r", "--budget", "-1"), "--budget"),
        (("databases", "create", "x", "--region", "r", "--plan", "golden"), "'golden' is not one of"),
        (("databases", "update", "x"), "Name what to change"),
        (("databases", "update", "x", "--read-region", "a", "--no-read-regions"), "either"),
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
async def test_wrong_usage_is_explained(environment: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    """
    A wrong command line exits with 2 and says what is wrong with it.
    """
    ran = await run_cli(*arguments, environment=environment)

    assert (exit_codes.USAGE, "") == (ran.code, ran.out)
    assert said in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["run", "start", "restart", "config show"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prot = 4000", "unknown setting 'prot'. Did you mean 'port'?"),
        ('port = "4000"', "setting 'port'"),
        ("port = 4000\nport = 4001", "not valid TOML"),
        ("port =", "not valid TOML"),
    ],
)
async def test_wrong_settings_are_explained(
    environment: dict[str, str], tmp_path: Path, command: str, content: str, said: str
) -> None:
    """
    A setting that cannot be used is named with its file, and no daemon is started.
    """
    file = tmp_path / "home" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")

    ran = await run_cli(*command.split(), environment=environment)

    assert exit_codes.USAGE == ran.code
    assert str(file) in ran.err
    assert said in ran.err


async def test_usage_errors_are_json_too(environment: dict[str, str]) -> None:
    """
    With --json a wrong command line is a problem in JSON as well.
    """
    ran = await run_cli("databases", "create", "x", "--json", environment=environment)

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.USAGE, "usage") == (ran.code, problem["code"])
    assert "--region" in problem["detail"]


async def test_help_tells_the_exit_codes(environment: dict[str, str]) -> None:
    """
    The help lists every command and every exit code.
    """
    ran = await run_cli("--help", environment=environment)

    assert 0 == ran.code
    assert all(meaning in ran.out for meaning in exit_codes.MEANING.values())
    assert all(f"\n  {name} " in ran.out for name in ("status", "connect", "databases", "doctor", "demo"))


async def test_settings_say_where_they_come_from(environment: dict[str, str], tmp_path: Path) -> None:
    """
    `config show` has every setting's value and what gave it.
    """
    file = tmp_path / "home" / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('port = 4000\nclient_id = "from-file"', encoding="utf-8")

    ran = await run_cli("config", "show", "--json", environment=environment | {"UPSTASH_HELPER_CLIENT_ID": "from-env"})

    settings = ran.json["settings"]
    assert {"value": 4000, "source": str(file)} == settings["port"]
    assert {"value": "from-env", "source": "UPSTASH_HELPER_CLIENT_ID"} == settings["client_id"]
    assert {"value": "info", "source": "default"} == settings["log_level"]


async def test_settings_are_a_table(environment: dict[str, str]) -> None:
    """
    For a person the settings are a table with a header.
    """
    ran = await run_cli("config", "show", environment=environment)

    lines = ran.out.splitlines()
    assert ["SETTING", "VALUE", "FROM"] == lines[0].split()
    assert ["port", "3000", "default"] in [line.split() for line in lines]


async def test_settings_file_has_a_path_before_it_exists(environment: dict[str, str], tmp_path: Path) -> None:
    """
    `config path` names the file to write, so that it can be given to an editor.
    """
    ran = await run_cli("config", "path", environment=environment)

    assert f"{tmp_path / 'home' / 'config' / 'config.toml'}\n" == ran.out


@pytest.mark.parametrize("arguments", [("config", "show"), ("--help",), ("completion", "bash")])
def test_a_reader_that_leaves_is_no_error(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """
    Piped into `head`, a command ends without a complaint.
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
        said = process.stderr.read()
        process.wait(30)

    assert not said


def test_commands_load_only_what_they_need(environment: dict[str, str]) -> None:
    """
    A command that asks the daemon loads neither the daemon nor its HTTP library nor the keyring.
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

    assert "[]\n" == done.stdout


def test_the_folder_where_one_is_runs_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """
    A module in the folder of the user is not taken for the library when the daemon is started.
    """
    (tmp_path / "aiohttp.py").write_text("raise SystemExit('hijacked')", encoding="utf-8")
    (tmp_path / "msgspec.py").write_text("raise SystemExit('hijacked')", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "upstash_helper", "start", "--port", str(free_port()), "--no-browser"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip

    assert "hijacked" not in done.stdout + done.stderr
    subprocess.run([sys.executable, "-P", "-m", "upstash_helper", "stop"], env=environment, check=True, cwd=tmp_path)
