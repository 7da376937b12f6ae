"""The command that forwards a port over SSH."""

from __future__ import annotations

import getpass
import shlex

import pytest

from upstash_helper.system.ssh import forwarding_command


@pytest.mark.parametrize(
    ("connection", "place"),
    [
        ("10.0.0.1 50000 203.0.113.5 22", ["@203.0.113.5"]),
        ("10.0.0.1 50000 203.0.113.5 2222", ["-p", "2222", "@203.0.113.5"]),
        ("fd00::1 50000 fd00::2 22", ["@fd00::2"]),
        ("10.0.0.1 50000 -oProxyCommand=id 22", ["@HOST"]),
        ("UNKNOWN 65535 UNKNOWN 65535", ["-p", "65535", "@HOST"]),
        ("something else", ["@HOST"]),
    ],
)
def test_command_can_be_pasted(connection: str, place: list[str]) -> None:
    """It has the address and port of this server, as the client used them, and the same port on both sides."""
    command = shlex.split(forwarding_command(3000, {"SSH_CONNECTION": connection}) or "")

    *options, target = place
    expected = ["ssh", "-N", "-L", "3000:127.0.0.1:3000", *options, f"{getpass.getuser()}{target}"]
    assert expected == command


def test_another_loopback_address_is_the_same_on_both_sides() -> None:
    """By default, ``ssh`` listens at 127.0.0.1 only, and there is nothing at this server's."""
    environ = {"SSH_CONNECTION": "10.0.0.1 50000 203.0.113.5 22"}

    command = shlex.split(forwarding_command(40123, environ, host="127.81.203.9") or "")

    assert ["ssh", "-N", "-L", "127.81.203.9:40123:127.81.203.9:40123"] == command[:4]


def test_without_ssh_there_is_none() -> None:
    """On the user's own computer, nothing has to be forwarded."""
    assert forwarding_command(3000, {"DISPLAY": ":0"}) is None
