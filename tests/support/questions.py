"""An app's questions to the user, asked in the daemon of a test."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.support.until import until_async
from upstash_helper.broker.apps.registry import caller_of
from upstash_helper.broker.confirmations import Answer, Question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.world import World

DELETE = Question(
    action="database.delete",
    title='Delete the database "orders"?',
    detail='All data of "orders" (db-1, us-east-1) will be deleted. This cannot be undone.',
    target="db-1",
)

FOLDER = Question(
    action="env.write",
    title='Write the credentials of the database "orders" (db-1) to /project/.env?',
    detail="From now on, the app can write variables of databases that it created to files in /project.",
    target="/project/.env",
    lasting=True,
)


@contextlib.asynccontextmanager
async def asking(world: World, app_id: str, question: Question = DELETE) -> AsyncIterator[asyncio.Task[Answer]]:
    """Have an app with access ask ``question``. Once the block begins, the user can see it."""
    caller = caller_of(await world.daemon.apps.get(app_id))
    before = len(world.daemon.confirmations().waiting)
    task = asyncio.create_task(world.daemon.confirmations().ask(caller, question))
    await until_async(lambda: len(world.daemon.confirmations().waiting) > before or task.done())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
