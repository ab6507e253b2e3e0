"""`StorageSettings`: where objects are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from octoqueue.settings.section import Section
from octoqueue.settings.urls import url_of


class StorageSettings(Section):
    """The object store, for what is too large for Redis."""

    url: Annotated[str | None, AfterValidator(url_of("file", "s3", "gs", "az", "memory"))] = None
    """Where: `file:///folder`, `s3://bucket/folder`, `gs://…`, `az://account/container/…`; with
    the credentials of each cloud's own variables. Without one, a folder beside the private Redis;
    and none at all where `redis.url` is given, as other machines would not find it."""
