"""Setting agents up and undoing it, with real files in a temporary home."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.platforms import symbolic_links
from upstash_helper.cli.agents import changes, preview, record, uninstalling
from upstash_helper.cli.agents.catalog import AGENTS, Agent, Computer, Target
from upstash_helper.cli.agents.changes import Proposal, Wanted
from upstash_helper.cli.agents.errors import Refused
from upstash_helper.service.context import this_platform
from upstash_helper.system import open_files

if TYPE_CHECKING:
    from collections.abc import Callable

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="platform: root alone gives files to other users"
)

SECRET = "sk-of-another-server"
HTTP = Target(url="http://localhost:3000/mcp")
STDIO = Target(command=("/opt/bin/upstash-helper", "mcp"))
WANTED = Wanted(server="upstash", targets={"http": HTTP, "stdio": STDIO})
OTHER = {"command": "npx", "args": ["other"], "env": {"API_KEY": SECRET}}

CONTENTS = {
    "claude-code": json.dumps({"numStartups": 7, "mcpServers": {"other": OTHER}, "history": []}, indent=2),
    "codex": f'model = "gpt"\n\n[mcp_servers.other] # x\ncommand = "npx"\nenv = {{ API_KEY = "{SECRET}" }}\n',
    "gemini": '\ufeff{\r\n\t// Mine\r\n\t"theme": "Dark"\r\n}\r\n',
    "cursor": json.dumps({"mcpServers": {"other": OTHER}}),
    "vscode": '{\n    "servers": {\n        "other": {"command": "npx"}, // x\n    },\n    "inputs": [],\n}\n',
    "opencode": '{\n  "$schema": "https://opencode.ai/config.json",\n  "mcp": {},\n}',
}
"""Files as users have them: with comments, trailing commas, tabs, CRLF, a byte order mark, or no final line end."""


class Home:
    """A user's home folder with agents, and the record of what was changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        self.state = folder / "state"
        self.computer = Computer(platform=this_platform(), home=self.folder, environ={})

    def file(self, name: str) -> Path:
        return AGENTS[name].file(self.computer)

    def write(self, name: str, content: str) -> Path:
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
        return file

    def proposal(self, name: str, target: Target = HTTP) -> Proposal:
        return changes.propose_setup(AGENTS[name], self.computer, WANTED, target, self.state)

    def set_up(self, name: str, target: Target = HTTP) -> Proposal:
        return self.apply(self.proposal(name, target), lambda: self.proposal(name, target))

    def apply(self, proposal: Proposal, again: Callable[[], Proposal]) -> Proposal:
        return changes.apply(proposal, again, state=self.state)

    def undo(self, name: str) -> Proposal:
        """Undo the changes of the file that was changed last."""
        mine = record.by_file([one for one in record.load(self.state) if one.agent == name])[0]
        return self.apply(changes.propose_undo(AGENTS[name], mine), lambda: changes.propose_undo(AGENTS[name], mine))

    def examined(self, name: str) -> changes.Examined:
        return changes.examine(AGENTS[name], self.computer, WANTED)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path)
    found.folder.mkdir()
    return found


def entry(agent: Agent, file: Path, server: str = "upstash") -> Any:
    from upstash_helper.cli.agents import entries

    return entries.find(agent, file.read_bytes().decode("utf-8-sig"), server)


# --- setting up and undoing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [HTTP, STDIO], ids=["http", "stdio"])
@pytest.mark.parametrize("name", AGENTS)
def test_setup_adds_an_entry_and_undo_restores_the_bytes(home: Home, name: str, target: Target) -> None:
    """
    For each agent and transport, in a file with other servers.
    """
    file = home.write(name, CONTENTS[name])
    before = file.read_bytes()
    assert "not_set_up" == home.examined(name).state

    home.set_up(name, target)
    assert ("set_up", target) == (home.examined(name).state, home.examined(name).target)
    assert AGENTS[name].fields(target) == entry(AGENTS[name], file)

    home.undo(name)
    assert before == file.read_bytes()
    assert [] == record.load(home.state)
    assert not (home.state / record.FILE_NAME).exists()


@pytest.mark.parametrize("name", AGENTS)
def test_setup_creates_a_missing_file_and_undo_removes_it(home: Home, name: str) -> None:
    """
    With the folders that did not exist, if nothing else is in them by then.
    """
    home.set_up(name)
    assert AGENTS[name].fields(HTTP) == entry(AGENTS[name], home.file(name))

    home.undo(name)
    assert [] == list(home.folder.iterdir())


@unix
def test_new_file_is_private_and_an_existing_one_keeps_its_mode(home: Home) -> None:
    """
    Other programs may write secrets to a new file.
    """
    home.set_up("codex")
    file = home.write("cursor", "{}")
    file.chmod(0o640)
    home.set_up("cursor")

    assert 0o600 == home.file("codex").stat().st_mode & 0o777
    assert 0o700 == home.file("codex").parent.stat().st_mode & 0o777
    assert 0o640 == file.stat().st_mode & 0o777


@root
def test_group_and_extended_attributes_are_kept(home: Home) -> None:
    """
    Those of the file that is replaced.
    """
    file = home.write("cursor", "{}")
    os.chown(file, -1, 4321)
    try:
        os.setxattr(file, "user.note", b"mine")
    except OSError:
        pytest.skip("platform: this file system has no extended attributes")

    home.set_up("cursor")

    assert 4321 == file.stat().st_gid
    assert b"mine" == os.getxattr(file, "user.note")


def test_second_setup_changes_nothing(home: Home) -> None:
    """
    Undo still restores what was there before the first one.
    """
    file = home.write("claude-code", CONTENTS["claude-code"])
    home.set_up("claude-code")
    after = file.read_bytes()

    assert not home.set_up("claude-code").is_change
    assert after == file.read_bytes()

    home.undo("claude-code")
    assert CONTENTS["claude-code"].encode() == file.read_bytes()


def test_undo_restores_what_was_there_before_several_changes(home: Home) -> None:
    """
    One undo for all of them.
    """
    file = home.write("codex", CONTENTS["codex"])
    for target in (HTTP, STDIO, HTTP):
        home.set_up("codex", target)
    assert 3 == len(record.load(home.state))

    home.undo("codex")

    assert CONTENTS["codex"].encode() == file.read_bytes()


@pytest.mark.parametrize("is_removed", [False, True], ids=["both files", "the last one is removed"])
def test_undo_restores_each_file_of_an_agent(home: Home, *, is_removed: bool) -> None:
    """
    Such as those for two values of CLAUDE_CONFIG_DIR. The record keeps the changes of one when the other is undone.
    """
    first = home.write("claude-code", CONTENTS["claude-code"])
    home.set_up("claude-code")
    own = home.folder / "own"
    home.computer = Computer(platform=this_platform(), home=home.folder, environ={"CLAUDE_CONFIG_DIR": str(own)})
    second = home.write("claude-code", "{}")
    assert first != second
    home.set_up("claude-code")
    if is_removed:
        open_files.remove(second)

    assert second == home.undo("claude-code").file.path
    assert [str(first)] == [one.path for one in record.load(home.state)]
    assert first == home.undo("claude-code").file.path

    assert CONTENTS["claude-code"].encode() == first.read_bytes()
    assert is_removed or second.read_bytes() == b"{}"
    assert [] == record.load(home.state)


def test_uninstall_restores_each_file_of_an_agent(home: Home) -> None:
    """
    It removes the record, so nothing could be restored afterwards. Its notes name the file.
    """
    first = home.write("codex", CONTENTS["codex"])
    home.set_up("codex")
    home.computer = Computer(platform=this_platform(), home=home.folder, environ={"CODEX_HOME": str(home.folder)})
    second = home.write("codex", "")
    home.set_up("codex")
    open_files.remove(second)

    steps, notes = uninstalling.undo_all(home.state, dry=False)

    assert [str(first)] == [step.what for step in steps]
    assert [f"Codex: {second}: The file no longer exists."] == notes
    assert CONTENTS["codex"].encode() == first.read_bytes()
    assert [] == record.load(home.state)


@symbolic_links
def test_undo_of_a_file_with_two_paths_restores_what_was_there_before_both(home: Home) -> None:
    """
    Otherwise, the change through the other path would look like one of the user.
    """
    first = home.write("claude-code", CONTENTS["claude-code"])
    home.set_up("claude-code")
    own = home.folder / "own"
    own.mkdir()
    (own / ".claude.json").symlink_to(first)
    home.computer = Computer(platform=this_platform(), home=home.folder, environ={"CLAUDE_CONFIG_DIR": str(own)})
    home.set_up("claude-code", STDIO)

    home.undo("claude-code")

    assert CONTENTS["claude-code"].encode() == first.read_bytes()
    assert [] == record.load(home.state)


@pytest.mark.parametrize("name", ["claude-code", "codex"])
def test_entry_of_another_server_is_replaced_and_restored(home: Home, name: str) -> None:
    """
    An entry of the same name may be another server's, such as one with an API key. Fields that are not about the
    connection are kept.
    """
    texts = {
        "claude-code": json.dumps({"mcpServers": {"upstash": {**OTHER, "timeout": 5}}}, indent=1),
        "codex": '[mcp_servers.upstash]\ncommand = "npx"\nargs = ["other"]\nenv = { API_KEY = "x" }\ntimeout = 5\n',
    }
    file = home.write(name, texts[name])
    before = file.read_bytes()
    assert "different" == home.examined(name).state

    home.set_up(name)
    assert {**AGENTS[name].fields(HTTP), "timeout": 5} == entry(AGENTS[name], file)

    home.undo(name)
    assert before == file.read_bytes()


def test_options_that_the_user_has_added_to_the_command_are_kept(home: Home) -> None:
    """
    Such as the one that lets the agent only read.
    """
    entry_of_user = {"command": STDIO.command[0], "args": ["mcp", "--read-only"]}
    file = home.write("cursor", json.dumps({"mcpServers": {"upstash": entry_of_user}}))

    assert "set_up" == home.examined("cursor").state
    assert not home.set_up("cursor", STDIO).is_change
    assert entry_of_user == entry(AGENTS["cursor"], file)


# --- others change the file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_undo_of_a_changed_file_removes_only_our_entry(home: Home, name: str) -> None:
    """
    What others have written since stays, and the user is told so.
    """
    file = home.write(name, CONTENTS[name])
    home.set_up(name)
    edits: dict[str, Callable[[str], str]] = {
        "claude-code": lambda text: text.replace('"numStartups": 7', '"numStartups": 8'),
        "codex": lambda text: text.replace('"gpt"', '"gpt-5"') + "\n[projects]\n",
        "gemini": lambda text: text.replace("Dark", "Light"),
        "cursor": lambda text: text.replace("npx", "bunx"),
        "vscode": lambda text: text.replace("// x", "// y"),
        "opencode": lambda text: text.replace("config.json", "schema.json"),
    }
    changed = edits[name]
    file.write_bytes(changed(file.read_bytes().decode()).encode())

    undone = home.undo(name)

    expected = changed(CONTENTS[name])
    assert expected.encode() == file.read_bytes()
    assert "The file has changed since setup, so only the entry is removed." == undone.note
    assert [] == record.load(home.state)


@pytest.mark.parametrize("name", ["claude-code", "codex"])
def test_undo_of_a_changed_file_restores_the_earlier_entry(home: Home, name: str) -> None:
    """
    If ours has replaced one.
    """
    before = {
        "claude-code": '{\n "mcpServers": {\n  "upstash": {\n   "command": "npx",\n   "args": ["a"]\n  }\n }\n}\n',
        "codex": '[mcp_servers.upstash]\ncommand = "npx"\nargs = ["a"]\n',
    }[name]
    file = home.write(name, before)
    home.set_up(name)
    with file.open("a", encoding="utf-8", newline="") as text:
        text.write("\n")

    undone = home.undo(name)

    assert {"command": "npx", "args": ["a"]} == entry(AGENTS[name], file)
    assert "The file has changed since setup, so only the entry is restored." == undone.note


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ('{"mcpServers": {"upstash": {"url": "https://mine"}}}', 'The entry "upstash" has changed since setup'),
        (
            '{"mcpServers": {"upstash": {"url": "http://localhost:3000/mcp", "headers": {"X": "y"}}}}',
            "has changed since setup",
        ),
        ('{"mcpServers": {}}', "no longer contains the entry"),
        (None, "The file no longer exists."),
    ],
)
def test_undo_leaves_what_the_user_has_changed(home: Home, changed: str | None, note: str) -> None:
    """
    An entry that is not ours anymore, or a file that is gone. The record is removed, since there is nothing to undo.
    """
    file = home.write("cursor", "{}")
    home.set_up("cursor")
    if changed is None:
        file.unlink()
    else:
        file.write_text(changed, encoding="utf-8")

    undone = home.undo("cursor")

    assert not undone.is_change
    assert note in undone.note
    assert changed == (file.read_text(encoding="utf-8") if file.exists() else None)
    assert [] == record.load(home.state)


def test_file_that_an_agent_creates_and_extends_is_kept_by_undo(home: Home) -> None:
    """
    It did not exist before, but it is not only ours anymore.
    """
    home.set_up("claude-code")
    file = home.file("claude-code")
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps({**content, "userID": "x"}, indent=2), encoding="utf-8")

    home.undo("claude-code")

    assert {"userID": "x"} == json.loads(file.read_bytes())


def test_change_of_a_running_agent_is_not_lost(home: Home) -> None:
    """
    An agent that has written its file after it was read: the change is made in the new content.
    """
    file = home.write("claude-code", CONTENTS["claude-code"])
    proposal = home.proposal("claude-code")
    home.write("claude-code", CONTENTS["claude-code"].replace("7", "8"))

    home.apply(proposal, lambda: home.proposal("claude-code"))

    content = json.loads(file.read_bytes())
    assert 8 == content["numStartups"]
    assert AGENTS["claude-code"].fields(HTTP) == content["mcpServers"]["upstash"]
    home.undo("claude-code")
    assert CONTENTS["claude-code"].replace("7", "8").encode() == file.read_bytes()


def test_file_that_is_changed_all_the_time_is_left_to_its_agent(home: Home) -> None:
    """
    After some tries. The agent's content stays, nothing is left next to it, and the record has nothing.
    """
    file = home.write("claude-code", "{}")
    written: list[str] = []

    def again() -> Proposal:
        proposal = home.proposal("claude-code")
        written.append(f'{{"n": {len(written)}}}')
        file.write_text(written[-1], encoding="utf-8")
        return proposal

    with pytest.raises(Refused, match="Claude Code keeps changing"):
        home.apply(again(), again)

    assert written[-1] == file.read_text(encoding="utf-8")
    assert [file] == list(file.parent.iterdir())
    assert [] == record.load(home.state)


# --- files that are not changed ---------------------------------------------------------------------------------------


@unix
def test_read_only_file_is_not_changed(home: Home) -> None:
    """
    Tools that manage dotfiles make them read-only on purpose. The folder would allow replacing it.
    """
    file = home.write("codex", CONTENTS["codex"])
    file.chmod(0o444)

    with pytest.raises(Refused, match="is read-only, so it is not changed"):
        home.set_up("codex")

    assert CONTENTS["codex"].encode() == file.read_bytes()


@root
def test_file_of_another_user_is_not_changed(home: Home) -> None:
    """
    Root could, and its owner could then not change it anymore.
    """
    file = home.write("codex", CONTENTS["codex"])
    os.chown(file, 54_321, -1)

    with pytest.raises(Refused, match="belongs to the user with ID 54321"):
        home.set_up("codex")

    assert CONTENTS["codex"].encode() == file.read_bytes()


@unix
def test_file_with_two_names_is_not_changed(home: Home) -> None:
    """
    The other name would keep the old content.
    """
    file = home.write("codex", CONTENTS["codex"])
    os.link(file, home.folder / "other")

    with pytest.raises(Refused, match="hard links"):
        home.set_up("codex")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("claude-code", '{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"),
        ("codex", "a = 1\na = 2\n", "line 2, column"),
        ("gemini", '{"a": 1,} // x', "is not valid JSON: line 1"),
        ("vscode", '{"servers": []}', '"servers" is not an object'),
        ("vscode", '{"servers": {"upstash": "x"}}', '"upstash" is not an object'),
        ("cursor", '["a"]', "expected an object"),
        ("opencode", "{", "line 1, column 2"),
    ],
)
def test_invalid_file_is_refused_with_its_place(home: Home, name: str, content: str, problem: str) -> None:
    """
    The agent does not read it either. It is not changed, and it is listed.
    """
    file = home.write(name, content)

    with pytest.raises(Refused) as caught:
        home.set_up(name)

    assert problem in str(caught.value)
    assert str(file) in str(caught.value)
    assert content.encode() == file.read_bytes()
    assert "unreadable" == home.examined(name).state


@pytest.mark.parametrize("content", ["{}".encode("utf-16"), b'{"a": "\xe4"}', b"\x00\x01"])
def test_file_in_another_encoding_is_refused(home: Home, content: bytes) -> None:
    """
    It would be damaged.
    """
    file = home.file("claude-code")
    file.write_bytes(content)

    with pytest.raises(Refused):
        home.set_up("claude-code")

    assert content == file.read_bytes()


def test_folder_in_the_place_of_the_file_is_refused(home: Home) -> None:
    """
    With a sentence, not a traceback.
    """
    home.file("claude-code").mkdir()

    with pytest.raises(Refused, match=r"is not a file|cannot be read"):
        home.set_up("claude-code")


# --- links ------------------------------------------------------------------------------------------------------------


@symbolic_links
def test_link_of_a_dotfile_manager_is_followed(home: Home, tmp_path: Path) -> None:
    """
    The link stays, the file that it points to is changed, and undo restores that file.
    """
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    target = dotfiles / "codex.toml"
    target.write_text(CONTENTS["codex"], encoding="utf-8")
    file = home.file("codex")
    file.parent.mkdir()
    file.symlink_to(os.path.relpath(target, file.parent))

    home.set_up("codex")
    assert file.is_symlink()
    assert AGENTS["codex"].fields(HTTP) == entry(AGENTS["codex"], target)
    assert [target] == list(dotfiles.iterdir())

    home.undo("codex")
    assert file.is_symlink()
    assert CONTENTS["codex"] == target.read_text(encoding="utf-8")


@symbolic_links
def test_link_to_nothing_is_refused(home: Home) -> None:
    """
    So is one in a loop. Nothing is created.
    """
    file = home.file("claude-code")
    file.symlink_to(home.folder / "missing")
    with pytest.raises(Refused, match="does not exist"):
        home.set_up("claude-code")
    assert not (home.folder / "missing").exists()

    open_files.remove(file)
    file.symlink_to(file)
    with pytest.raises(Refused):
        home.set_up("claude-code")


@symbolic_links
def test_undo_does_not_restore_another_file_through_a_new_link(home: Home, tmp_path: Path) -> None:
    """
    The bytes that were recorded are those of another file.
    """
    file = home.write("codex", "")
    home.set_up("codex")
    content = file.read_bytes()
    target = tmp_path / "moved.toml"
    open_files.replace(file, target)
    file.symlink_to(target)

    undone = home.undo("codex")

    assert content != target.read_bytes()
    assert "only the entry is removed" in undone.note


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_neither_the_record_nor_the_preview_has_secrets_of_other_servers(home: Home, name: str) -> None:
    """
    The record has only the difference, and the preview hides values around the change.
    """
    before = (
        CONTENTS[name] if SECRET in CONTENTS[name] else CONTENTS[name].replace("npx", SECRET).replace("Dark", SECRET)
    )
    home.write(name, before)
    proposal = home.proposal(name)

    shown = "\n".join(preview.lines(proposal, visible=preview.visible_in(proposal)))
    home.set_up(name)

    assert HTTP.url in shown
    assert SECRET not in shown
    assert SECRET.encode() not in (home.state / record.FILE_NAME).read_bytes()


def test_preview_hides_the_values_of_an_entry_that_is_replaced(home: Home) -> None:
    """
    It may have had an API key.
    """
    home.write("claude-code", json.dumps({"mcpServers": {"upstash": OTHER}}, indent=2))
    proposal = home.proposal("claude-code")

    shown = preview.lines(proposal, visible=preview.visible_in(proposal))

    assert SECRET not in "\n".join(shown)
    assert any(line.startswith("-") and '"API_KEY": "…"' in line for line in shown)
    assert SECRET not in repr(proposal)


@unix
def test_record_is_private(home: Home) -> None:
    """
    It has the text of replaced entries.
    """
    home.set_up("codex")

    assert 0o600 == (home.state / record.FILE_NAME).stat().st_mode & 0o777


def test_damaged_record_is_reported(home: Home) -> None:
    """
    Nothing is changed without a record, since it could not be undone.
    """
    home.state.mkdir()
    (home.state / record.FILE_NAME).write_text("{", encoding="utf-8")
    (home.state / record.FILE_NAME).chmod(0o600)

    with pytest.raises(Refused, match="is damaged"):
        home.set_up("codex")

    assert not home.file("codex").exists()
