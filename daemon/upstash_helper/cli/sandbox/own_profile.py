"""The profile of ``sandbox up``: its name, its settings, and what is kept between starts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.sandbox import managed_lines
from upstash_helper.cli.session import Session
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, Folders, SettingsError, secure_folder
from upstash_helper.system import confined_files, private_files, text

if TYPE_CHECKING:
    from pathlib import Path

PROFILE: Final = "sandbox"
"""The profile, unless the user chooses another one."""

EMAIL: Final = "sandbox@example.com"
_MAX_BYTES: Final = 16_384

# The settings that decide what the daemon connects to. They may be in the environment for the user's own daemon.
_MANAGED: Final = (
    "port",
    "port_policy",
    "api_port",
    "sign_in",
    "client_id",
    "auth_url",
    "issuer_url",
    "api_url",
    "rest_url",
    "credential_store",
    "auto_approve",
)


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the daemon listens, and where it finds its upstream."""

    port: int
    auth_url: str
    issuer_url: str
    api_url: str
    rest_url: str


class Kept(msgspec.Struct, kw_only=True):
    """What is kept in the sandbox's data folder."""

    addresses: Addresses | None = None
    auto_approve: bool = False
    email: str = EMAIL
    password: str = ""
    database_id: str | None = None

    def __repr__(self) -> str:
        return f"Kept(email={self.email!r}, …)"


class SandboxProfile:
    """The profile's files."""

    def __init__(self, session: Session) -> None:
        """
        Args:
            session: The command line's.

        Raises:
            Failure: If the profile is the one for the user's account.
            SettingsError: If its name is invalid, or the home folder is unknown.
        """
        name = session.profile_flag or os.environ.get(f"{ENV_PREFIX}PROFILE") or PROFILE
        if name == DEFAULT_PROFILE:
            message = (
                f"The profile {DEFAULT_PROFILE} is for your Upstash account. Omit --profile, or choose another one,"
                " such as --profile sandbox2."
            )
            raise Failure(message, code="profile_not_for_sandbox", exit_code=exit_codes.USAGE)
        self.session = Session(profile=name)
        self.session.json = session.json
        self.name = self.session.profile
        for key in _MANAGED:
            os.environ.pop(f"{ENV_PREFIX}{key.upper()}", None)

    @property
    def folders(self) -> Folders:
        """The profile's folders."""
        return self.session.folders

    @property
    def data(self) -> Path:
        """The sandbox's data folder."""
        return data_folder(self.folders)

    @property
    def log(self) -> Path:
        """The log of the sandbox's process."""
        return self.folders.logs / "sandbox.log"

    def command(self, *arguments: str) -> str:
        """Return a `sandbox` command line for this profile, to be shown to the user."""
        profile = () if self.name == PROFILE else ("--profile", self.name)
        return " ".join(["upstash-helper", *profile, "sandbox", *arguments])

    def require_own(self) -> None:
        """
        Check that the profile is not used for a real account.

        Raises:
            Failure: If it has files of a daemon that are not from this command. `reset` would delete them. The name
                "sandbox" does not prove that they do not belong to a real account.
        """
        if self.data.is_dir():
            return
        folders = self.folders
        kept = (folders.ledger_file, folders.registration_file, *sorted(folders.state.glob("credential*.json")))
        files = [path for path in kept if path.exists()]
        with contextlib.suppress(OSError):
            if managed_lines.BEGIN in folders.config_file.read_text(encoding="utf-8", errors="replace"):
                return  # an earlier start did not get further
            if self.name != PROFILE:
                files.append(folders.config_file)
        if files:
            message = (
                f"The profile {self.name} has files that this command did not write, such as {files[0]}. It may"
                " belong to your account. Choose another profile, such as --profile sandbox2."
            )
            raise Failure(message, code="profile_not_for_sandbox")

    def load(self) -> Kept:
        """
        Return what an earlier start has kept.

        Raises:
            Failure: If the file is damaged, or may belong to another user.
        """
        path = self._kept_file
        try:
            content = private_files.read(path, limit=_MAX_BYTES)
            return Kept() if content is None else msgspec.json.decode(content, type=Kept)
        except NotADirectoryError:
            return Kept()
        except private_files.NotPrivate as error:
            raise Failure(str(error), code="not_private") from error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            message = f"{path} is damaged. To start with an empty sandbox: {self.command('reset')}"
            raise Failure(message, code="sandbox_damaged") from None

    def save(self, kept: Kept) -> None:
        """
        Replace what is kept.

        Raises:
            OSError: If it cannot be written.
        """
        content = msgspec.json.encode(kept)
        try:
            if private_files.read(self._kept_file, limit=_MAX_BYTES) == content:
                return
        except (OSError, private_files.NotPrivate):
            pass
        private_files.write(self._kept_file, content)

    def configure(self, addresses: Addresses, *, auto_approve: bool) -> None:
        """
        Write the daemon's settings, so that it uses the sandbox however it is started.

        Args:
            addresses: Its port, and the sandbox's URLs.
            auto_approve: Whether access requests are approved automatically.

        Raises:
            Failure: If the user's own lines in the file contradict them.
            SettingsError: If the folder cannot be created.
            OSError: If the file cannot be written.
        """
        values: dict[str, str | int | bool] = {
            **msgspec.structs.asdict(addresses),
            "port_policy": "always",
            "sign_in": "open",
            # Without a keyring, this also works on servers and in containers. The secrets are only the sandbox's.
            "credential_store": "file",
            "auto_approve": auto_approve,
        }
        # JSON strings are valid TOML strings.
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        path = self.folders.config_file
        secure_folder(self.folders.config)
        try:
            managed_lines.update(path, lines, names=_MANAGED, first=True)
        except managed_lines.AlreadySet as error:
            message = (
                f"{path}, line {error.line}, sets {error.name}, which `sandbox up` sets itself. Remove the line, or"
                " choose another profile, such as --profile sandbox2."
            )
            raise Failure(message, code="profile_not_for_sandbox", exit_code=exit_codes.USAGE) from None
        except managed_lines.NoEnd as error:
            message = f"{path} was not changed: {error}. Add that line, or remove the lines that are left."
            raise Failure(message, code="not_managed", exit_code=exit_codes.USAGE) from None
        except text.NotUtf8 as error:
            message = f"{path} {error}"
            raise Failure(message, code="invalid_setting", exit_code=exit_codes.USAGE) from None
        except confined_files.Refused as error:
            raise Failure(str(error), code="invalid_setting", exit_code=exit_codes.USAGE) from None

    def configured(self) -> Addresses | None:
        """Return the addresses that ``configure`` has written, or None."""
        from upstash_helper.settings.config import read_toml

        path = self.folders.config_file
        try:
            if managed_lines.BEGIN not in path.read_text(encoding="utf-8"):
                return None
            values = read_toml(path)
            return msgspec.convert({name: values.get(name) for name in Addresses.__struct_fields__}, Addresses)
        except (OSError, UnicodeDecodeError, SettingsError, msgspec.ValidationError):
            return None

    @property
    def _kept_file(self) -> Path:
        return self.data / "account.json"


def data_folder(folders: Folders) -> Path:
    """Return the sandbox's data folder in a profile."""
    return folders.state / "sandbox"


def new_password() -> str:
    """Return a password for an account of the sandbox."""
    return secrets.token_urlsafe(18)
