"""Manual pages: one for each command, made from it, and taken by the programs that show them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import pytest

from install.environment import ROOT
from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from upstash_helper import __released__, __version__
from upstash_helper.cli import exit_codes
from upstash_helper.cli.app import cli
from upstash_helper.cli.manual import pages
from upstash_helper.cli.manual.pages import contexts, man_pages, page_name
from upstash_helper.settings.config import Settings
from upstash_helper.settings.profiles import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = man_pages(platform="linux")
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has never run the helper."""
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path)}


def commands(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Go through what can be typed, as click's own lists have it."""
    yield words
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from commands(child, *words, name)


def read(page: str) -> str:
    """Return a page as its reader sees it, in lines long enough that none is broken; a complaint is an error."""
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    command = [groff, "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=2000n"]
    done = subprocess.run(command, input=page.encode("ascii"), capture_output=True, check=True)
    assert not done.stderr.decode()
    return done.stdout.decode()


def test_every_command_has_a_page() -> None:
    """
    Whatever can be typed can be looked up: groups, and the commands in them.
    """
    typed = {"-".join(("upstash-helper", *words)) + ".1" for words in commands(cli, *())}

    assert typed == set(PAGES)
    assert {"upstash-helper.1", "upstash-helper-connect.1", "upstash-helper-databases-create.1"} < set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_typeset_without_a_warning(name: str) -> None:
    """
    None is complained about by groff; the sections are in the usual order, and what `--help` says is in it.
    """
    text = read(PAGES[name])
    [ctx] = [ctx for ctx in contexts() if f"{page_name(ctx)}.1" == name]

    found = re.findall(r"^[A-Z][A-Z ]+$", text, flags=re.MULTILINE)
    assert found == [section for section in SECTIONS if section in found]
    assert set(SECTIONS) - set(found) <= {"OPTIONS", "COMMANDS"}
    words = " ".join(text.split())
    for option in ctx.command.get_params(ctx):
        record = option.get_help_record(ctx)
        if isinstance(option, click.Option) and record is not None:
            assert ", ".join(option.opts) in words
            assert " ".join(record[1].replace("`", "").split()) in words


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_mandoc_finds_no_fault(platform: str, tmp_path: Path) -> None:
    """
    The typesetter of the BSDs, of macOS and of Alpine takes them, too; all it misses before a release is its date.
    """
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    for name, page in man_pages(platform=platform).items():
        (tmp_path / name).write_text(page, encoding="ascii")

    command = [mandoc, "-Tlint", "-Wwarning", *map(str, sorted(tmp_path.iterdir()))]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout

    missing_date = "missing date"
    assert [] == [line for line in said.splitlines() if __released__ or missing_date not in line]


def test_the_root_page_tells_codes_settings_and_files() -> None:
    """
    Every exit code, every setting as a variable with its default, and where the files are.
    """
    text = read(PAGES["upstash-helper.1"])
    words = " ".join(text.split())

    for code, meaning in exit_codes.MEANING.items():
        assert f" {code} {meaning[:1].upper()}{meaning[1:]}." in words
    for field in msgspec.structs.fields(Settings):
        assert f"UPSTASH_HELPER_{field.name.upper()} " in words
    assert "port. Upstash redirects a sign-in" in words
    assert "Default: 3000." in words
    assert "One of keyring, file, memory. Default: keyring." in words
    assert "~/.config/upstash-helper/config.toml" in words


def test_every_setting_says_what_it_is_for() -> None:
    """
    The sentence below a setting's definition is its documentation; none is without.
    """
    docs = pages.setting_docs()

    assert {field.name for field in msgspec.structs.fields(Settings)} <= set(docs)
    assert all(docs.values())


def test_files_are_where_the_daemon_has_them_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The page names the folders that settings.py finds for a user who has set nothing.
    """
    if sys.platform != "linux":
        pytest.skip("platform: the folders of Linux")
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    _, folders = locate(environ={"XDG_RUNTIME_DIR": "/run/user/1000"})
    told = [fact.term for fact in pages.files("linux")]

    expected = [
        folders.config_file, folders.ledger_file, folders.state / "credential.json",
        folders.runtime / "daemon.json", folders.log_file,
    ]  # fmt: skip
    assert [str(path) for path in expected] == [
        term.replace("~", "/home/ann").replace("$XDG_RUNTIME_DIR", "/run/user/1000") for term in told
    ]


def test_files_are_where_the_daemon_has_them_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same for macOS, by platformdirs' own rules for it.
    """
    from platformdirs.macos import MacOS

    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/Users/ann")
    dirs = MacOS("upstash-helper", appauthor=False)
    told = [fact.term.replace("~", "/Users/ann") for fact in pages.files("darwin")]

    assert [
        f"{dirs.user_config_dir}/config.toml", f"{dirs.user_state_dir}/ledger.db",
        f"{dirs.user_state_dir}/credential.json", f"{dirs.user_runtime_dir}/daemon.json",
        f"{dirs.user_log_dir}/upstash-helper.log",
    ] == told  # fmt: skip


def test_the_date_is_that_of_the_release() -> None:
    """
    The page's date is the changelog's for this version, and not the day on which a package was made.
    """
    dates = dict(
        re.findall(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert dates.get(__version__, "") == __released__
    assert PAGES["upstash-helper.1"].startswith(
        f'.TH "UPSTASH\\-HELPER" "1" "{__released__.replace("-", chr(92) + "-")}"'
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "upstash-helper.1"),
        (("connect",), "upstash-helper-connect.1"),
        (("databases", "create"), "upstash-helper-databases-create.1"),
        (("upstash-helper-databases-create",), "upstash-helper-databases-create.1"),
        (("databases-create",), "upstash-helper-databases-create.1"),
    ],
)
async def test_a_pipe_gets_the_source(environment: dict[str, str], words: tuple[str, ...], name: str) -> None:
    """
    What is not a terminal gets what man(1) reads, and nothing else; a page is found by the name in SEE ALSO, too.
    """
    ran = await run_cli("man", *words, environment=environment)

    assert (0, "") == (ran.code, ran.err)
    assert man_pages()[name] == ran.out


async def test_all_pages_are_written_where_they_are_wanted(environment: dict[str, str], tmp_path: Path) -> None:
    """
    With --path every page becomes a file, the folder is made, and a second time changes nothing.
    """
    folder = tmp_path / "a share" / "man1"

    for _ in range(2):
        ran = await run_cli("man", "--path", str(folder), environment=environment)

        assert (0, f"{len(PAGES)} pages are in {folder}.\n") == (ran.code, ran.out)
        assert man_pages() == {path.name: path.read_text(encoding="ascii") for path in folder.iterdir()}


async def test_a_terminal_gets_the_page(environment: dict[str, str], tmp_path: Path) -> None:
    """
    On a terminal the page is shown by man(1), with the user's pager.
    """
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    import pty

    mine, its = pty.openpty()
    command = [sys.executable, "-m", "upstash_helper", "man", "databases", "create"]
    wide = environment | {"MANPAGER": "cat", "PAGER": "cat", "MANWIDTH": "200", "TERM": "dumb", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.STDOUT, env=wide)
    os.close(its)
    shown = b""
    # At the end of it Linux has no more to read from a terminal than an error.
    while block := _read(mine):
        shown += block
    os.close(mine)

    assert 0 == process.wait(30)
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", shown.decode())
    assert "upstash-helper databases create [OPTIONS] NAME" in text
    assert [] == list(tmp_path.glob("upstash-helper-*"))


async def test_what_cannot_be_shown_is_told(environment: dict[str, str]) -> None:
    """
    A name that is no command's, two wishes at once, and a folder that cannot be: each is told in a sentence.
    """
    unknown = await run_cli("man", "conect", environment=environment)
    both = await run_cli("man", "connect", "--path", "x", environment=environment)
    nowhere = await run_cli("man", "--path", "/dev/null/man1", environment=environment)

    assert (exit_codes.USAGE, "There is no command 'conect'") == (unknown.code, unknown.err[7:35])
    assert exit_codes.USAGE == both.code
    assert "name none" in both.err
    assert (exit_codes.FAILURE, "Error: /dev/null/man1: cannot be written: Not a directory.\n") == (
        nowhere.code, nowhere.err,
    )  # fmt: skip


async def test_without_a_man_program_the_help_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """
    On a terminal of a machine without man(1) there is another way to the same text.
    """
    script = shutil.which("script")
    if script is None:
        pytest.skip("script is not installed")
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [
        script,
        "--quiet",
        "--return",
        "--command",
        f"'{sys.executable}' -m upstash_helper man connect",
        "/dev/null",
    ]

    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment | {"PATH": str(empty), "SHELL": "/bin/sh"}, check=False
    )

    assert exit_codes.FAILURE == ran.returncode
    assert "There is no program `man` here" in ran.stdout
    assert "--help" in ran.stdout


async def test_a_page_as_json(environment: dict[str, str], tmp_path: Path) -> None:
    """
    With --json a page is a field, and so is the list of what was written.
    """
    page = await run_cli("man", "connect", "--json", environment=environment)
    written = await run_cli("man", "--path", str(tmp_path / "m"), "--json", environment=environment)

    assert {"name": "upstash-helper-connect", "page": man_pages()["upstash-helper-connect.1"]} == page.json
    assert {"folder": str(tmp_path / "m"), "pages": sorted(PAGES)} == written.json


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
