"""Settings: their sources and precedence, and the errors for invalid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upstash_helper.settings.config import Settings, load_profile
from upstash_helper.settings.profiles import SettingsError, locate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty ``UPSTASH_HELPER_HOME``."""
    return tmp_path


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"UPSTASH_HELPER_HOME": str(home), **{f"UPSTASH_HELPER_{name}": text for name, text in more.items()}}


def write(home: Path, text: str, profile: str = "") -> Path:
    path = home / "config" / profile / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults(home: Path) -> None:
    """A new installation uses Upstash, port 3000, and the keyring."""
    settings = load_profile(environ=environ(home)).settings

    assert Settings() == settings
    assert (3000, "keyring", "https://auth.upstash.com", "https://api.upstash.com") == (
        settings.port, settings.credential_store, settings.auth_url, settings.api_url,
    )  # fmt: skip
    assert "http://localhost:3000" == settings.redirect_uri


LOOPBACK = dict.fromkeys(("AUTH_URL", "ISSUER_URL", "API_URL", "REST_URL"), "http://127.0.0.1:4000")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "it requires a local sandbox (upstash-helper sandbox), but api_url is https://api.upstash.com"),
        ({**LOOPBACK, "REST_URL": "https://{host}"}, "but rest_url is https://{host}"),
        ({**LOOPBACK, "ISSUER_URL": "https://clerk.upstash.com"}, "but issuer_url is https://clerk.upstash.com"),
        ({**LOOPBACK, "API_URL": "https://localhost.example.com"}, "but api_url is https://localhost.example.com"),
        ({**LOOPBACK, "CLIENT_ID": "app", "AUTH_URL": "https://auth.upstash.com"}, "but auth_url is https://auth"),
        (LOOPBACK, "it cannot be combined with the keyring"),
        ({**LOOPBACK, "CREDENTIAL_STORE": "keyring"}, "it cannot be combined with the keyring"),
    ],
)
def test_auto_approve_is_only_for_a_sandbox(home: Path, more: dict[str, str], text: str) -> None:
    """One URL that may lead to Upstash, or the user's keyring, is enough to refuse it. The error names the source."""
    variables = {"CREDENTIAL_STORE": "memory"} | more if more is not LOOPBACK else more

    with pytest.raises(SettingsError) as caught:
        load_profile(environ=environ(home, AUTO_APPROVE="true", **variables))

    assert str(caught.value).startswith("UPSTASH_HELPER_AUTO_APPROVE: setting 'auto_approve': ")
    assert text in str(caught.value)


def test_auto_approve_has_a_ledger_of_its_own(home: Path) -> None:
    """A daemon of the same profile without the setting does not know the apps that were approved automatically."""
    variables = {**LOOPBACK, "CREDENTIAL_STORE": "memory"}

    profiles = [load_profile(environ=environ(home, **variables), flags={"auto_approve": it}) for it in (True, False)]

    assert ["ledger-auto-approve.db", "ledger.db"] == [it.ledger_file.name for it in profiles]


def test_auto_approve_is_refused_in_a_profile_with_a_real_credential(home: Path) -> None:
    """Only the file for Upstash's own API counts. Without auto_approve, nothing is refused."""
    variables = {**LOOPBACK, "CREDENTIAL_STORE": "file"}
    on, off = (load_profile(environ=environ(home, **variables), flags={"auto_approve": it}) for it in (True, False))
    on.folders.state.mkdir(parents=True)
    on.credential_file.touch()
    on.require_no_real_credential()
    real = load_profile(environ=environ(home, CREDENTIAL_STORE="file")).credential_file
    real.touch()

    off.require_no_real_credential()
    with pytest.raises(SettingsError, match=r"has the credential of a real account .* Use another profile"):
        on.require_no_real_credential()


def test_flags_take_precedence_over_variables_and_variables_over_the_file(home: Path) -> None:
    """The source of each setting is recorded."""
    path = write(home, 'port = 1111\nlog_level = "debug"\nclient_id = "from-file"\n')

    profile = load_profile(
        environ=environ(home, PORT="2222", LOG_LEVEL="error"), flags={"port": 3333, "client_id": None}
    )

    settings = profile.settings
    assert (3333, "error", "from-file") == (settings.port, settings.log_level, settings.client_id)
    assert {
        "port": "flag",
        "log_level": "UPSTASH_HELPER_LOG_LEVEL",
        "client_id": str(path),
    } == profile.sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1\n", "unknown setting 'prot'. Did you mean 'port'?"),
        ("something_else = 1\n", "unknown setting 'something_else'. Known settings:"),
        ("port = 0\n", "setting 'port'"),
        ("port = 70000\n", "setting 'port'"),
        ('port = "3000"\n', "setting 'port'"),
        ('credential_store = "disk"\n', 'must be one of "file", "keyring", "memory", not "disk"'),
        ('client_id = ""\n', "setting 'client_id'"),
        ('client_id = "a b"\n', "setting 'client_id'"),
        ('api_url = "http://api.upstash.com"\n', "expected https"),
        ('api_url = "ftp://localhost"\n', "expected https"),
        ('auth_url = "https://user:pw@auth.upstash.com"\n', "without user"),
        ('auth_url = "https://[::1"\n', "not a URL"),
        ('auth_url = "https://a b"\n', "must not contain spaces, line breaks"),
        ('auth_url = "https://a\\nb"\n', "must not contain spaces, line breaks"),
        ('auth_url = "https://a\\u200bb"\n', "must not contain spaces, line breaks"),
        ('rest_url = "https://{database}"\n', "the only placeholder is '{host}'"),
        ("port = \n", "not valid TOML"),
    ],
)
def test_invalid_setting_in_the_file_is_an_error_that_names_it(home: Path, text: str, expected: str) -> None:
    """The error names the file, the setting, and the allowed values. Nothing is ignored."""
    path = write(home, text)

    with pytest.raises(SettingsError) as caught:
        load_profile(environ=environ(home))

    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("PROT", "1"), ("PORT", "many"), ("OPEN_BROWSER", "perhaps")])
def test_invalid_variable_is_an_error_that_names_it(home: Path, name: str, value: str) -> None:
    """Misspelled variables are not ignored."""
    with pytest.raises(SettingsError, match=f"UPSTASH_HELPER_{name}"):
        load_profile(environ=environ(home, **{name: value}))


@pytest.mark.parametrize(("text", "value"), [("false", False), ("0", False), ("true", True), ("1", True)])
def test_text_is_converted_to_the_type_of_the_setting(home: Path, text: str, value: bool) -> None:  # noqa: FBT001 - a parameter
    """Values of variables and flags are text."""
    assert value is load_profile(environ=environ(home, OPEN_BROWSER=text)).settings.open_browser
    assert value is load_profile(environ=environ(home), flags={"open_browser": text}).settings.open_browser


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3100", "http://localhost:3100", "http://[::1]:3100", "https://x.example"]
)
def test_plain_http_is_allowed_on_loopback(home: Path, url: str) -> None:
    """Secrets are sent to these URLs, so everything else must be https."""
    assert url == load_profile(environ=environ(home, API_URL=url)).settings.api_url


def test_unreadable_file_is_an_error(home: Path) -> None:
    """The defaults are not used in its place."""
    path = home / "config" / "config.toml"
    path.mkdir(parents=True)

    with pytest.raises(SettingsError, match="cannot be read"):
        load_profile(environ=environ(home))


def test_profiles_have_separate_folders_settings_and_keyring_entries(home: Path) -> None:
    """Nothing is shared between profiles."""
    write(home, "port = 1111\n")
    write(home, "port = 2222\n", "profiles/work")

    one, two = (load_profile(profile=name, environ=environ(home)) for name in (None, "work"))

    assert (1111, 2222) == (one.settings.port, two.settings.port)
    assert one.credential_name != two.credential_name
    for folder in ("config", "state", "runtime", "logs"):
        assert getattr(one.folders, folder) != getattr(two.folders, folder)


def test_profile_from_the_environment_is_overridden_by_the_flag(home: Path) -> None:
    """Flags take precedence for the profile, too."""
    assert "work" == locate(environ=environ(home, PROFILE="work"))[0]
    assert "play" == locate(profile="play", environ=environ(home, PROFILE="work"))[0]


@pytest.mark.parametrize("name", ["../up", "a/b", "A", "", " ", "x" * 33, "-a", ".", "con:"])
def test_invalid_profile_name_is_rejected(home: Path, name: str) -> None:
    """A name that could escape its folder never reaches the file system."""
    if not name:
        assert "default" == locate(profile=name, environ=environ(home))[0]
        return
    with pytest.raises(SettingsError, match="Profile name"):
        locate(profile=name, environ=environ(home))


def test_each_api_url_has_its_own_credential(home: Path) -> None:
    """A daemon that uses a sandbox for a while neither reads the real API key nor overwrites it."""
    real = load_profile(environ=environ(home))
    sandbox = load_profile(environ=environ(home, API_URL="http://127.0.0.1:3100"))

    assert real.credential_name != sandbox.credential_name
    assert real.credential_file != sandbox.credential_file


def test_each_home_has_its_own_keyring_entry(home: Path) -> None:
    """Experiments below another root do not touch the user's entry."""
    assert load_profile(environ=environ(home)).credential_name != load_profile(environ={}).credential_name
    assert "default" == load_profile(environ={}).credential_name


@pytest.mark.parametrize(
    ("text", "environ", "flags", "expected"),
    [
        ("api_port = 27000\n", {}, {}, "config.toml: setting 'api_port': it has no effect unless port_policy"),
        ("", {"UPSTASH_HELPER_API_PORT": "27000"}, {}, "UPSTASH_HELPER_API_PORT: setting 'api_port': it has no effect"),
        ("", {}, {"api_port": "27000"}, "flag: setting 'api_port': it has no effect"),
        ('port_policy = "on-demand"\napi_port = 27000\n', {}, {"port_policy": "always"}, "config.toml: setting"),
        ('port_policy = "on-demand"\napi_port = 3000\n', {}, {}, "3000 is the callback port"),
        ('port_policy = "on-demand"\nport = 26300\n', {}, {"api_port": "26300"}, "flag: setting 'api_port': 26300 is"),
        ('port_policy = "ondemand"\n', {}, {}, 'one of "always", "on-demand", not "ondemand"'),
    ],
)
def test_conflicting_port_settings_are_rejected(
    tmp_path: Path, text: str, environ: dict[str, str], flags: dict[str, object], expected: str
) -> None:
    """An API port without effect is an error, and so is one that equals the callback port."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(text)

    with pytest.raises(SettingsError) as refused:
        load_profile(environ={"UPSTASH_HELPER_HOME": str(tmp_path), **environ}, flags=flags)

    assert expected in str(refused.value)


@pytest.mark.parametrize("seconds", [0, 5, 86_400])
def test_idle_exit_accepts_zero_and_at_least_five_seconds(seconds: int) -> None:
    """0 disables it; less than 5 would look like a crash loop to systemd."""
    assert seconds == load_profile(environ={"UPSTASH_HELPER_IDLE_EXIT": str(seconds)}).settings.idle_exit


@pytest.mark.parametrize("seconds", [-1, 1, 4, 86_401])
def test_idle_exit_out_of_range_is_rejected(tmp_path: Path, seconds: int) -> None:
    """In the file, in the environment, and as a flag."""
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
def test_ports_to_try_for_the_api(tmp_path: Path, values: dict[str, object], ports: tuple[int, ...]) -> None:
    """The single port, or with on-demand a separate port that is never the callback port."""
    settings = load_profile(environ={"UPSTASH_HELPER_HOME": str(tmp_path)}, flags=values).settings

    assert ports == settings.api_ports
    assert f"http://localhost:{settings.port}" == settings.redirect_uri


UPSTASH_ISSUER = Settings().issuer_url
SANDBOX = "http://127.0.0.1:8077"


@pytest.mark.parametrize(
    ("values", "flow"),
    [
        ({}, "open"),
        ({"client_id": "c"}, "partner"),
        ({"client_id": "c", "sign_in": "open"}, "open"),
        ({"sign_in": "partner"}, None),
        ({"api_url": SANDBOX}, None),
        ({"api_url": SANDBOX, "client_id": "c"}, "partner"),
        ({"api_url": SANDBOX, "issuer_url": SANDBOX}, "open"),
        ({"api_url": SANDBOX, "issuer_url": f"{UPSTASH_ISSUER}/"}, None),
        ({"api_url": SANDBOX, "issuer_url": UPSTASH_ISSUER.upper().replace("HTTPS", "https")}, None),
        ({"api_url": SANDBOX, "issuer_url": f"{UPSTASH_ISSUER}:443"}, None),
        ({"api_url": SANDBOX, "issuer_url": f"{UPSTASH_ISSUER}./"}, None),
        ({"api_url": f"{Settings().api_url}/"}, "open"),
    ],
    ids=str,
)
def test_flow_never_sends_tokens_of_upstash_elsewhere(values: dict[str, str], flow: str | None) -> None:
    """
    However the issuer is written, its tokens go only to Upstash's own API.
    """
    assert flow == Settings(**values).flow  # type: ignore[arg-type]


# --- proxies and certificates -----------------------------------------------------------------------------------------


def test_proxy_and_certificates_are_settings(home: Path) -> None:
    """In the file, or as variables with the helper's prefix."""
    write(home, 'https_proxy = "http://ada:s3cret@proxy.example:3128"\nno_proxy = "example.com"\n')

    ca_file = home / "company.pem"

    profile = load_profile(environ=environ(home, CA_FILE=str(ca_file)))

    assert "http://ada:s3cret@proxy.example:3128" == profile.settings.proxies.https_proxy
    assert "example.com" == profile.settings.proxies.no_proxy
    assert str(ca_file) == str(profile.settings.certificates)
    assert "s3cret" not in repr(profile)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("https_proxy", "socks5://ada:s3cret@proxy", "it names a SOCKS proxy, which is not supported."),
        (
            "https_proxy",
            "http://ada:s3cret@",
            "it is not the address of a proxy, such as http://proxy.example.com:8080.",
        ),
        ("https_proxy", "http://ada:s3cret@proxy:99999", "it is not the address of a proxy"),
        ("ca_file", "company.pem", "expected an absolute path"),
    ],
)
def test_proxy_that_cannot_be_used_is_an_error_without_its_password(
    home: Path, setting: str, value: str, problem: str
) -> None:
    """The error names the setting and its source."""
    path = write(home, f'{setting} = "{value}"\n')

    with pytest.raises(SettingsError) as caught:
        load_profile(environ=environ(home))

    assert str(caught.value).startswith(f"{path}: setting '{setting}': {problem}")
    assert "s3cret" not in str(caught.value)


def test_example_of_a_path_is_one_that_can_be_used(home: Path) -> None:
    """An absolute path looks different on Windows."""
    with pytest.raises(SettingsError) as caught:
        load_profile(environ=environ(home), flags={"ca_file": "company.pem"})

    example = str(caught.value).removesuffix(".").rpartition("such as ")[2]
    assert example == load_profile(environ=environ(home), flags={"ca_file": example}).settings.ca_file


def test_password_of_a_proxy_is_no_flag(home: Path) -> None:
    """Every user of the machine could read it in the list of processes."""
    with pytest.raises(SettingsError, match=r"list of processes\. Set it in config\.toml") as caught:
        load_profile(environ=environ(home), flags={"https_proxy": "http://ada:s3cret@proxy:3128"})

    assert "s3cret" not in str(caught.value)
    plain = load_profile(environ=environ(home), flags={"https_proxy": "http://proxy:3128"})
    assert "http://proxy:3128" == plain.settings.https_proxy
