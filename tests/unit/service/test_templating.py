"""The templates: filled in completely, explained in comments, and part of the wheel."""

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
def test_every_template_is_explained(name: str) -> None:
    """Each template is explained in its comments, which are installed with it."""
    comments = re.findall(r"^#.*$|<!--.*?-->", template(name), re.MULTILINE | re.DOTALL)

    assert "upstash-helper install" in " ".join(comments)


def test_value_that_looks_like_a_placeholder_is_not_replaced() -> None:
    """A value such as ``@NAME@`` is not replaced again."""
    values = {"NAME": "@DESCRIPTION@", "DESCRIPTION": "@PORT@", "PORT": "1", "VERSION": "1", "EXEC_START": "@NAME@"}
    text = fill("systemd/upstash-helper.service", values, lines={"ENVIRONMENT": ["@PORT@", "@NAME@"]})

    assert "Wants=@DESCRIPTION@.socket\n" in text
    assert "ExecStart=@NAME@\n@PORT@\n@NAME@\nRestart=" in text


def test_missing_template_and_missing_value() -> None:
    """A missing template is an error that the user can fix. A placeholder without a value is a bug."""
    with pytest.raises(TemplateMissing, match="is missing: this installation of upstash-helper is incomplete"):
        template("systemd/none.service")
    with pytest.raises(KeyError):
        fill("systemd/upstash-helper.service", {})


@pytest.mark.slow
def test_wheel_contains_all_templates(tmp_path: Path) -> None:
    """The wheel has all templates in the package, because an installation has no checkout."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as files:
        inside = {name: files.read(name) for name in files.namelist() if name.startswith("upstash_helper/service/te")}

    expected = {f"upstash_helper/service/templates/{name}": (ROOT / "install" / name).read_bytes() for name in NAMES}
    del inside["upstash_helper/service/templating.py"]
    assert expected == inside
