"""`python -m scalers.manifests`: renders KEDA manifests, and refuses what hurts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError
from octoqueue.settings.root import Settings
from scalers.manifests.checking import findings_in
from scalers.manifests.components import components_of
from scalers.manifests.options import Options
from scalers.manifests.rendering import as_one, rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalers.manifests.finding import Finding
    from scalers.manifests.options import Pause

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 well, 1 something hurts, 2 asked wrongly."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return _render(given) if given.verb == "render" else _validate(given)
    except OctoqueueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _USAGE
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return _USAGE
    except _AskedWronglyError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _USAGE


class _AskedWronglyError(Exception):
    """An option names what is not there."""


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m scalers.manifests", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    render = verbs.add_parser("render", help="write manifests of a configuration")
    render.add_argument("--config", type=Path, metavar="FILE", help="octoqueue.yaml")
    render.add_argument(
        "--component", action="append", default=[], metavar="FLEET", help="only this; repeatable"
    )
    render.add_argument("--profile", choices=("dev", "production"), default=defaults.profile)
    render.add_argument("--output", type=Path, metavar="DIR", help="a file each, else all printed")
    render.add_argument("--namespace", default=defaults.namespace)
    render.add_argument("--scaler", default=defaults.scaler_address, metavar="HOST:PORT")
    render.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="FLEET=DEPLOYMENT",
        help="where the Deployment has another name; repeatable",
    )
    render.add_argument(
        "--jobs",
        action="append",
        default=[],
        metavar="FLEET",
        help="a ScaledJob for long runs in the place of Deployment and ScaledObject; repeatable",
    )
    render.add_argument("--image", default=defaults.image, help="of those jobs")
    render.add_argument(
        "--cron-floors", action="store_true", help="floors as cron triggers as well"
    )
    render.add_argument(
        "--pause", metavar="HOW", help="all, scale-in, scale-out, or a number of replicas"
    )
    validate = verbs.add_parser("validate", help="refuse combinations that hurt")
    validate.add_argument("files", nargs="+", type=Path, metavar="FILE")
    validate.add_argument(
        "--config", type=Path, metavar="FILE", help="compare with this octoqueue.yaml"
    )
    return parser


def _render(given: argparse.Namespace) -> int:
    settings = Settings.load(given.config)
    components = components_of(settings, targets=_targets(given.target))
    known = [component.fleet for component in components]
    for fleet in (*given.component, *given.jobs):
        if fleet not in known:
            raise _AskedWronglyError(f"no fleet {fleet!r}; there are {', '.join(known)}")
    for component in components:
        if component.fleet in given.jobs and not component.may_sleep:
            raise _AskedWronglyError(
                f"--jobs {component.fleet}: jobs come and go, and this must always be there"
            )
    options = Options(
        profile=given.profile,
        namespace=given.namespace,
        scaler_address=given.scaler,
        image=given.image,
        cron_floors=given.cron_floors,
        pause=_pause(given.pause),
        pod_deletion_cost=settings.kubernetes.pod_deletion_cost != "off",
    )
    files = rendered(
        [part for part in components if not given.component or part.fleet in given.component],
        options,
        as_jobs=frozenset(given.jobs),
    )
    findings = findings_in(files, settings=settings)
    refused = [finding for finding in findings if finding.level == "error"]
    if refused:
        return _told(refused)
    if given.output is None:
        sys.stdout.write(as_one(files))
        return 0
    given.output.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (given.output / name).write_text(text)
    return 0


def _targets(given: Sequence[str]) -> dict[str, str]:
    targets: dict[str, str] = {}
    for pair in given:
        fleet, equals, name = pair.partition("=")
        if not (fleet and equals and name):
            raise _AskedWronglyError(f"--target {pair}: write FLEET=DEPLOYMENT")
        targets[fleet] = name
    return targets


def _pause(given: str | None) -> Pause | int | None:
    if given is None or given in {"all", "scale-in", "scale-out"}:
        return given  # type: ignore[return-value]
    if given.isdecimal():
        return int(given)
    raise _AskedWronglyError(f"--pause {given}: write all, scale-in, scale-out or a number")


def _validate(given: argparse.Namespace) -> int:
    settings = Settings.load(given.config) if given.config else None
    texts = {str(path): path.read_text() for path in given.files}
    return _told(findings_in(texts, settings=settings))


def _told(findings: Sequence[Finding]) -> int:
    for finding in findings:
        print(finding, file=sys.stderr)  # noqa: T201
    return int(any(finding.level == "error" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
