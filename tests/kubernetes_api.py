"""A Kubernetes API that knows one verb: patching a pod."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.scaling.deletion_cost import ANNOTATION

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CERTIFICATES = Path(__file__).parent / "data" / "kubernetes"


@dataclass
class Asked:
    """One request."""

    line: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def cost(self) -> str:
        """The value of the annotation."""
        value: str = self.body["metadata"]["annotations"][ANNOTATION]
        return value


@dataclass
class Cluster:
    """A Kubernetes API that knows one verb."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append(Asked(head[0], headers, orjson.loads(body)))
            if self.hangs:
                await asyncio.Event().wait()
            extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            writer.write(
                f"HTTP/1.1 {self.status} Said\r\nContent-Length: 2\r\nConnection: close\r\n"
                f"{extra}\r\n{{}}".encode()
            )
            await writer.drain()
        finally:
            writer.close()

    @property
    def costs(self) -> list[str]:
        """What was written so far."""
        return [asked.cost for asked in self.asked]


@asynccontextmanager
async def serving() -> AsyncGenerator[Cluster]:
    """An API over TLS on a free port."""
    api = Cluster()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server-key.pem")
    connections = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await api.answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def service_account(directory: Path) -> Path:
    """Mount what a pod is given into `directory`."""
    (directory / "token").write_text("first-token\n")
    (directory / "namespace").write_text("octollm")
    (directory / "ca.crt").write_bytes((CERTIFICATES / "ca.crt").read_bytes())
    return directory
