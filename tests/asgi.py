"""An ASGI application as a client sees it: started, asked without a socket, stopped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    Application = Callable[..., Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(app: Application) -> AsyncGenerator[httpx.AsyncClient]:
    """Start the application, lend a client of it, stop it. What it raises reaches nobody."""
    heard: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "state": {}}, heard.get, said.put))
    await heard.put({"type": "lifespan.startup"})
    started = await said.get()
    assert started["type"] == "lifespan.startup.complete", started
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://reflex") as client:
            yield client
    finally:
        await heard.put({"type": "lifespan.shutdown"})
        await life
