"""Setting up an environment: which steps are needed, and recovery from an interrupted setup."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from install.environment import DEVELOPMENT, FILES, ROOT, RUNTIME, TEST, Environment, Stamp, Step, steps_from
from install.installers import Interpreter, python_in, this_interpreter
from install.progress import CommandFailed, SetupError

EVERYTHING = (Step.CREATE, Step.INSTALL, Step.LINK)

REQUIRED = Stamp(base="here", requirements={RUNTIME: "r1"}, project="p1", installer="uv")


@dataclass
class RecordingInstaller:
    """A fake installer. Its commands are real programs that write to a journal in the environment."""

    name: str = "uv"
    variables: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    """The command that fails after it has done a part of its work."""

    def create(self, venv: Path, base: str) -> Sequence[str]:
        python = python_in(venv)
        code = f"p.mkdir(parents=True); (p / {python.name!r}).touch()"
        name = "create" if base == this_interpreter().path else f"create {base}"
        return self._command(name, venv, code, python.parent)

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        return self._command(f"install {requirements}", python.parent.parent, "", python)

    def upgrade(self, python: Path, requirements: str, constraints: str) -> Sequence[str]:
        read = f"{Path(requirements).read_text().splitlines()} {constraints}"
        return self._command(f"upgrade {read}", python.parent.parent, "", python)

    def link(self, python: Path) -> Sequence[str]:
        return self._command("link", python.parent.parent, "", python)

    def copy(self, python: Path) -> Sequence[str]:
        return self._command("copy", python.parent.parent, "", python)

    def _command(self, name: str, venv: Path, code: str, path: Path, *rest: str) -> Sequence[str]:
        program = (
            f"import pathlib, sys; p = pathlib.Path(sys.argv[1]); {code}\n"
            f"(pathlib.Path(sys.argv[2]) / 'journal').open('a').write({name!r} + chr(10))\n"
            f"sys.exit({'failed' if name == self.broken else 0!r})"
        )
        return [sys.executable, "-c", program, str(path), str(venv), *rest]


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checköut"
    root.mkdir()
    for name in (*FILES, "pyproject.toml"):
        (root / name).write_text(f"# {name}\n")
    return root


def journal_of(checkout: Path, name: str = ".venv") -> list[str]:
    """Return the commands that were run since the environment was last created."""
    return (checkout / name / "journal").read_text().splitlines()


@pytest.mark.parametrize(
    ("current", "steps"),
    [
        (None, EVERYTHING),
        (replace(REQUIRED, base="elsewhere"), EVERYTHING),
        (replace(REQUIRED, requirements={RUNTIME: "r0"}), (Step.INSTALL, Step.LINK)),
        (replace(REQUIRED, requirements={}), (Step.INSTALL, Step.LINK)),
        (replace(REQUIRED, project="p0"), (Step.LINK,)),
        (REQUIRED, ()),
        (replace(REQUIRED, installer="pip"), ()),
        (replace(REQUIRED, requirements={RUNTIME: "r1", DEVELOPMENT: "d1"}), ()),
    ],
)
def test_only_changed_steps_are_repeated(current: Stamp | None, steps: tuple[Step, ...]) -> None:
    """
    An environment is created again only for another interpreter or folder. Otherwise it is updated.
    """
    assert steps == steps_from(current, REQUIRED)


def test_pip_does_not_update_an_environment_of_uv() -> None:
    """
    An environment created by uv, which contains no pip, is created again if uv is no longer installed.
    """
    required = replace(REQUIRED, installer="pip", requirements={RUNTIME: "r2"})

    steps = steps_from(REQUIRED, required)

    assert steps == EVERYTHING


def test_first_setup(checkout: Path) -> None:
    """
    The first run creates the environment, installs the pinned packages and the checkout, and returns the interpreter.
    """
    python = Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert journal_of(checkout) == ["create", "install requirements.txt", "link"]
    assert python.is_file()


def test_second_run_does_nothing(checkout: Path) -> None:
    """
    If nothing has changed, no program is started.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    before = journal_of(checkout)

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert before == journal_of(checkout)


def test_environment_for_tests_also_runs_the_demo(checkout: Path) -> None:
    """
    After the tests, the demo needs no further setup.
    """
    Environment(checkout, RecordingInstaller()).prepare(DEVELOPMENT)

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert journal_of(checkout) == ["create", "install requirements-dev.txt", "link"]


def test_environment_for_the_demo_is_extended_for_tests(checkout: Path) -> None:
    """
    After the demo, the packages for tests are added to the same environment.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    Environment(checkout, RecordingInstaller()).prepare(DEVELOPMENT)

    assert journal_of(checkout)[3:] == ["install requirements-dev.txt", "link"]


def test_environments_of_several_interpreters(checkout: Path) -> None:
    """
    Each interpreter has an environment of its own, and those that exist are reused.
    """
    others = {
        f".venv-3.{minor}": Interpreter(f"3.{minor}", f"/opt/python3.{minor}", f"cpython-3{minor} /opt")
        for minor in (98, 99)
    }
    for _ in range(2):
        for name, interpreter in others.items():
            Environment(checkout, RecordingInstaller(), name=name, interpreter=interpreter).prepare(TEST)

    for name, interpreter in others.items():
        assert journal_of(checkout, name) == [f"create {interpreter.path}", "install requirements-test.txt", "link"]
    assert not (checkout / ".venv").exists()


def test_environment_of_another_release_is_created_again(checkout: Path) -> None:
    """
    If an interpreter of the same version is in another folder, the environment is created again.
    """
    for path in ("/opt/a", "/opt/b"):
        interpreter = Interpreter("3.99", path, f"cpython-399 {path}")
        Environment(checkout, RecordingInstaller(), interpreter=interpreter).prepare(TEST)

    assert "create /opt/b" == journal_of(checkout)[0]


def test_newest_versions_replace_the_pinned_ones(checkout: Path) -> None:
    """
    The newest versions that the ranges allow are installed at each run, over the pinned ones.
    """
    for _ in range(2):
        environment = Environment(checkout, RecordingInstaller())
        environment.prepare(TEST)
        environment.upgrade(["a>=1", "b"], "constraints.txt")

    upgrade = "upgrade ['a>=1', 'b'] constraints.txt"
    assert journal_of(checkout)[1:] == ["install requirements-test.txt", "link", upgrade, upgrade]


@pytest.mark.parametrize("broken", ["create", "install requirements.txt", "link"])
def test_interrupted_setup_is_started_over(checkout: Path, broken: str) -> None:
    """
    Wherever a setup was interrupted, the next one starts from scratch.
    """
    with pytest.raises(CommandFailed):
        Environment(checkout, RecordingInstaller(broken=broken)).prepare(RUNTIME)
    (checkout / ".venv" / "leftover").touch()

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert journal_of(checkout) == ["create", "install requirements.txt", "link"]
    assert not (checkout / ".venv" / "leftover").exists()


def test_interrupted_update_is_started_over(checkout: Path) -> None:
    """
    After an interrupted update, the environment is created again.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    (checkout / RUNTIME).write_text("# other pins\n")
    with pytest.raises(CommandFailed):
        Environment(checkout, RecordingInstaller(broken="link")).prepare(RUNTIME)

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert journal_of(checkout) == ["create", "install requirements.txt", "link"]


def test_moved_checkout_is_set_up_again(checkout: Path) -> None:
    """
    An environment's scripts contain the path of its folder, so it is created again after a move.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    (checkout / ".venv" / "from-before").touch()
    moved = checkout.rename(checkout.with_name("moved"))

    Environment(moved, RecordingInstaller()).prepare(RUNTIME)

    assert not (moved / ".venv" / "from-before").exists()
    assert journal_of(moved) == ["create", "install requirements.txt", "link"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links for everybody")
def test_symbolic_link_to_the_checkout(checkout: Path) -> None:
    """
    The environment is reused if the checkout is accessed through a symbolic link.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    link = checkout.with_name("link")
    link.symlink_to(checkout)

    Environment(link, RecordingInstaller()).prepare(RUNTIME)

    assert journal_of(checkout) == ["create", "install requirements.txt", "link"]


def test_environment_without_its_interpreter_is_created_again(checkout: Path) -> None:
    """
    If the Python of an environment no longer exists, it is created again with the current one.
    """
    python = Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    python.unlink()

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert python.is_file()


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"base": 1}', '{"another": "format"}'])
def test_damaged_stamp_is_ignored(checkout: Path, stamp: str) -> None:
    """
    With a damaged stamp, the environment is created again, without an error.
    """
    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)
    (checkout / ".venv" / "upstash-helper.json").write_text(stamp)
    (checkout / ".venv" / "from-before").touch()

    Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert not (checkout / ".venv" / "from-before").exists()


def test_folder_that_is_not_an_environment_is_left_alone(checkout: Path) -> None:
    """
    A folder called `.venv` with other files is not cleared.
    """
    file = checkout / ".venv" / "file"
    file.parent.mkdir()
    file.write_text("mine")

    with pytest.raises(SetupError, match=r"is not a virtual environment\. Move it away"):
        Environment(checkout, RecordingInstaller()).prepare(RUNTIME)

    assert file.read_text() == "mine"


def test_missing_requirements_file_is_named(checkout: Path) -> None:
    """
    The error for an incomplete checkout names the missing file.
    """
    (checkout / RUNTIME).unlink()

    with pytest.raises(SetupError, match=r"Cannot read .*requirements\.txt"):
        Environment(checkout, RecordingInstaller()).prepare(RUNTIME)


def test_concurrent_setups_wait_for_each_other(tmp_path: Path) -> None:
    """
    A setup waits until another one has finished, and prints a message.
    """
    code = (
        "import sys, pathlib\n"
        "from install.lock import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('in', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    with start() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "in\n"
        with start() as second:
            assert second.stderr is not None
            assert second.stdout is not None
            assert second.stderr.readline() == "Waiting for another setup of this checkout ...\n"

            first.communicate("go\n", timeout=30)

            assert second.stdout.readline() == "in\n"
            second.communicate("go\n", timeout=30)


def test_standalone_environment_gets_a_copy_each_time(checkout: Path, tmp_path: Path) -> None:
    """
    The checkout is copied into a standalone environment at each run, and the rest is kept.
    """
    folder = tmp_path / "Zoë's data" / "venv"

    pythons = [Environment(checkout, RecordingInstaller(), standalone=folder).prepare(RUNTIME) for _ in range(2)]

    assert pythons == [python_in(folder)] * 2
    assert (folder / "journal").read_text().splitlines() == ["create", "install requirements.txt", "copy", "copy"]
    assert not (checkout / ".venv").exists()


def test_standalone_environment_is_updated_from_another_checkout(checkout: Path, tmp_path: Path) -> None:
    """
    A newer checkout in another folder updates a standalone environment in place.
    """
    folder = tmp_path / "venv"
    Environment(checkout, RecordingInstaller(), standalone=folder).prepare(RUNTIME)
    newer = checkout.rename(tmp_path / "newer")
    (newer / RUNTIME).write_text("# newer\n")

    Environment(newer, RecordingInstaller(), standalone=folder).prepare(RUNTIME)

    journal = (folder / "journal").read_text().splitlines()
    assert journal[3:] == ["install requirements.txt", "copy"]
