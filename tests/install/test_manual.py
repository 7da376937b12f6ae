"""The man pages: one for each command, generated from it, and valid for the programs that show them."""

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

from install import manual
from install.environment import ROOT
from install.manual import contexts, man_pages, page_name, write_pages
from upstash_helper import __released__, __version__
from upstash_helper.cli import exit_codes
from upstash_helper.cli.app import cli
from upstash_helper.settings.config import Settings
from upstash_helper.settings.profiles import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = man_pages()
SECTIONS = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "COMMANDS",
    "ADMIN API",
    "EXAMPLES",
    "EXIT STATUS",
    "ENVIRONMENT",
    "FILES",
    "SEE ALSO",
]


def commands(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, as click lists them."""
    yield words
    if isinstance(command, click.Group):
        ctx = click.Context(command, **command.context_settings)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from commands(child, *words, name)


def read(page: str) -> str:
    """Return a page as its reader sees it, in lines that are long enough not to wrap. Warnings fail the test."""
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    command = [groff, "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=2000n"]
    done = subprocess.run(command, input=page.encode("ascii"), capture_output=True, check=True)
    assert not done.stderr.decode()
    return done.stdout.decode()


def test_every_command_has_a_page() -> None:
    """
    Groups and the commands in them have pages.
    """
    typed = {"-".join(("upstash-helper", *words)) + ".1" for words in commands(cli, *())}

    assert typed == set(PAGES)
    assert {"upstash-helper.1", "upstash-helper-connect.1", "upstash-helper-databases-create.1"} < set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_typeset_without_a_warning(name: str) -> None:
    """
    Groff reports nothing, the sections are in the usual order, and the text of `--help` is in the page.
    """
    text = read(PAGES[name])
    [ctx] = [ctx for ctx in contexts() if f"{page_name(ctx)}.1" == name]

    found = re.findall(r"^[A-Z][A-Z ]+$", text, flags=re.MULTILINE)
    assert found == [section for section in SECTIONS if section in found]
    assert set(SECTIONS) - set(found) <= {"OPTIONS", "COMMANDS", "ADMIN API", "EXAMPLES"}
    words = " ".join(text.split())
    for option in ctx.command.get_params(ctx):
        record = option.get_help_record(ctx)
        if isinstance(option, click.Option) and record is not None:
            assert ", ".join(option.opts) in words
            assert " ".join(record[1].replace("`", "").split()) in words


def test_mandoc_reports_nothing(tmp_path: Path) -> None:
    """
    The formatter of the BSDs, macOS, and Alpine accepts the pages; before a release only their date is missing.
    """
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    for name, page in PAGES.items():
        (tmp_path / name).write_text(page, encoding="ascii")

    command = [mandoc, "-Tlint", "-Wwarning", *map(str, sorted(tmp_path.iterdir()))]
    reported = subprocess.run(command, capture_output=True, text=True, check=False).stdout

    missing_date = "missing date"
    assert [] == [line for line in reported.splitlines() if __released__ or missing_date not in line]


def test_root_page_has_exit_codes_settings_and_files() -> None:
    """
    It has every exit code, every setting as a variable with its default, and the paths of the files.
    """
    text = read(PAGES["upstash-helper.1"])
    words = " ".join(text.split())

    for code, meaning in exit_codes.MEANING.items():
        assert f" {code} {meaning[:1].upper()}{meaning[1:]}." in words
    for field in msgspec.structs.fields(Settings):
        assert f"UPSTASH_HELPER_{field.name.upper()} " in words
    assert "port. Must match the redirect URI" in words
    assert "Default: 3000." in words
    assert "One of keyring, file, memory. Default: keyring." in words
    assert "~/.config/upstash-helper/config.toml" in words


def test_every_setting_has_a_docstring() -> None:
    """
    The docstring below a setting's definition is its documentation in the page.
    """
    docs = manual.setting_docs()

    assert {field.name for field in msgspec.structs.fields(Settings)} <= set(docs)
    assert all(docs.values())


def test_paths_match_the_profile_folders_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The page has the folders of settings.profiles for a user without XDG variables.
    """
    if sys.platform != "linux":
        pytest.skip("platform: the folders of Linux")
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    _, folders = locate(environ={"XDG_RUNTIME_DIR": "/run/user/1000"})
    terms = [entry.term for entry in manual.files(manual.LINUX_FOLDERS)]

    expected = [
        folders.config_file, folders.ledger_file, folders.state / "credential.json",
        folders.runtime / "daemon.json", folders.log_file,
    ]  # fmt: skip
    assert [str(path) for path in expected] == [term.replace("~", "/home/ann") for term in terms]


def test_paths_match_the_profile_folders_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The page has platformdirs' folders for macOS.
    """
    from platformdirs.macos import MacOS

    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/Users/ann")
    dirs = MacOS("upstash-helper", appauthor=False)
    terms = [entry.term.replace("~", "/Users/ann") for entry in manual.files(manual.MACOS_FOLDERS)]

    assert [
        f"{dirs.user_config_dir}/config.toml", f"{dirs.user_state_dir}/ledger.db",
        f"{dirs.user_state_dir}/credential.json", f"{dirs.user_state_dir}/run/daemon.json",
        f"{dirs.user_log_dir}/upstash-helper.log",
    ] == terms  # fmt: skip


def test_page_date_is_the_release_date() -> None:
    """
    The date is the changelog's for this version, and not the day of the build.
    """
    dates = dict(
        re.findall(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert dates.get(__version__, "") == __released__
    assert PAGES["upstash-helper.1"].startswith(
        f'.TH "UPSTASH\\-HELPER" "1" "{__released__.replace("-", chr(92) + "-")}"'
    )


def test_man_shows_an_installed_page(tmp_path: Path) -> None:
    """
    man(1) finds the pages in a folder of its path, and shows the usage of the command.
    """
    man = shutil.which("man")
    if man is None:
        pytest.skip("man is not installed")
    write_pages(tmp_path / "man1")
    settings = {"MANPATH": str(tmp_path), "MANPAGER": "cat", "PAGER": "cat", "MANWIDTH": "200", "TERM": "dumb"}

    done = subprocess.run(
        [man, "upstash-helper-databases-create"], env=os.environ | settings, capture_output=True, text=True, check=True
    )

    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert "upstash-helper databases create [OPTIONS] NAME" in text
    assert "$ upstash-helper" not in text
    assert "upstash-helper databases create orders --region us-east-1" in text


def test_pages_of_removed_commands_are_deleted(tmp_path: Path) -> None:
    """
    Generating the pages again replaces all of them, and touches no other file.
    """
    (tmp_path / "upstash-helper-removed.1").write_text("old", encoding="ascii")
    (tmp_path / "notes.txt").write_text("kept", encoding="ascii")

    write_pages(tmp_path)

    assert {*PAGES, "notes.txt"} == {path.name for path in tmp_path.iterdir()}
    assert PAGES["upstash-helper.1"] == (tmp_path / "upstash-helper.1").read_text(encoding="ascii")
