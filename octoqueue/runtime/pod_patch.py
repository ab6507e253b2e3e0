"""`PodPatch`: one annotation of this process's own pod, by the Kubernetes API.

A merge patch needs the verb `patch` and nothing else. Each call is a connection of its own that
reads token and authority anew: both rotate, and calls are seconds apart.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson

from octoqueue.scaling.deletion_cost import ANNOTATION

if TYPE_CHECKING:
    import httpx

    from octoqueue.settings.kubernetes import KubernetesSettings

_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_GOOD: Final = range(200, 300)
_LONGEST_RETRY_AFTER_SECONDS: Final = 3_600.0
_TOKEN: Final = re.compile(r"[!-~]+")


class PodNotPatchedError(Exception):
    """The annotation was not written; stays inside the runtime."""

    def __init__(
        self, kind: str, sentence: str, *, is_final: bool = False, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(sentence)
        self.kind = kind
        """Of those of one kind the first is logged."""
        self.is_final = is_final
        """Whether somebody has to change something first."""
        self.retry_after_seconds = retry_after_seconds


class PodPatch:
    """Writes `controller.kubernetes.io/pod-deletion-cost`."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    async def say(self, cost: int) -> None:
        """Write the annotation.

        Raises:
            PodNotPatchedError: it was not written; says why and what to do.
        """
        try:
            import httpx  # noqa: PLC0415 - an extra, and nobody outside a cluster needs it
        except ImportError:
            sentence = "httpx is not installed: install octoqueue[http]"
            raise PodNotPatchedError("httpx", sentence, is_final=True) from None
        namespace, token, context = await asyncio.to_thread(self._account)
        pod = self._settings.pod or socket.gethostname()
        url = f"{self._settings.api}/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}"
        try:
            # trust_env: a proxy for the outside world is none for the cluster.
            async with httpx.AsyncClient(verify=context, timeout=None, trust_env=False) as client:  # noqa: S113 - the caller has a budget for all of it
                answer = await client.patch(
                    url,
                    content=orjson.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}}),
                    headers={
                        "Authorization": f"Bearer {token}",
                        "Content-Type": "application/merge-patch+json",
                        "Accept": "application/json",
                    },
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise PodNotPatchedError("connection", f"{self._settings.api}: {said}") from None
        if answer.status_code not in _GOOD:
            raise _refusal(answer, namespace=namespace, pod=pod)

    def _account(self) -> tuple[str, str, ssl.SSLContext]:
        """Return namespace, token and who vouches for the API, as they are now."""
        directory = self._settings.service_account
        try:
            namespace = self._settings.namespace or (directory / "namespace").read_text().strip()
            token = (directory / "token").read_text().strip()
            context = ssl.create_default_context(cafile=directory / "ca.crt")
        except (OSError, ValueError) as error:
            raise PodNotPatchedError("account", f"the service account: {error}") from None
        # A header that is none would be shown whole by the error that refuses it.
        if not _TOKEN.fullmatch(token):
            raise PodNotPatchedError("account", f"{directory / 'token'} holds no token")
        if not namespace:
            raise PodNotPatchedError("account", f"{directory / 'namespace'} is empty")
        return namespace, token, context


def _refusal(answer: httpx.Response, *, namespace: str, pod: str) -> PodNotPatchedError:
    status = answer.status_code
    if status == _FORBIDDEN:
        return PodNotPatchedError(
            "forbidden",
            "the service account of the pod may not patch it: bind it to a Role in namespace "
            f"{namespace!r} with apiGroups [''], resources ['pods'], verbs ['patch'], as "
            "worker-permissions.yaml of scalers.manifests has it, or set "
            "kubernetes.pod_deletion_cost to off",
            is_final=True,
        )
    if status == _NOT_FOUND:
        return PodNotPatchedError(
            "pod",
            f"there is no pod {pod!r} in namespace {namespace!r}: set kubernetes.pod by the "
            "downward API, metadata.name",
            is_final=True,
        )
    return PodNotPatchedError(
        str(status),
        f"the Kubernetes API answered {status}",
        retry_after_seconds=_retry_after_seconds(answer) if status >= _TOO_MANY else 0.0,
    )


def _retry_after_seconds(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    seconds = float(said) if said.isdecimal() else 0.0  # a date is not what that server sends
    return min(seconds, _LONGEST_RETRY_AFTER_SECONDS)
