"""``doctor``: what is wrong, and how to mend it."""

from __future__ import annotations

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.options import command
from upstash_helper.cli.output import print_json, styled
from upstash_helper.cli.session import Session, pass_session

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
# What a console without Unicode shows instead.
_PLAIN = {"ok": "ok", "warning": "!!", "error": "XX"}


@command("doctor")
@pass_session
def doctor(session: Session) -> None:
    """
    Find out what is wrong, and how to mend it.

    Exits with 1 if anything is marked ✗. What is marked ! works, but may surprise.
    """
    from upstash_helper.cli.checks import examine

    findings = []
    for finding in examine(session):
        findings.append(finding)
        if not session.json:
            click.echo(f"{_mark(finding.state)} {finding.name}: {finding.detail}")
            if finding.fix:
                click.echo(f"  → {finding.fix}" if _unicode() else f"  -> {finding.fix}")

    healthy = not any(finding.state == "error" for finding in findings)
    if session.json:
        print_json({"healthy": healthy, "checks": findings})
    click.get_current_context().exit(exit_codes.OK if healthy else exit_codes.FAILURE)


def _mark(state: str) -> str:
    mark, color = _MARKS[state]
    return styled(mark if _unicode() else _PLAIN[state], color)


def _unicode() -> bool:
    import sys

    try:
        "✓✗→".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
