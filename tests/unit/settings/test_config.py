"""Settings: where they come from, and what is said of those that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upstash_helper.settings.config import Settings, load_profile
from upstash_helper.settings.profiles import SettingsError, locate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty world."""
    return tmp_path


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"UPSTASH_HELPER_HOME": str(home), **{f"UPSTASH_HELPER_{name}": text for name, text in more.items()}}


def write(home: Path, text: str, profile: str = "") -> Path:
    path = home / "config" / profile / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_the_defaults_hold(home: Path) -> None:
    """A fresh installation asks Upstash itself, on port 3000, and keeps the key in the keyring."""
    settings = load_profile(environ=environ(home)).settings

    assert Settings() == settings
    assert (3000, "keyring", "https://auth.upstash.com", "https://api.upstash.com") == (
        settings.port, settings.credential_store, settings.auth_url, settings.api_url,
    )  # fmt: skip
    assert "http://localhost:3000" == settings.redirect_uri


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(home: Path) -> None:
    """And each setting knows where it came from."""
    path = write(home, 'port = 1111\nlog_level = "debug"\nclient_id = "from-file"\n')

    world = load_profile(environ=environ(home, PORT="2222", LOG_LEVEL="error"), flags={"port": 3333, "client_id": None})

    assert (3333, "error", "from-file") == (world.settings.port, world.settings.log_level, world.settings.client_id)
    assert {
        "port": "flag",
        "log_level": "UPSTASH_HELPER_LOG_LEVEL",
        "client_id": str(path),
    } == world.sources


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1\n", "unknown setting 'prot'. Did you mean 'port'?"),
        ("something_else = 1\n", "unknown setting 'something_else'. Known are:"),
        ("port = 0\n", "setting 'port'"),
        ("port = 70000\n", "setting 'port'"),
        ('port = "3000"\n', "setting 'port'"),
        ('credential_store = "disk"\n', "'keyring', 'file', 'memory'"),
        ('client_id = ""\n', "setting 'client_id'"),
        ('client_id = "a b"\n', "setting 'client_id'"),
        ('api_url = "http://api.upstash.com"\n', "expected https"),
        ('api_url = "ftp://localhost"\n', "expected https"),
        ('auth_url = "https://user:pw@auth.upstash.com"\n', "without user"),
        ('auth_url = "https://[::1"\n', "not a URL"),
        ('rest_url = "https://{database}"\n', "only '{host}'"),
        ("port = \n", "not valid TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_file(home: Path, text: str, said: str) -> None:
    """What, where, and what is taken instead; nothing is ignored."""
    path = write(home, text)

    with pytest.raises(SettingsError) as caught:
        load_profile(environ=environ(home))

    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("PROT", "1"), ("PORT", "many"), ("OPEN_BROWSER", "perhaps")])
def test_a_variable_that_cannot_be_used_is_named(home: Path, name: str, value: str) -> None:
    """A misspelt variable does not go unnoticed."""
    with pytest.raises(SettingsError, match=f"UPSTASH_HELPER_{name}"):
        load_profile(environ=environ(home, **{name: value}))


@pytest.mark.parametrize(("text", "value"), [("false", False), ("0", False), ("true", True), ("1", True)])
def test_text_is_read_as_what_the_setting_is(home: Path, text: str, value: bool) -> None:  # noqa: FBT001 - a parameter
    """Variables are text; so are flags."""
    assert value is load_profile(environ=environ(home, OPEN_BROWSER=text)).settings.open_browser
    assert value is load_profile(environ=environ(home), flags={"open_browser": text}).settings.open_browser


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3100", "http://localhost:3100", "http://[::1]:3100", "https://x.example"]
)
def test_plain_http_is_taken_on_this_machine_alone(home: Path, url: str) -> None:
    """Secrets travel to it: anywhere else it must be https."""
    assert url == load_profile(environ=environ(home, API_URL=url)).settings.api_url


def test_a_file_that_cannot_be_read_is_said(home: Path) -> None:
    """Not a traceback, and not the defaults."""
    path = home / "config" / "config.toml"
    path.mkdir(parents=True)

    with pytest.raises(SettingsError, match="cannot be read"):
        load_profile(environ=environ(home))


def test_profiles_are_worlds_apart(home: Path) -> None:
    """Folders, settings and the keyring's entry are each profile's own."""
    write(home, "port = 1111\n")
    write(home, "port = 2222\n", "profiles/work")

    one, two = (load_profile(profile=name, environ=environ(home)) for name in (None, "work"))

    assert (1111, 2222) == (one.settings.port, two.settings.port)
    assert one.credential_name != two.credential_name
    for folder in ("config", "state", "runtime", "logs"):
        assert getattr(one.folders, folder) != getattr(two.folders, folder)


def test_the_profile_may_come_from_the_environment(home: Path) -> None:
    """The flag is stronger."""
    assert "work" == locate(environ=environ(home, PROFILE="work"))[0]
    assert "play" == locate(profile="play", environ=environ(home, PROFILE="work"))[0]


@pytest.mark.parametrize("name", ["../up", "a/b", "A", "", " ", "x" * 33, "-a", ".", "con:"])
def test_a_profile_that_cannot_be_a_folder_is_refused(home: Path, name: str) -> None:
    """Before any file is touched."""
    if not name:
        assert "default" == locate(profile=name, environ=environ(home))[0]
        return
    with pytest.raises(SettingsError, match="Profile name"):
        locate(profile=name, environ=environ(home))


def test_a_key_belongs_to_the_service_that_made_it(home: Path) -> None:
    """A daemon pointed at a sandbox for a while neither finds the real key nor overwrites it."""
    real = load_profile(environ=environ(home))
    sandbox = load_profile(environ=environ(home, API_URL="http://127.0.0.1:3100"))

    assert real.credential_name != sandbox.credential_name
    assert real.credential_file != sandbox.credential_file


def test_a_world_of_its_own_has_a_keyring_entry_of_its_own(home: Path) -> None:
    """Trying something out below another root does not touch the user's own entry."""
    assert load_profile(environ=environ(home)).credential_name != load_profile(environ={}).credential_name
    assert "default" == load_profile(environ={}).credential_name


@pytest.mark.parametrize(
    ("text", "environ", "flags", "said"),
    [
        ("api_port = 27000\n", {}, {}, "config.toml: setting 'api_port': it is used with port_policy = \"on-demand\""),
        ("", {"UPSTASH_HELPER_API_PORT": "27000"}, {}, "UPSTASH_HELPER_API_PORT: setting 'api_port': it is used with"),
        ("", {}, {"api_port": "27000"}, "flag: setting 'api_port': it is used with"),
        ('port_policy = "on-demand"\napi_port = 27000\n', {}, {"port_policy": "always"}, "config.toml: setting"),
        ('port_policy = "on-demand"\napi_port = 3000\n', {}, {}, "3000 is the port of sign-ins"),
        ('port_policy = "on-demand"\nport = 26300\n', {}, {"api_port": "26300"}, "flag: setting 'api_port': 26300 is"),
        ('port_policy = "ondemand"\n', {}, {}, "'always', 'on-demand'"),
    ],
)
def test_ports_that_would_not_be_used_are_refused(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, object], said: str
) -> None:
    """A port that is silently ignored is worse than none; and the two ports cannot be one."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(text)

    with pytest.raises(SettingsError) as refused:
        load_profile(environ={"UPSTASH_HELPER_HOME": str(tmp_path), **environ}, flags=flags)

    assert said in str(refused.value)


@pytest.mark.parametrize("seconds", [0, 5, 86_400])
def test_how_long_an_idle_daemon_stays(seconds: int) -> None:
    """For ever, or long enough for a service manager not to take its leaving for a failure."""
    assert seconds == load_profile(environ={"UPSTASH_HELPER_IDLE_EXIT": str(seconds)}).settings.idle_exit


@pytest.mark.parametrize("seconds", [-1, 1, 4, 86_401])
def test_a_daemon_that_would_leave_too_soon_is_refused(tmp_path: Path, seconds: int) -> None:
    """In a file, in the environment and as a flag."""
    (tmp_path / "config").mkdir()
    home = {"UPSTASH_HELPER_HOME": str(tmp_path)}

    with pytest.raises(SettingsError, match="UPSTASH_HELPER_IDLE_EXIT: setting 'idle_exit': "):
        load_profile(environ={**home, "UPSTASH_HELPER_IDLE_EXIT": str(seconds)})
    with pytest.raises(SettingsError, match="flag: setting 'idle_exit': "):
        load_profile(environ=home, flags={"idle_exit": str(seconds)})
    (tmp_path / "config" / "config.toml").write_text(f"idle_exit = {seconds}\n")
    with pytest.raises(SettingsError, match=r"config\.toml: setting 'idle_exit': "):
        load_profile(environ=home)


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({}, (3000,)),
        ({"port": 3333}, (3333,)),
        ({"port_policy": "on-demand"}, (26300, 26301, 26302)),
        ({"port_policy": "on-demand", "port": 26301}, (26300, 26302)),
        ({"port_policy": "on-demand", "api_port": 27000}, (27000,)),
    ],
)
def test_where_the_api_may_be(tmp_path: Path, values: dict[str, object], ports: tuple[int, ...]) -> None:
    """On the one port of everything; or on a port of its own, which is never that of sign-ins."""
    settings = load_profile(environ={"UPSTASH_HELPER_HOME": str(tmp_path)}, flags=values).settings

    assert ports == settings.api_ports
    assert f"http://localhost:{settings.port}" == settings.redirect_uri
