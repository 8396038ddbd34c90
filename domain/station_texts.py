"""The words of every code that concerns a bay, the station or its centre (see reasons.py)."""

from __future__ import annotations

STATION: dict[str, tuple[str, str]] = {
    "bay.approve": (
        "a plan waits for your consent",
        "compare drive and label, then approve, or approve the whole lot",
    ),
    "bay.present": (
        "the drive was here before, or came back after a link reset: it does not start by itself",
        "if it is meant to be wiped, approve it; otherwise take it out",
    ),
    "bay.known": (
        "this drive was finished here before; its record is shown",
        "take it out, or approve another job for it",
    ),
    "bay.stalled": (
        "nothing was heard of this drive for a while",
        "leave it; if it does not come back, pull it: the other bays go on",
    ),
    "drive.fenced": (
        "the process that worked on this drive is stuck in the kernel and still holds it",
        "pull the drive; if that does not help, restart the station when the other bays are done",
    ),
    "bay.no-policy": (
        "no policy is named for this bay",
        "set `policies.default`, or `policy` of the bay",
    ),
    "bay.no-lot": (
        "no lot is active for this bay: nothing starts unattended",
        "open a lot, or approve this drive by hand",
    ),
    "bay.two-drives": (
        "two drives are in what the settings call one bay",
        "take one out; learn the bays again",
    ),
    "bay.topology-changed": (
        "the bay is not where it was learned: an adapter moved, or its firmware counts differently",
        "learn the bay again with `nullbay bays learn`",
    ),
    "bay.learn-first": (
        "no bay is configured: this station wipes nothing by itself",
        "learn the bays with `nullbay bays learn`",
    ),
    "bench.away": (
        "the bench service does not answer",
        "see `systemctl status nullbay-wiperd`; the station asks again by itself",
    ),
    "station.crashed": (
        "the station made a mistake with this drive; nothing is claimed for it",
        "take the drive out and put it in again; report the station's log",
    ),
    "station.disk-full": (
        "the station's disk has no room for the evidence of another job",
        "make room in the state directory",
    ),
    "station.stopping": (
        "the station is being stopped: nothing new starts",
        "wait, or start it again",
    ),
    "http.insecure": (
        "other machines reach the console without TLS: tokens and PINs can be read on the way",
        "set `http.tls_certificate` and `http.tls_key`",
    ),
    "centre.unreachable": (
        "the centre does not answer; everything is kept and delivered later",
        "nothing, unless it lasts: see the network and the centre",
    ),
    "centre.refused": (
        "the centre refuses what this station delivers",
        "see the code; compare token and keys with the centre's configuration",
    ),
    "centre.receipt-invalid": (
        "what answers is not the configured centre, or its receipt is for something else",
        "compare `centre.public_key_file` with the centre's key",
    ),
    "centre.journal-set-back": (
        "the centre has seen entries that this journal lacks: an old copy of it was put back",
        "stop the station, keep the journal, call an engineer",
    ),
    "queue.jobs-max": (
        "as many jobs run as may run at once",
        "wait; `admission.jobs_max` allows more",
    ),
    "queue.hba-bandwidth": (
        "the adapter, its link or its expander has no bandwidth left for another drive",
        "wait; an older job waits for it first",
    ),
    "queue.total-bandwidth": (
        "all jobs together move as much as the settings allow",
        "wait; `admission.bytes_per_s_total` allows more",
    ),
    "queue.memory": (
        "the station has too little memory available for another job",
        "wait; if it lasts, end other programs or lower `admission.memory_available_min_bytes`",
    ),
    "queue.load": (
        "the station has too much to do for another job",
        "wait; if it lasts, look for a drive that does not answer",
    ),
    "queue.disk": (
        "there is no room on the station's disk for the records of another job",
        "make room: deliver records to the centre, or move old ones away",
    ),
    "discovery.stalled": (
        "the kernel does not answer when asked which drives there are",
        "pull the drive that was plugged in last; if it lasts, restart the station",
    ),
    "discovery.failed": (
        "the list of drives could not be read",
        "see the message; it is tried again",
    ),
    "discovery.deaf": (
        "the kernel's events cannot be heard, so drives are noticed only once a minute",
        "see the message; it is tried again",
    ),
}
