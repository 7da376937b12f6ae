"""The templates: whole, explained, and in the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from upstash_helper.service.templating import TemplateMissing, fill, template

ROOT = Path(__file__).parents[3]
NAMES = sorted(
    str(path.relative_to(ROOT / "install").as_posix())
    for folder in ("desktop", "launchd", "systemd", "windows")
    for path in (ROOT / "install" / folder).iterdir()
)


@pytest.mark.parametrize("name", NAMES)
def test_every_template_says_what_it_is_for(name: str) -> None:
    """In its own comments, which are installed with it."""
    comments = re.findall(r"^#.*$|<!--.*?-->", template(name), re.MULTILINE | re.DOTALL)

    assert "upstash-helper install" in " ".join(comments)


def test_a_value_is_never_taken_for_a_place() -> None:
    """Somebody may be called ``@NAME@``."""
    values = {"NAME": "@DESCRIPTION@", "DESCRIPTION": "@PORT@", "PORT": "1", "VERSION": "1", "EXEC_START": "@NAME@"}
    text = fill("systemd/upstash-helper.service", values, lines={"ENVIRONMENT": ["@PORT@", "@NAME@"]})

    assert "Wants=@DESCRIPTION@.socket\n" in text
    assert "ExecStart=@NAME@\n@PORT@\n@NAME@\nRestart=" in text


def test_a_template_that_is_missing_is_told() -> None:
    """And a place without a value is a mistake of ours."""
    with pytest.raises(TemplateMissing, match="is missing: this copy of upstash-helper is not whole"):
        template("systemd/none.service")
    with pytest.raises(KeyError):
        fill("systemd/upstash-helper.service", {})


@pytest.mark.slow
def test_a_wheel_has_them_all(tmp_path: Path) -> None:
    """Where the program looks for them: an installed one has no checkout."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as files:
        inside = {name: files.read(name) for name in files.namelist() if name.startswith("upstash_helper/service/te")}

    wanted = {f"upstash_helper/service/templates/{name}": (ROOT / "install" / name).read_bytes() for name in NAMES}
    del inside["upstash_helper/service/templating.py"]
    assert wanted == inside
