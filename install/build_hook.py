"""The build hook of hatchling, which adds the man pages to the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IN_WHEEL = "upstash_helper/cli/manual"


class ManPages(BuildHookInterface[Any]):
    """Generates the pages with ``install/manual.py``, in a subprocess, because it imports the code that is packed."""

    PLUGIN_NAME = "man-pages"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """
        Generate the pages: beside the code for an editable installation, and otherwise in the wheel alone.

        Args:
            version: ``editable`` or ``standard``.
            build_data: Receives the files to add.
        """
        root = Path(self.root)
        if version == "editable":
            _generate(root, root / "daemon" / _IN_WHEEL)
            return
        self._temporary = tempfile.TemporaryDirectory()
        folder = Path(self._temporary.name)
        _generate(root, folder)
        build_data["force_include"] |= {str(page): f"{_IN_WHEEL}/{page.name}" for page in sorted(folder.iterdir())}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove the generated files; they are in the wheel by now."""
        if version != "editable":
            self._temporary.cleanup()


def _generate(root: Path, folder: Path) -> None:
    # sys.path has what an isolated build environment adds to it; the code that is packed comes first.
    path = os.pathsep.join((str(root / "daemon"), *sys.path))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    # -P: modules in install/ must not shadow those of the standard library.
    subprocess.run(
        [sys.executable, "-P", str(root / "install" / "manual.py"), str(folder)], env=environment, check=True
    )
