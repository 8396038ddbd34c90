"""/metrics: the station in Prometheus' words, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nullbay.agent.desk import Desk
from nullbay.domain.clock import Stamp
from nullbay.domain.status import BayState, Mode, StationStatus

MEDIA_TYPE = "text/plain"


class StationCollector(Collector):
    """Asks the desk at scrape time; keeps nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[Metric]:
        """Everything there is to count."""
        status = self._desk.status()
        yield from _station(status)
        yield from _bays(status)
        yield from _delivery(status)
        yield from self._counters()

    def _counters(self) -> Iterable[Metric]:
        counters = self._desk.counters()
        written = CounterMetricFamily(
            "nullbay_bay_written_bytes", "Bytes written since the start", labels=["bay"]
        )
        errors = CounterMetricFamily(
            "nullbay_bay_errors", "Errors of drives since the start", labels=["bay"]
        )
        for bay in counters.bays:
            written.add_metric([bay.bay], bay.written_bytes)
            errors.add_metric([bay.bay], bay.errors)
        verdicts = CounterMetricFamily(
            "nullbay_verdicts", "Verdicts since the start", labels=["verdict", "reason"]
        )
        for one in counters.verdicts:
            verdicts.add_metric([one.verdict.value, one.reason], one.number)
        yield from (written, errors, verdicts)


class Metrics:
    """The text of /metrics, from a registry of its own: nothing of this process leaks into it."""

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(StationCollector(desk))

    def text(self) -> bytes:
        """In the text format 0.0.4."""
        return generate_latest(self._registry)


def _station(status: StationStatus) -> Iterable[Metric]:
    build = GaugeMetricFamily(
        "nullbay_build_info", "Always 1; which build", labels=["version", "station", "simulated"]
    )
    build.add_metric([status.version, status.station, str(status.simulated).lower()], 1)
    mode = GaugeMetricFamily("nullbay_mode", "1 for the mode of the station", labels=["mode"])
    for one in Mode:
        mode.add_metric([one.value], int(status.mode is one))
    problem = GaugeMetricFamily(
        "nullbay_problem", "1 for each problem of the whole station", labels=["code"]
    )
    for code in sorted({why.code for why in status.problems}):
        problem.add_metric([code], 1)
    jobs = GaugeMetricFamily("nullbay_jobs", "Jobs by state", labels=["state"])
    for count in status.jobs:
        jobs.add_metric([count.name], count.number)
    yield from (build, mode, problem, jobs)


def _bays(status: StationStatus) -> Iterable[Metric]:
    states = GaugeMetricFamily("nullbay_bays", "Bays by state", labels=["state"])
    for state in BayState:
        states.add_metric([state.value], sum(bay.state is state for bay in status.bays))
    rate = GaugeMetricFamily(
        "nullbay_bay_bytes_per_second", "What a bay writes or reads now", labels=["bay"]
    )
    for bay in status.bays:
        rate.add_metric([bay.bay], bay.work.bytes_per_s if bay.work else 0)
    yield from (states, rate)


def _delivery(status: StationStatus) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "nullbay_outbox_depth", "What the centre has not acknowledged", value=status.undelivered
    )
    yield GaugeMetricFamily(
        "nullbay_outbox_oldest_seconds",
        "Age of the oldest of these",
        value=status.oldest_undelivered_s or 0,
    )
    if status.last_delivery is not None:
        yield GaugeMetricFamily(
            "nullbay_last_delivery_seconds",
            "Seconds since the last delivery",
            value=between_s(status.last_delivery, status.at),
        )


def between_s(earlier: Stamp, later: Stamp) -> float:
    """Seconds between two stamps: by boot time within one boot, else by the wall; never negative.

    The wall clock may have been set meanwhile, boot time may not.
    """
    if earlier.boot_id == later.boot_id:
        return max(0.0, (later.boottime_us - earlier.boottime_us) / 1e6)
    wall = datetime.fromisoformat(later.at) - datetime.fromisoformat(earlier.at)
    return max(0.0, wall.total_seconds())
