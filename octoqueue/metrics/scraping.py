"""`scraped`: serve `/metrics` of a registry over HTTP, for a program that serves nothing else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prometheus_client import CollectorRegistry


@asynccontextmanager
async def scraped(registry: CollectorRegistry, *, host: str, port: int) -> AsyncGenerator[int]:
    """Serve from a thread for the time of the block; gives the port, of which 0 takes a free one.

    Raises:
        OSError: nothing can listen there.
    """
    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    try:
        yield int(server.server_port)
    finally:
        await asyncio.to_thread(stop)
