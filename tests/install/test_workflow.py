"""
The files and the workflow of sandbox/README.md, run in a folder in which nothing else is.

The packages are those of the tests. The project itself is built and installed by the workflow's own command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from install.environment import ROOT
from install.installers import base_python, python_in
from tests.support.packages import checked, copy_of_checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="platform: the workflow's commands are for a POSIX shell"),
]

README: Final = (ROOT / "daemon/upstash_helper/sandbox/README.md").read_text(encoding="utf-8")
FILES: Final = dict(re.findall(r"```\w+\n(?:#|//) (\S+)\n(.*?)```", README, re.DOTALL))
"""The blocks that begin with the name of a file."""
WORKFLOW: Final = FILES[".github/workflows/tests.yml"]


def steps_of(job: str) -> list[str]:
    """Return the commands of a job, in order."""
    _, _, rest = WORKFLOW.partition(f"\n  {job}:\n")
    body = re.split(r"\n  \w+:\n", rest, maxsplit=1)[0]
    return re.findall(r"^      - run: (.+)$", body, re.MULTILINE)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a machine with Python, in which the packages of the tests can be installed without a network."""
    venv = tmp_path_factory.mktemp("python") / "venv"
    checked([base_python(), "-m", "venv", str(venv)])
    python = python_in(venv)
    done = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    Path(done.stdout.strip(), "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    # The script of a package that is found in the other environment is not installed again.
    script = python.with_name("pytest")
    script.write_text(f"#!{python}\nimport pytest\nraise SystemExit(pytest.console_main())\n", encoding="utf-8")
    script.chmod(0o755)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTEST", "UPSTASH", "COV"))
    }
    return kept | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "false",  # which turns it off: pip inverts the variable
    }


def test_every_command_of_the_workflow_belongs_to_a_job() -> None:
    """None is left out by the test below."""
    assert WORKFLOW.count("run:") == len([*steps_of("pytest"), *steps_of("node")])


@pytest.mark.parametrize("job", ["pytest", "node"])
def test_workflow_of_the_readme_passes(job: str, environment: dict[str, str], tmp_path: Path) -> None:
    """A project that copies the files and the workflow has tests that pass."""
    if job == "node" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    copy_of_checkout(tmp_path / "upstash-helper")

    printed = []
    for command in steps_of(job):
        # As GitHub runs it.
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        printed.append(done.stdout)
        assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"

    assert re.search(r"1 passed" if job == "pytest" else r"pass 1\b", printed[-1])
