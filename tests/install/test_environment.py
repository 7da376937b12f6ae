"""The environment in .venv: what is done when, and that nothing half-made is used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from install.environment import DEVELOPMENT, ROOT, RUNTIME, Environment, Stamp, Step, steps_from
from install.installers import python_in
from install.progress import CommandFailed, SetupError

EVERYTHING = (Step.MAKE, Step.INSTALL, Step.LINK)

WANTED = Stamp(base="here", requirements={RUNTIME: "r1"}, project="p1", installer="uv")


@dataclass
class NotingInstaller:
    """The far side: its commands are real programs, which write into the environment what they were told to do."""

    name: str = "uv"
    variables: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    """The command that fails, having done half of its work."""

    def make(self, venv: Path, base: str) -> Sequence[str]:
        python = python_in(venv)
        return self._command("make", venv, f"p.mkdir(parents=True); (p / {python.name!r}).touch()", python.parent, base)

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        return self._command(f"install {requirements}", python.parent.parent, "", python)

    def link(self, python: Path) -> Sequence[str]:
        return self._command("link", python.parent.parent, "", python)

    def copy(self, python: Path) -> Sequence[str]:
        return self._command("copy", python.parent.parent, "", python)

    def _command(self, what: str, venv: Path, code: str, path: Path, *rest: str) -> Sequence[str]:
        program = (
            f"import pathlib, sys; p = pathlib.Path(sys.argv[1]); {code}\n"
            f"(pathlib.Path(sys.argv[2]) / 'journal').open('a').write({what!r} + chr(10))\n"
            f"sys.exit({'no luck' if what == self.broken else 0!r})"
        )
        return [sys.executable, "-c", program, str(path), str(venv), *rest]


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checköut"
    root.mkdir()
    for name in (RUNTIME, DEVELOPMENT, "pyproject.toml"):
        (root / name).write_text(f"# {name}\n")
    return root


def done_in(checkout: Path) -> list[str]:
    """Return what was done since the environment was last made, in order."""
    return (checkout / ".venv" / "journal").read_text().splitlines()


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (None, EVERYTHING),
        (replace(WANTED, base="elsewhere"), EVERYTHING),
        (replace(WANTED, requirements={RUNTIME: "r0"}), (Step.INSTALL, Step.LINK)),
        (replace(WANTED, requirements={}), (Step.INSTALL, Step.LINK)),
        (replace(WANTED, project="p0"), (Step.LINK,)),
        (WANTED, ()),
        (replace(WANTED, installer="pip"), ()),
        (replace(WANTED, requirements={RUNTIME: "r1", DEVELOPMENT: "d1"}), ()),
    ],
)
def test_only_what_changed_is_done_again(found: Stamp | None, steps: tuple[Step, ...]) -> None:
    """
    An environment is made anew only for another interpreter or folder; packages and checkout are brought up to date.
    """
    assert steps == steps_from(found, WANTED)


def test_pip_does_not_go_on_where_uv_began() -> None:
    """
    An environment made by uv, which puts no pip into it, is made anew once uv is gone and there is something to do.
    """
    wanted = replace(WANTED, installer="pip", requirements={RUNTIME: "r2"})

    steps = steps_from(WANTED, wanted)

    assert steps == EVERYTHING


def test_a_fresh_checkout_is_set_up_in_order(checkout: Path) -> None:
    """
    The first run makes the environment, installs what is pinned, then the checkout, and returns the interpreter.
    """
    python = Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert done_in(checkout) == ["make", "install requirements.txt", "link"]
    assert python.is_file()


def test_the_second_run_has_nothing_to_do(checkout: Path) -> None:
    """
    With nothing changed no program is started.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    before = done_in(checkout)

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert before == done_in(checkout)


def test_the_environment_for_tests_is_one_for_the_demo(checkout: Path) -> None:
    """
    After the tests the demo starts at once, for all that it needs is there.
    """
    Environment(checkout, NotingInstaller()).prepare(DEVELOPMENT)

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert done_in(checkout) == ["make", "install requirements-dev.txt", "link"]


def test_the_environment_for_the_demo_grows_into_one_for_tests(checkout: Path) -> None:
    """
    After the demo the tests add what they need to the same environment.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    Environment(checkout, NotingInstaller()).prepare(DEVELOPMENT)

    assert done_in(checkout)[3:] == ["install requirements-dev.txt", "link"]


@pytest.mark.parametrize("broken", ["make", "install requirements.txt", "link"])
def test_a_set_up_that_broke_off_is_started_over(checkout: Path, broken: str) -> None:
    """
    Wherever a set-up ended early, the next one leaves nothing of it.
    """
    with pytest.raises(CommandFailed):
        Environment(checkout, NotingInstaller(broken=broken)).prepare(RUNTIME)
    (checkout / ".venv" / "half-made").touch()

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert done_in(checkout) == ["make", "install requirements.txt", "link"]
    assert not (checkout / ".venv" / "half-made").exists()


def test_an_update_that_broke_off_is_started_over(checkout: Path) -> None:
    """
    An environment that was good is not trusted after half of an update.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    (checkout / RUNTIME).write_text("# other pins\n")
    with pytest.raises(CommandFailed):
        Environment(checkout, NotingInstaller(broken="link")).prepare(RUNTIME)

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert done_in(checkout) == ["make", "install requirements.txt", "link"]


def test_a_checkout_that_was_moved_is_set_up_anew(checkout: Path) -> None:
    """
    An environment has its folder written into its scripts, so it does not outlive a move.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    (checkout / ".venv" / "from-before").touch()
    moved = checkout.rename(checkout.with_name("moved"))

    Environment(moved, NotingInstaller()).prepare(RUNTIME)

    assert not (moved / ".venv" / "from-before").exists()
    assert done_in(moved) == ["make", "install requirements.txt", "link"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links for everybody")
def test_another_name_of_the_checkout_is_the_same_checkout(checkout: Path) -> None:
    """
    Reached through a symbolic link, the environment is taken as it is.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    link = checkout.with_name("link")
    link.symlink_to(checkout)

    Environment(link, NotingInstaller()).prepare(RUNTIME)

    assert done_in(checkout) == ["make", "install requirements.txt", "link"]


def test_an_environment_without_its_interpreter_is_made_anew(checkout: Path) -> None:
    """
    When the Python that an environment was made of is gone, it is made of the present one.
    """
    python = Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    python.unlink()

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert python.is_file()


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"base": 1}', '{"another": "format"}'])
def test_a_stamp_that_cannot_be_read_counts_as_none(checkout: Path, stamp: str) -> None:
    """
    A damaged stamp costs a new environment, and no error.
    """
    Environment(checkout, NotingInstaller()).prepare(RUNTIME)
    (checkout / ".venv" / "upstash-helper.json").write_text(stamp)
    (checkout / ".venv" / "from-before").touch()

    Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert not (checkout / ".venv" / "from-before").exists()


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Path) -> None:
    """
    Whatever else somebody keeps in a folder of this name is not deleted.
    """
    keepsake = checkout / ".venv" / "keepsake"
    keepsake.parent.mkdir()
    keepsake.write_text("mine")

    with pytest.raises(SetupError, match="is no virtual environment: move it away"):
        Environment(checkout, NotingInstaller()).prepare(RUNTIME)

    assert keepsake.read_text() == "mine"


def test_a_missing_pin_file_is_named(checkout: Path) -> None:
    """
    An incomplete checkout is told from the file that lacks.
    """
    (checkout / RUNTIME).unlink()

    with pytest.raises(SetupError, match=r"requirements\.txt could not be read"):
        Environment(checkout, NotingInstaller()).prepare(RUNTIME)


def test_two_set_ups_of_a_checkout_take_turns(tmp_path: Path) -> None:
    """
    A set-up that finds another one at work says so, and begins when that one is over.
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
            assert second.stderr.readline() == "Waiting for another set-up of this checkout ...\n"

            first.communicate("go\n", timeout=30)

            assert second.stdout.readline() == "in\n"
            second.communicate("go\n", timeout=30)


def test_an_environment_apart_gets_a_copy_each_time(checkout: Path, tmp_path: Path) -> None:
    """
    A user's own environment has the checkout as it was: it is copied again at each run, and the rest is kept.
    """
    apart = tmp_path / "Zoë's data" / "venv"

    pythons = [Environment(checkout, NotingInstaller(), apart=apart).prepare(RUNTIME) for _ in range(2)]

    assert pythons == [python_in(apart)] * 2
    assert (apart / "journal").read_text().splitlines() == ["make", "install requirements.txt", "copy", "copy"]
    assert not (checkout / ".venv").exists()


def test_an_environment_apart_is_the_same_from_another_checkout(checkout: Path, tmp_path: Path) -> None:
    """
    A newer checkout in another folder brings it up to date in place.
    """
    apart = tmp_path / "venv"
    Environment(checkout, NotingInstaller(), apart=apart).prepare(RUNTIME)
    newer = checkout.rename(tmp_path / "newer")
    (newer / RUNTIME).write_text("# newer\n")

    Environment(newer, NotingInstaller(), apart=apart).prepare(RUNTIME)

    journal = (apart / "journal").read_text().splitlines()
    assert journal[3:] == ["install requirements.txt", "copy"]
