"""The scripts can be started with any Python version, and print help without a setup."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from install.environment import ROOT

SCRIPTS = ("demo.py", "install.py", "test.py", "pin.py", "portable.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_parsed_by_old_pythons(script: str) -> None:
    """
    The scripts are valid in Python 3.8, so that it can print that it is too old.
    """
    text = (ROOT / "install" / script).read_text(encoding="utf-8")

    assert syntax_error(text) is None


@pytest.mark.parametrize("text", ["match 1:\n    case _: pass", "try: pass\nexcept* OSError: pass"])
def test_newer_syntax_is_found(text: str) -> None:
    """
    The parser rejects statements that Python 3.8 does not have.
    """
    assert syntax_error(text) is not None


def syntax_error(text: str) -> str | None:
    """Return what Python 3.8 cannot parse, or None."""
    try:
        ast.parse(text, feature_version=(3, 8))
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    return None


@pytest.mark.parametrize("script", SCRIPTS)
def test_old_python_is_an_error_message(script: str) -> None:
    """
    With an old Python, one line names the required version, before anything else is imported.
    """
    path = str(ROOT / "install" / script)
    code = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path(sys.argv[1], run_name='__main__')"

    done = subprocess.run([sys.executable, "-S", "-c", code, path], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "upstash-helper needs Python 3.11 or newer; this is 3.9.\n"


def test_help_needs_no_setup(tmp_path: Path) -> None:
    """
    `--help` works in any folder, and creates no environment.
    """
    shutil.copytree(ROOT / "install", tmp_path / "install")

    for script in SCRIPTS:
        command = [sys.executable, str(tmp_path / "install" / script), "--help"]
        done = subprocess.run(command, cwd=tmp_path / "install", capture_output=True, text=True, check=True)

        assert f"python3 install/{script}" in done.stdout
        assert not done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("other", [["tests/api"], ["--windows"], ["--newest"]])
def test_quick_is_not_combined_with_a_selection(other: list[str]) -> None:
    """
    `--quick` with a selection of tests is an error, because one of the two would be ignored.
    """
    command = [sys.executable, str(ROOT / "install" / "test.py"), "--no-system", "--quick", *other]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("--quick can be combined only with")
