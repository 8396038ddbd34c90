"""What the centre counts, for Prometheus, in a registry of its own.

Counters run since the start of the process; gauges are asked for when somebody scrapes. Labels
take words of this build only: what a station sends never becomes a label.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from nullbay.domain.verdict import Verdict
from nullbay.server.cards import FindingCard, Presence, StationCard, Totals
from nullbay.server.finding_kinds import CATALOGUE

MEDIA_TYPE = "text/plain; version=0.0.4"
OTHER = "other"
POLL_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class CentreMetrics:
    """All figures of one centre."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._accepted = self._counter(
            "records_accepted", "Records taken for the first time, by verdict", "verdict"
        )
        self._entered = self._counter("entries_accepted", "Ledger entries taken for the first time")
        self._refused = self._counter(
            "refused", "Deliveries that were not taken, by what and why", "what", "reason"
        )
        self._polls = self._counter("polls", "Questions to stations, by how they ended", "outcome")
        self._poll_seconds = Histogram(
            "nullbay_centre_poll_seconds",
            "How long a question to a station took, answered or not",
            buckets=POLL_SECONDS,
            registry=self.registry,
        )
        self._stations = self._gauge("stations", "Stations by state", "state")
        self._findings = self._gauge("findings_open", "Open findings by code", "code")
        self._records = self._gauge("records", "Records kept, by verdict", "verdict")
        self._entries = self._gauge("entries", "Ledger entries kept")
        self._jobs = self._gauge("jobs_open", "Jobs started and not concluded, over all ledgers")
        self._undelivered = self._gauge(
            "undelivered", "What stations say they have not delivered yet"
        )
        for verdict in Verdict:
            self._accepted.labels(verdict.value)
        for outcome in ("answered", "failed"):
            self._polls.labels(outcome)

    def record_accepted(self, verdict: Verdict) -> None:
        """A record came for the first time and was taken."""
        self._accepted.labels(verdict.value).inc()

    def entry_accepted(self) -> None:
        """A ledger entry came for the first time and was taken."""
        self._entered.inc()

    def refused(self, what: str, code: str) -> None:
        """A delivery (record, entry, evidence, status) was refused for this code."""
        self._refused.labels(what, code if code in CATALOGUE else OTHER).inc()

    def polled(self, *, answered: bool, seconds: float) -> None:
        """A station was asked for its status."""
        self._polls.labels("answered" if answered else "failed").inc()
        self._poll_seconds.observe(seconds)

    def text(
        self,
        totals: Totals,
        stations: Iterable[StationCard],
        findings: Iterable[FindingCard],
    ) -> bytes:
        """What a scraper gets: the counters, and the gauges as they are now.

        `findings` are the open ones.
        """
        presences = dict.fromkeys((one.value for one in Presence), 0)
        undelivered = 0
        for one in stations:
            presences[one.presence.value] += 1
            undelivered += one.status.undelivered if one.status else 0
        codes = dict.fromkeys((*CATALOGUE, OTHER), 0)
        for found in findings:
            code = found.code if found.code in CATALOGUE else OTHER
            codes[code] += 1
        verdicts = {one.value: 0 for one in Verdict}
        verdicts |= {one.name: one.number for one in totals.records if one.name in verdicts}
        for gauge, values in (
            (self._stations, presences),
            (self._findings, codes),
            (self._records, verdicts),
        ):
            for label, value in values.items():
                gauge.labels(label).set(value)
        self._entries.set(totals.entries)
        self._jobs.set(totals.open_jobs)
        self._undelivered.set(undelivered)
        return generate_latest(self.registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"nullbay_centre_{name}", told, labels, registry=self.registry)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"nullbay_centre_{name}", told, labels, registry=self.registry)
