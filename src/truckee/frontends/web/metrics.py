"""
/metrics, for Prometheus.

Source: ``docs/reference/web-api.md``, "Metrics".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import define, field, frozen
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.web.http import Request
from twisted.web.resource import Resource

from truckee.frontends.web.remade import Remade
from truckee.status.task import State, Task
from truckee.status.tasks import Tasks

# From a short file to a night on a thin line, in seconds.
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 36000)

_KINDS = ("upload", "download", "check", "repair")
_OUTCOMES = tuple(each.value for each in (State.DONE, State.FAILED, State.CANCELLED))
_ROUTES = ("servers", "helper", "cap", "none")

_BYTES = {
    "received": "Bytes of uploads that came from clients",
    "stored": "Bytes of uploads that are on servers, without what erasure coding adds",
    "sent": "Bytes of downloads that went to clients",
}


@frozen
class Reading:
    """A number that can be asked for at any time."""

    name: str  # without truckee_; a unit at its end
    text: str
    # None: there is no such thing here; with a label: a number for each of its values
    read: Callable[[], float | Mapping[str, float] | None]
    counts: bool = False  # never falls
    label: str = ""


@define(eq=False)
class Metrics(Collector):
    """Counts tasks that end, and reads the rest when it is asked."""

    _tasks: Tasks
    _readings: Sequence[Reading] = ()
    registry: CollectorRegistry = field(factory=CollectorRegistry, init=False)
    _ended: dict[str, Counter] = field(factory=dict, init=False)
    _seconds: Histogram = field(init=False)
    _bytes: dict[str, int] = field(init=False)  # of tasks that ended

    def __attrs_post_init__(self) -> None:
        self._bytes = dict.fromkeys(_BYTES, 0)
        for kind in _KINDS:
            labels = ["route", "outcome"] if kind == "upload" else ["outcome"]
            name, text = f"truckee_{kind}s", f"{kind.capitalize()}s that ended"
            self._ended[kind] = Counter(name, text, labels, registry=self.registry)
        for outcome in _OUTCOMES:
            # So that a rate is known from the first one on.
            for kind in _KINDS[1:]:
                self._ended[kind].labels(outcome)
            for route in _ROUTES:
                self._ended["upload"].labels(route, outcome)
        self._seconds = Histogram(
            "truckee_task_seconds",
            "How long tasks took",
            ["kind"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(self)
        # Under the names that all programs have.
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._tasks.on_end.append(self._count)

    def collect(self) -> Iterator[Metric]:
        """Give what is read now."""
        active = self._tasks.active()
        now = GaugeMetricFamily("truckee_active_tasks", "Tasks that run", labels=["kind"])
        for kind in _KINDS:
            now.add_metric([kind], sum(task.kind == kind for task in active))
        yield now
        for count, text in _BYTES.items():
            running = sum(getattr(task.progress, count) for task in active)
            yield CounterMetricFamily(
                f"truckee_{count}_bytes", text, self._bytes[count] + running
            )
        for reading in self._readings:
            value = reading.read()
            if isinstance(value, Mapping):
                several = GaugeMetricFamily(
                    f"truckee_{reading.name}", reading.text, labels=[reading.label]
                )
                for each, number in value.items():
                    several.add_metric([each], number)
                yield several
            elif value is not None:
                family = CounterMetricFamily if reading.counts else GaugeMetricFamily
                yield family(f"truckee_{reading.name}", reading.text, value)

    def describe(self) -> Iterable[Metric]:
        """See ``Collector``; what is not there yet has names too."""
        return ()

    def _count(self, task: Task) -> None:
        labels = [task.state.value]
        if task.kind == "upload":
            labels.insert(0, task.progress.route or "none")
        if task.kind in self._ended:
            self._ended[task.kind].labels(*labels).inc()
        self._seconds.labels(task.kind).observe(task.elapsed)
        for count in self._bytes:
            self._bytes[count] += getattr(task.progress, count)


class MetricsResource(Resource):
    """/metrics."""

    isLeaf = True

    def __init__(self, metrics: Metrics, now: Callable[[], float]) -> None:
        super().__init__()
        self._metrics = metrics
        # Programs look every few seconds, so nobody needs it newer than that.
        self._pages: Remade[bytes] = Remade(now, 1.0)

    def render_GET(self, request: Request) -> bytes:
        encode, kind = choose_encoder(request.getHeader("accept") or "")
        request.setHeader(b"content-type", kind.encode("ascii"))
        request.setHeader(b"cache-control", b"no-store")
        return self._pages.get(kind, lambda: encode(self._metrics.registry))
