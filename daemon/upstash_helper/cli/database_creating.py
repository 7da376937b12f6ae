"""``databases create``."""

from __future__ import annotations

import typing

import click

from upstash_helper.cli.commands.databases import complete_region
from upstash_helper.cli.database_reading import show
from upstash_helper.cli.options import command
from upstash_helper.cli.output import note
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import wire

PLANS = typing.get_args(wire.Plan)

# After these nobody knows whether there is a database now; the same key makes a repetition safe.
_UNCERTAIN = frozenset({"outcome_unknown", "request_in_progress", "upstream_timeout", "upstream_unavailable"})


@command("create")
@click.argument("name")
@click.option("--region", required=True, metavar="ID", shell_complete=complete_region, help="See `databases regions`.")
@click.option(
    "--read-region", "read_regions", multiple=True, metavar="ID", shell_complete=complete_region,
    help="A replica's region; may be given several times.",
)  # fmt: skip
@click.option("--platform", type=click.Choice(typing.get_args(wire.Platform)), help="The cloud; found from the region.")
@click.option("--plan", type=click.Choice(PLANS), help="What it costs; Upstash's default if left out.")
@click.option("--budget", type=click.IntRange(min=0), metavar="USD", help="Most that it may cost a month.")
@click.option("--eviction/--no-eviction", default=None, help="Evict entries when the memory is full.")
@click.option("--idempotency-key", metavar="KEY", help="Repeat a creation safely: the same key makes one database.")
@pass_session
def create(
    session: Session,
    *,
    name: str,
    region: str,
    read_regions: tuple[str, ...],
    platform: wire.Platform | None,
    plan: wire.Plan | None,
    budget: int | None,
    eviction: bool | None,
    idempotency_key: str | None,
) -> None:
    """Make a database."""
    from uuid import uuid4

    new = wire.CreateDatabase(
        name=name,
        primary_region=region,
        read_regions=read_regions,
        platform=platform,
        plan=plan,
        budget=budget,
        eviction=eviction,
    )
    made = _make(session, new, idempotency_key or str(uuid4()))

    show(session, made)
    if not session.json:
        note(f"Its variables for a .env file: {session.command('databases', 'env', name)}")


def _make(session: Session, new: wire.CreateDatabase, key: str) -> wire.Database:
    from upstash_helper.client.errors import ApiProblem, DaemonUnreachable

    client = session.client  # if this is unreachable, nothing was sent and no key is worth telling
    try:
        with session.progress(f"Creating {new.name}"):
            return client.create_database(new, idempotency_key=key)
    except (ApiProblem, DaemonUnreachable, KeyboardInterrupt) as error:
        if not isinstance(error, ApiProblem) or error.code in _UNCERTAIN:
            note(f"The database may have been made. To repeat the command safely, add: --idempotency-key {key}")
        raise
