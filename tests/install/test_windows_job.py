"""The Windows job: where it can run, the parts of a prefix, and its report."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from install import report
from install.environment import ROOT
from install.progress import CommandFailed
from install.wine import selection, sources
from install.wine.available import PROGRAMS, exit_code, reason_to_skip
from install.wine.forwarder import library
from install.wine.job import MOST_REPEATED, Job
from install.wine.prefix import environment
from tests.support.until import until

INSTALLED = {name: f"/usr/bin/{name}" for name in PROGRAMS}


def test_job_runs_where_wine_is() -> None:
    """
    With Wine and osslsigncode on 64-bit Linux, the job is not skipped.
    """
    assert reason_to_skip(system="linux", machine="x86_64", find=INSTALLED.get) is None


@pytest.mark.parametrize(
    ("system", "machine", "missing", "reason"),
    [
        ("darwin", "arm64", "", "only on Linux with an x86-64 processor"),
        ("linux", "aarch64", "", "only on Linux with an x86-64 processor"),
        ("win32", "AMD64", "", "this is Windows"),
        ("linux", "x86_64", "osslsigncode", "missing programs: osslsigncode"),
    ],
)
def test_reason_to_skip(system: str, machine: str, missing: str, reason: str) -> None:
    """
    Elsewhere the job is skipped with the reason.
    """
    found = {name: path for name, path in INSTALLED.items() if name != missing}

    assert reason in (reason_to_skip(system=system, machine=machine, find=found.get) or "")


def test_missing_programs_fail_the_run_in_ci() -> None:
    """
    In CI, a missing program is a failure, as it is for a test. Another platform is not.
    """
    missing = reason_to_skip(system="linux", machine="x86_64", find=lambda _: None) or ""
    other = reason_to_skip(system="darwin", machine="arm64", find=lambda _: None) or ""

    assert [exit_code(reason, {"CI": "true"}) for reason in (missing, other)] == [1, 0]
    assert [exit_code(reason, {}) for reason in (missing, other)] == [0, 0]


def test_selected_tests_exist() -> None:
    """
    The files that run on Windows exist.
    """
    assert [] == [name for name in selection.TESTS if not (ROOT / name).exists()]


def test_environment_of_a_prefix(tmp_path: Path) -> None:
    """
    Programs on Windows get neither the display of this session nor the settings of Linux's tools and of the helper.
    """
    given = {"CI": "true", "DISPLAY": ":0", "PIP_CERT": "/etc/x", "UPSTASH_HELPER_PORT": "1", "WINEARCH": "win32"}

    found = environment(tmp_path, given)

    assert set(found) == {"CI", "LANG", "LC_ALL", "WINEDEBUG", "WINEDLLOVERRIDES", "WINEPREFIX"}
    assert found["WINEPREFIX"] == str(tmp_path)


def exports(data: bytes) -> dict[str, str]:
    """Return the forwarded functions of a library, as the format's description says how to read them."""
    header = struct.unpack_from("<I", data, 60)[0]
    assert data[header : header + 4] == b"PE\0\0"
    optional = header + 24
    table, size = struct.unpack_from("<II", data, optional + 112)
    section = optional + struct.unpack_from("<H", data, header + 20)[0]
    address, _, offset = struct.unpack_from("<III", data, section + 12)

    def text(at: int) -> str:
        start = at - address + offset
        return data[start : data.index(b"\0", start)].decode()

    count, functions, names, ordinals = struct.unpack_from("<I4xIII", data, table - address + offset + 20)
    assert count == struct.unpack_from("<I", data, table - address + offset + 24)[0]
    found = {}
    for index in range(count):
        name = struct.unpack_from("<I", data, names - address + offset + 4 * index)[0]
        ordinal = struct.unpack_from("<H", data, ordinals - address + offset + 2 * index)[0]
        function = struct.unpack_from("<I", data, functions - address + offset + 4 * ordinal)[0]
        assert table <= function < table + size, "an address outside the section would be code"
        found[text(name)] = text(function)
    return found


def test_library_forwards_its_functions() -> None:
    """
    The library names for each function the one that is called instead.
    """
    wanted = {"Second": "kernel32.GetTickCount", "First": "advapi32.SystemFunction036"}

    assert exports(library("some.dll", wanted)) == wanted


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_1"/>
<testcase classname="tests.a" name="test_2"><failure message="first line,&#10;second line">y</failure></testcase>
<testcase classname="tests.a" name="test_3"><skipped type="pytest.skip" message="platform: modes">z</skipped></testcase>
<testcase classname="tests.a" name="test_4"><skipped type="pytest.skip" message="platform: modes">z</skipped></testcase>
<testcase classname="" name="tests.b"><skipped message="collection skipped">('b', 1, 'Skipped: platform: unix')
</skipped></testcase>
<testcase classname="" name="tests.b"><skipped message="collection skipped">('b', 1, 'Skipped: platform: unix')
</skipped></testcase>
<testcase classname="tests.a" name="test_5"><error message="x">y</error></testcase>
</testsuite></testsuites>"""


def test_report_counts_skips_by_reason(tmp_path: Path) -> None:
    """
    The report names failed tests and counts skipped ones by reason. Several processes may report the same module.
    """
    file = tmp_path / "report.xml"
    file.write_text(JUNIT)

    assert list(report.read(file).lines()) == [
        "1 passed, 2 failed, 3 skipped",
        "  2 skipped: platform: modes",
        "  1 skipped: platform: unix",
        "  failed: tests.a::test_2: first line, second line",
        "  failed: tests.a::test_5: x",
    ]


class LinuxPrefix:
    """A prefix whose programs are those of this system."""

    def __init__(self, folder: Path) -> None:
        self.drive_c = folder

    def path(self, path: Path) -> str:
        return str(path)

    def run(self, label: str, command: Sequence[str], *, cwd: Path, seconds: float, show: Callable[[str], None]) -> str:
        done = subprocess.run(
            [sys.executable, *command[1:]], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
        )
        show(done.stdout)
        if done.returncode:
            raise CommandFailed(label, done.stdout)
        return done.stdout


_FAILS_AT_FIRST = """
from pathlib import Path

def test_that_passes():
    with Path("passed").open("a") as file:
        file.write("x")

def test_that_fails_at_first():
    before = Path("tried").exists()
    Path("tried").touch()
    assert before
"""
_FAILS = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_that_fails(number):
    with open("tried", "a") as file:
        file.write("x")
    assert False
"""


def job_with(tmp_path: Path, tests: str) -> tuple[Job, Path]:
    """Return a job with only these tests, and their folder."""
    job = Job(LinuxPrefix(tmp_path), tmp_path / "cache")  # type: ignore[arg-type]
    checkout = tmp_path / "src" / "upstash-helper"
    checkout.mkdir(parents=True)
    (checkout / "pytest.ini").write_text("[pytest]\n")
    (checkout / "test_a.py").write_text(tests)
    return job, checkout


def test_failed_test_is_run_once_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Only the tests that have failed run again, and both results are shown.
    """
    job, checkout = job_with(tmp_path, _FAILS_AT_FIRST)

    job.test(["-q", "-n", "2", "test_a.py"])

    shown = capsys.readouterr().out
    assert (checkout / "passed").read_text() == "x"
    assert "Windows:   failed: test_a::test_that_fails_at_first" in shown
    assert shown.endswith("Windows: 1 passed, 0 failed, 0 skipped\n")


@pytest.mark.parametrize(("count", "runs"), [(2, 4), (MOST_REPEATED + 1, MOST_REPEATED + 1)])
def test_tests_that_fail_again_fail_the_job(tmp_path: Path, count: int, runs: int) -> None:
    """
    A second failure counts, and many tests are not repeated.
    """
    job, checkout = job_with(tmp_path, _FAILS.format(count=count))

    with pytest.raises(CommandFailed):
        job.test(["-q", "test_a.py"])

    assert (checkout / "tried").read_text() == "x" * runs


@pytest.mark.parametrize("with_git", [True, False])
def test_copy_of_the_checkout(tmp_path: Path, with_git: bool) -> None:  # noqa: FBT001
    """
    The copy has uncommitted changes, and nothing that is generated.
    """
    root = tmp_path / "checkout"
    for name in ("install/test.py", "new.py", "build/x.py", ".venv/bin/python", ".venv-newest/bin/python"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")
    (root / ".gitignore").write_text(".venv/\n.venv-*/\nbuild/\n")
    if with_git:
        subprocess.run(["git", "init", "--quiet", str(root)], check=True)

    sources.copy(tmp_path / "copy", root)

    copied = [
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    ]
    assert sorted(copied) == [".gitignore", "install/test.py", "new.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the stand-ins are shell scripts")
def test_second_signal_does_not_interrupt_the_cleanup(tmp_path: Path) -> None:
    """
    After Ctrl-C, the run of all checks also terminates the job. The programs in the prefix are ended nevertheless.
    """
    ending, ended = tmp_path / "ending", tmp_path / "ended"
    programs = {
        "wineboot": 'mkdir -p "$WINEPREFIX/drive_c/windows/system32"',
        "wine": "exit 0",
        "wineserver": f'touch "{ending}"; sleep 1; echo "$1" >> "{ended}"',
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    code = (
        "import signal, sys, time\n"
        "from install.wine.prefix import Prefix\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with Prefix() as prefix:\n"
        "    print(prefix.folder, flush=True)\n"
        "    time.sleep(600)"
    )
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        process.send_signal(signal.SIGINT)
        until(ending.exists)
        process.send_signal(signal.SIGTERM)

    assert ended.read_text().split() == ["-k", "-w"]
    assert not folder.exists()
