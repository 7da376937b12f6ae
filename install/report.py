"""The result of a pytest run, from its JUnit file."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MODULE = "collection skipped"
_LONGEST_MESSAGE = 300


@dataclass
class Report:
    """How many tests passed, which failed, and why others were skipped."""

    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """The names of failed tests, and the beginnings of their messages."""
    skipped: Counter[str] = field(default_factory=Counter)
    """How many tests were skipped, by reason."""

    def lines(self) -> Iterator[str]:
        """Yield the report's lines, with the most frequent reasons first."""
        yield f"{self.passed} passed, {len(self.failed)} failed, {self.skipped.total()} skipped"
        for reason, count in sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count} skipped: {reason}"
        for name, message in self.failed.items():
            yield f"  failed: {name}: {message}"


def read(file: Path) -> Report:
    """Return the result in a JUnit file."""
    report = Report()
    modules = set()
    # pytest wrote the file a moment ago.
    for case in ET.parse(file).getroot().iter("testcase"):  # noqa: S314
        skipped = case.find("skipped")
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        if failure is not None:
            message = " ".join((failure.get("message") or "").split())
            report.failed[f"{case.get('classname')}::{case.get('name')}"] = message[:_LONGEST_MESSAGE]
        elif skipped is None or skipped.get("type") == "pytest.xfail":
            report.passed += 1
        elif skipped.get("message") != _MODULE:
            report.skipped[skipped.get("message", "")] += 1
        elif case.get("name") not in modules:  # each process of pytest reports it
            modules.add(case.get("name"))
            _, _, reason = ast.literal_eval(skipped.text or "")
            report.skipped[str(reason).removeprefix("Skipped: ")] += 1
    return report
