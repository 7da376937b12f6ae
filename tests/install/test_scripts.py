"""The scripts that a person starts first, on whatever Python there is."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from install.environment import ROOT

SCRIPTS = ("demo.py", "install.py", "test.py", "pin.py")


@pytest.mark.parametrize("script", SCRIPTS)
def test_old_pythons_can_read_the_scripts(script: str) -> None:
    """
    Python 3.8 gets as far as saying that it is too old.
    """
    text = (ROOT / "install" / script).read_text(encoding="utf-8")

    ast.parse(text, feature_version=(3, 8))


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_old_python_is_told_in_a_sentence(script: str) -> None:
    """
    What is too old, and what is needed, in one line; nothing else of the project is imported before that.
    """
    path = str(ROOT / "install" / script)
    code = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path(sys.argv[1], run_name='__main__')"

    done = subprocess.run([sys.executable, "-S", "-c", code, path], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "upstash-helper needs Python 3.11 or newer; this is 3.9.\n"


def test_nothing_is_set_up_for_help(tmp_path: Path) -> None:
    """
    Asking a script for help works on the spot, from any folder, and makes no environment.
    """
    shutil.copytree(ROOT / "install", tmp_path / "install")

    for script in SCRIPTS:
        command = [sys.executable, str(tmp_path / "install" / script), "--help"]
        done = subprocess.run(command, cwd=tmp_path / "install", capture_output=True, text=True, check=True)

        assert f"python3 install/{script}" in done.stdout
        assert not done.stderr
    assert not (tmp_path / ".venv").exists()
