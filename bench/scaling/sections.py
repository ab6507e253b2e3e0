"""What is compared: for each scenario and start-up time the rules, their parameters and targets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from bench.scaling.curves import Point
from bench.scaling.hindsight import Tuned, trailing_maxima
from bench.scaling.tasks import (
    WAIT_SECONDS,
    Row,
    Task,
    run,
    world_cup,
    world_cup_service_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from bench.scaling.tasks import Scenario

PRICES: Final = (30.0, 65.0, 130.0)
"""Of a missed minute, in minutes of a worker; the first half of the World Cup chooses."""
TUNED_FOR_START_UP: Final = 60.0
AFFORDABLE: Final = 1.05
"""Hours of the first half, in those of perfect knowledge: half of what may be spent above them."""
TARGETS: Final = {60.0: 0.998, 180.0: 0.995}
_DEPTHS: Final = (0.7, 0.8, 0.9, 1.0)
_CPU: Final = (0.6, 0.75, 0.85, 0.9)
_HEAVY_MAXIMA: Final = tuple(
    (minutes, headroom, spare)
    for minutes in (5, 15)
    for headroom in (1.1, 1.25)
    for spare in (1.0, 2.0, 4.0)
)
_HEAVY_DEPTHS: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
_HEAVY_PRICES: Final = (10.0,)
_AZURE_STATIC: Final = (10, 15, 20, 25, 30, 35, 40, 44, 46, 50, 55, 60, 80)
_AZURE_MAXIMA: Final = tuple(
    (minutes, headroom, spare)
    for minutes in (2, 5, 10, 20, 40)
    for headroom in (0.5, 0.7, 0.85, 1.0, 1.2)
    for spare in (0.0, 2.0, 5.0)
)
_AZURE_DRAINS: Final = (30.0, 45.0, 60.0, 90.0, 160.0, 240.0, 400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table."""

    title: str
    start_up_seconds: float
    rows: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    """By rule, a row for each choice of parameters."""
    tuned: list[Tuned] = field(default_factory=list[Tuned])
    """Every choice of the trailing maximum, from the closed form."""
    price: float | None = None
    """That our rule was tuned to."""

    def points(self, rule: str) -> list[Point]:
        """Return the curve of a rule."""
        points = [Point(row.attainment, row.hours_ratio) for row in self.rows.get(rule, [])]
        if rule == "trailing maximum":
            points += [tuned.point for tuned in self.tuned]
        return points

    @property
    def chosen(self) -> Row:
        """Our rule, at the price that the first half chose."""
        ours = self.rows["policy and forecast"]
        return next(row for row in ours if row.task.parameters == (self.price,))


def tuned_price(pool: Executor) -> tuple[float, list[Row]]:
    """Return the highest price that is affordable on the first half, and what each reached."""
    tasks = [
        Task(
            scenario="fluid",
            start_up_seconds=TUNED_FOR_START_UP,
            kind="policy and forecast",
            parameters=(price,),
            first_half=True,
        )
        for price in PRICES
    ]
    rows = list(pool.map(run, tasks))
    affordable = (row.task.parameters[0] for row in rows if row.hours_ratio <= AFFORDABLE)
    return max(affordable, default=PRICES[0]), rows


def world_cup_section(pool: Executor, *, start_up_seconds: float, price: float) -> Section:
    """Return the fluid World Cup trace at one start-up time."""
    others = [each for each in PRICES[:2] if each != price][:1]
    tasks = [
        *_ours("fluid", start_up_seconds, (price, *others)),
        Task(scenario="fluid", start_up_seconds=start_up_seconds, kind="policy"),
        *_swept("fluid", start_up_seconds, "depth", _DEPTHS),
        *_swept("fluid", start_up_seconds, "cpu", _CPU),
        Task(
            scenario="fluid", start_up_seconds=start_up_seconds, kind="static", parameters=(150.0,)
        ),
    ]
    running = [pool.submit(run, task) for task in tasks]
    tuned = trailing_maxima(
        world_cup(),
        service_seconds=world_cup_service_seconds(),
        start_up_seconds=start_up_seconds,
        wait_seconds=WAIT_SECONDS,
    )
    section = _collected(
        Section(
            title=f"World Cup, start-up {start_up_seconds:.0f} s",
            start_up_seconds=start_up_seconds,
            tuned=tuned,
            price=price,
        ),
        running,
    )
    target = TARGETS[start_up_seconds]
    wanted = [_cheapest(tuned, target), _cheapest(tuned, section.chosen.attainment)]
    again = [
        Task(
            scenario="fluid",
            start_up_seconds=start_up_seconds,
            kind="trailing maximum",
            parameters=(best.minutes, best.headroom, best.spare_workers),
        )
        for best in dict.fromkeys(each for each in wanted if each is not None)
    ]
    section.rows["trailing maximum"] = list(pool.map(run, again))
    return section


def heavy_section(pool: Executor, *, start_up_seconds: float, price: float) -> Section:
    """Return single messages of 30 s, heavy-tailed, in the last two weeks of the World Cup."""
    prices = dict.fromkeys((price, *_HEAVY_PRICES))
    tasks = [
        *_ours("heavy", start_up_seconds, tuple(prices)),
        Task(scenario="heavy", start_up_seconds=start_up_seconds, kind="policy", loop="agent"),
        *(
            Task(
                scenario="heavy",
                start_up_seconds=start_up_seconds,
                kind="trailing maximum",
                parameters=parameters,
            )
            for parameters in _HEAVY_MAXIMA
        ),
        *_swept("heavy", start_up_seconds, "depth", _HEAVY_DEPTHS),
        *_swept("heavy", start_up_seconds, "cpu", _HEAVY_DEPTHS),
    ]
    return _collected(
        Section(
            title=f"Messages of 30 s, heavy-tailed, start-up {start_up_seconds:.0f} s",
            start_up_seconds=start_up_seconds,
            price=price,
        ),
        [pool.submit(run, task) for task in tasks],
    )


def azure_section(pool: Executor, *, start_up_seconds: float, price: float) -> Section:
    """Return the hour of requests to a language model."""
    chosen = Task(
        scenario="azure",
        start_up_seconds=start_up_seconds,
        kind="policy and forecast",
        parameters=(price,),
        loop="agent",
    )
    tasks = [
        chosen,
        *(replace(chosen, parameters=(price, drain)) for drain in _AZURE_DRAINS),
        replace(chosen, kind="policy", parameters=()),
        *_swept("azure", start_up_seconds, "static", tuple(map(float, _AZURE_STATIC))),
        *(
            Task(
                scenario="azure",
                start_up_seconds=start_up_seconds,
                kind="trailing maximum",
                parameters=parameters,
            )
            for parameters in _AZURE_MAXIMA
        ),
        *_swept("azure", start_up_seconds, "depth", _DEPTHS),
        *_swept("azure", start_up_seconds, "cpu", _CPU),
    ]
    return _collected(
        Section(
            title=f"Azure, start-up {start_up_seconds:.0f} s",
            start_up_seconds=start_up_seconds,
            price=price,
        ),
        [pool.submit(run, task) for task in tasks],
    )


def _ours(scenario: Scenario, start_up_seconds: float, prices: Sequence[float]) -> list[Task]:
    return [
        Task(
            scenario=scenario,
            start_up_seconds=start_up_seconds,
            kind="policy and forecast",
            parameters=(price,),
            loop="direct" if scenario == "fluid" else "agent",
        )
        for price in prices
    ]


def _swept(
    scenario: Scenario, start_up_seconds: float, kind: str, values: Sequence[float]
) -> list[Task]:
    """Return a rule of others with each value; what Kubernetes runs is damped as it damps."""
    found: list[Task] = []
    for value in values:
        if kind == "depth":
            task = Task(
                scenario=scenario,
                start_up_seconds=start_up_seconds,
                kind="depth",
                parameters=(value,),
                loop="hpa",
            )
        elif kind == "cpu":
            task = Task(
                scenario=scenario,
                start_up_seconds=start_up_seconds,
                kind="cpu",
                parameters=(value,),
                loop="hpa",
            )
        else:
            task = Task(
                scenario=scenario,
                start_up_seconds=start_up_seconds,
                kind="static",
                parameters=(value,),
            )
        found.append(task)
    return found


def _collected(section: Section, running: Sequence[Future[Row]]) -> Section:
    for future in running:
        row = future.result()
        section.rows.setdefault(row.task.kind, []).append(row)
    return section


def _cheapest(tuned: Sequence[Tuned], attainment: float) -> Tuned | None:
    met = (each for each in tuned if each.point.attainment >= attainment)
    return min(met, key=lambda each: each.point.hours_ratio, default=None)
