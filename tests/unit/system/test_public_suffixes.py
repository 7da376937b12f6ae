"""The Public Suffix List: bundled, and read only when it is needed."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import socket, sys

def refuse(*_):
    raise AssertionError("the network is used")

socket.socket.connect = refuse
import upstash_helper.runtime.compose
from upstash_helper.system.public_suffixes import ListedSuffixes
suffixes = ListedSuffixes()
before = "publicsuffixlist" in sys.modules
print(before, suffixes.registrable_domain("a.b.example.co.uk"), "publicsuffixlist" in sys.modules)
"""


def test_list_is_read_offline_and_on_first_use() -> None:
    """A daemon that starts, or to which only programs talk, does not read it."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert "False example.co.uk True" == ran.stdout.strip()
