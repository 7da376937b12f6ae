"""The scripts that a person starts first, on whatever Python there is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from install import suite
from install.environment import ROOT

SCRIPTS = ("demo.py", "test.py", "pin.py")


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


def test_paths_mean_what_they_mean_where_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Arguments for pytest may be typed in any folder, with the shell's completion of paths.
    """
    (tmp_path / "test_a.py").touch()
    monkeypatch.chdir(tmp_path)

    arguments = suite.seen_from(ROOT, ["test_a.py::test_b[x]", "-q", "tests/api"])

    assert arguments == [f"{tmp_path / 'test_a.py'}::test_b[x]", "-q", "tests/api"]


def test_at_the_top_arguments_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where pytest runs anyway, nothing is rewritten.
    """
    monkeypatch.chdir(ROOT)

    assert suite.seen_from(ROOT, ["tests", "-k", "install"]) == ["tests", "-k", "install"]
