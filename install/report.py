"""The result of a pytest run, from its JUnit file."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MODULE = "collection skipped"


@dataclass
class Report:
    """How many tests passed, which failed, and why others were skipped."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """How many tests were skipped, by reason."""

    def lines(self) -> Iterator[str]:
        """Yield the report's lines, with the most frequent reasons first."""
        yield f"{self.passed} passed, {len(self.failed)} failed, {self.skipped.total()} skipped"
        for reason, count in sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count} skipped: {reason}"
        for name in self.failed:
            yield f"  failed: {name}"


def read(file: Path) -> Report:
    """Return the result in a JUnit file."""
    report = Report()
    modules = set()
    # pytest wrote the file a moment ago.
    for case in ET.parse(file).getroot().iter("testcase"):  # noqa: S314
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            report.failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif skipped is None or skipped.get("type") == "pytest.xfail":
            report.passed += 1
        elif skipped.get("message") != _MODULE:
            report.skipped[skipped.get("message", "")] += 1
        elif case.get("name") not in modules:  # each process of pytest reports it
            modules.add(case.get("name"))
            _, _, reason = ast.literal_eval(skipped.text or "")
            report.skipped[str(reason).removeprefix("Skipped: ")] += 1
    return report
