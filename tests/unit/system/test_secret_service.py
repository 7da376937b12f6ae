"""KWallet's setting that makes it ask before a program uses an open wallet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has KWallet")
@pytest.mark.parametrize(
    ("text", "asks"),
    [
        (None, False),
        ("[Wallet]\nEnabled=true\n", False),
        ("[Wallet]\nPrompt on Open=false\n", False),
        ("[Wallet]\nPrompt on Open=true\n", True),
        ("[$Version]\nupdate_info=a\n[Auto Allow]\nkdewallet=KDE\n[Wallet]\nPrompt on Open=true\n", True),
        ("[Wallet]\nPrompt on Open=perhaps\n", True),
        ("no settings\n", True),
    ],
)
def test_kwallet_that_may_ask_is_recognized(tmp_path: Path, text: str | None, *, asks: bool) -> None:
    """
    Without the setting it does not ask. If the setting cannot be read, it may.
    """
    from upstash_helper.system.secret_service import kwallet_asks

    if text is not None:
        (tmp_path / "kwalletrc").write_text(text)

    assert asks == kwallet_asks({"XDG_CONFIG_HOME": str(tmp_path)})
