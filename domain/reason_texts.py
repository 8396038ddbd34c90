"""The words of every coded reason: code, what it means, what to do next (see reasons.py)."""

from __future__ import annotations

REFUSAL: dict[str, tuple[str, str]] = {
    "guard.system-drive": (
        "this drive carries the running system",
        "never put it in a wipe bay",
    ),
    "guard.pinned": (
        "this is one of the station's own pinned disks",
        "use another drive; see `nullbay station pin`",
    ),
    "guard.root-not-pinned": (
        "the station did not boot from one of its pinned disks: a customer's clone may be running",
        "shut down, take all drives out, boot from the station's own disk",
    ),
    "guard.mounted": (
        "a file system of this drive is mounted",
        "unmount it, if it may go at all",
    ),
    "guard.swap": (
        "this drive is used as swap",
        "swapoff it, if it may go at all",
    ),
    "guard.held": (
        "something is built on this drive (md, LVM, LUKS, ZFS, multipath or another device)",
        "stop what holds it; the evidence names it",
    ),
    "guard.open-elsewhere": (
        "another program holds this drive",
        "stop that program and try again",
    ),
    "guard.shared-controller": (
        "the drive is shared with another host",
        "detach it there first",
    ),
    "guard.outside-bays": (
        "the drive is in no wipe bay",
        "put it in a bay of the settings, or as root say --outside-bays",
    ),
    "guard.not-a-whole-drive": (
        "no whole physical drive but a partition, RAID volume, mapped, network or virtual disk",
        "work on the physical members",
    ),
    "guard.undetermined": (
        "a question about this drive's use could not be answered, which counts as in use",
        "see the evidence; run as root",
    ),
    "identity.disagrees": (
        "the drive and the kernel's records name different drives",
        "pull the drive, plug it in again",
    ),
    "identity.drive-silent": (
        "behind this bridge the drive itself did not answer",
        "attach it directly",
    ),
    "identity.changed": (
        "another drive than the planned one is there",
        "identify it again and plan anew",
    ),
    "identity.unprovable": (
        "nothing can tell this drive from another: it has no name, and zeros prove nothing",
        "rely on the record made at the time, or wipe it again with a keyed pattern",
    ),
    "plan.held-for-destruction": (
        "no allowed technique reaches the required method on this drive",
        "destroy it, or choose another policy knowingly",
    ),
    "plan.read-only": (
        "the drive is write-protected",
        "remove the write protection or destroy the drive",
    ),
    "plan.size-zero": (
        "the drive reports no capacity",
        "plug it in again; if it stays, destroy it",
    ),
    "plan.hidden-area": (
        (
            "capacity is hidden from the host (HPA, DCO, AMAX or unallocated) and would not be "
            "overwritten"
        ),
        "restore the full capacity first",
    ),
    "plan.hidden-areas-unknown": (
        "it could not be determined whether capacity is hidden from the host",
        "attach the drive directly; this build asks only what the drive answers",
    ),
    "plan.deallocate-unsupported": (
        "the policy wants the drive left deallocated and the drive cannot do it",
        "choose another final state",
    ),
    "plan.approval-missing": (
        "the policy wants two different people to approve",
        "have a second person approve",
    ),
    "plan.changed": (
        "the plan is not the one that was approved",
        "look at the new plan and approve it",
    ),
    "job.open": (
        "a job with another policy is open for this drive",
        "run it again with that policy, or say --restart",
    ),
    "job.concluded": (
        "this job is over: its transcript is signed",
        "have its record made, or begin another job",
    ),
    "job.other-end": (
        "a job was to be concluded in another way than its own journal says",
        "report this: an agent and its bench disagree",
    ),
    "job.other-result": (
        "a job was to be removed against the digest of another result than its own",
        "report this: an agent and its bench disagree",
    ),
    "policy.unknown": (
        "the bench has no policy of this name in its own configuration",
        "see `nullbay config policies`; restart nullbay wiperd after a change",
    ),
    "policy.changed": (
        "the bench's policy of this name is not the one that was approved",
        "restart agent and wiperd after a change of policies, then approve anew",
    ),
    "approval.unknown-person": (
        "an approval names somebody whom the configuration does not know",
        "see [[operator]] in the settings; restart wiperd after changing them",
    ),
    "approval.replayed": (
        "an approval was used before, or was given for another stay of a drive",
        "look at the drive and approve its plan anew",
    ),
    "drive.busy": (
        "something works on this drive, or on this job, already",
        "wait for it, or abort it",
    ),
    "drive.not-held": (
        "the bench does not hold this drive, or no longer",
        "open it again",
    ),
    "bench.stopping": (
        "the bench is stopping and begins nothing",
        "wait until it has started again",
    ),
    "bench.uninterruptible": (
        "a drive is in a step that may not be interrupted",
        "wait for it; forcing the bench to stop can make the drive useless",
    ),
    "station.running": (
        "another nullbay process works on this drive or state directory",
        "use the running station",
    ),
}

NOT_CHOSEN: dict[str, tuple[str, str]] = {
    "technique.below-method": (
        "reaches less than the required method on this medium",
        "none needed unless the drive is held; then destroy it or choose another policy knowingly",
    ),
    "technique.not-available": (
        "the drive does not offer it, or was not asked because this build cannot run it",
        "attach the drive directly, or use a build that can run it",
    ),
    "technique.other-interface": (
        "its commands belong to another interface than the one this drive is attached by",
        "none needed unless the drive is held; then attach it by that interface, if it has one",
    ),
    "technique.not-allowed": (
        "the policy does not allow it",
        "change the policy, if it may be allowed",
    ),
    "technique.not-preferred": (
        "another technique stands before it in the policy",
        "change the order in the policy, if it should come first",
    ),
    "technique.cannot-destroy": (
        "destruction is not done by a station",
        "destroy the drive and record it",
    ),
}

STEP: dict[str, tuple[str, str]] = {
    "write.unwritable-sector": (
        "a sector could not be written after all retries",
        "destroy the drive or use a firmware technique",
    ),
    "write.flush-failed": (
        "the drive did not confirm that its cache is on the medium",
        "check cabling and power, run again",
    ),
    "write.stalled": (
        "the drive answered nothing for longer than allowed",
        "call a technician; the drive may be dying",
    ),
    "write.read-only": (
        "the drive turned read-only",
        "destroy the drive",
    ),
    "drive.gone": (
        "the drive disappeared",
        "plug it in again: the job resumes",
    ),
    "drive.size-changed": (
        "the drive's capacity changed under way",
        "call a technician",
    ),
    "drive.error": (
        "the drive answered with an error that is none of its sectors' fault",
        "check cabling, then run again",
    ),
    "step.aborted": (
        "stopped by an operator",
        "run it again",
    ),
    "step.deadline": (
        "the time allowed was over",
        "call a technician",
    ),
    "bench.gone": (
        "the bench went away while it worked; the job is open",
        "start nullbay wiperd again: the job is resumed",
    ),
    "step.crashed": (
        "the process that worked on the drive ended unexpectedly",
        "run it again: the job resumes",
    ),
}

VERDICT: dict[str, tuple[str, str]] = {
    "method.not-reached": (
        "the technique reaches less than the required method on this medium",
        "use another technique or destroy the drive",
    ),
    "technique.no-evidence-rule": (
        "this build has no rule by which this technique can be proved",
        "use a newer build to judge it",
    ),
    "plan.empty": (
        "the plan has no step that reaches a method",
        "plan anew",
    ),
    "step.missing": (
        "a required step has no outcome",
        "run it again",
    ),
    "step.refused": (
        "a required step was refused by the drive",
        "use another technique or destroy the drive",
    ),
    "step.failed": (
        "a required step failed",
        "see the step's codes",
    ),
    "step.interrupted": (
        "a required step was interrupted and not finished",
        "run it again: the job resumes",
    ),
    "step.indeterminate": (
        "nobody knows how a required step ended",
        "run it again",
    ),
    "step.contradictory": (
        "the record of a step contradicts itself",
        "call a technician; keep the evidence",
    ),
    "overwrite.incomplete": (
        "addressable bytes are not known to be written and flushed",
        "run it again: the job resumes",
    ),
    "overwrite.unwritable": (
        "sectors could not be written: old data may remain in them",
        "destroy the drive or use a firmware technique",
    ),
    "overwrite.hidden-area": (
        "hidden capacity was not overwritten",
        "restore the full capacity and run again",
    ),
    "overwrite.hidden-areas-unknown": (
        "it is not known whether capacity is hidden from the host",
        "attach the drive directly and run again",
    ),
    "unit.not-covered": (
        "a LUN or namespace of the drive was not covered",
        "run again with all units attached",
    ),
    "drive.geometry-changed": (
        "capacity or sector size differ from what was planned",
        "call a technician",
    ),
    "drive.not-observed-afterwards": (
        "the drive could not be asked for its state at the end",
        "run it again",
    ),
    "identity.not-confirmed": (
        "it could not be confirmed at the end that this is still the same drive",
        "run it again",
    ),
    "identity.mixed": (
        "another drive was there in between",
        "plan anew; keep the evidence",
    ),
    "attachment.changed": (
        "the drive's attachment changed without being noticed as a removal",
        "run it again",
    ),
    "absence.not-fully-verified": (
        "work was interrupted, and the drive was not read in full afterwards",
        "run it again",
    ),
    "absence.not-proved-same": (
        "it is not proved that the drive that came back is the one that left",
        "start again from zero",
    ),
    "verification.missing": (
        "no verification was done",
        "run it again",
    ),
    "verification.unfinished": (
        "not everything that had to be read was read",
        "run it again",
    ),
    "verification.not-as-planned": (
        "what was read is not what profile and seed prescribe",
        "run it again; keep the evidence",
    ),
    "verification.too-early": (
        "the sample was drawn before the last write was flushed",
        "run it again",
    ),
    "verification.cached": (
        "reads may have been answered by the host's cache",
        "run it again with direct reads",
    ),
    "verification.mismatch": (
        "sectors do not hold what was written: old data may remain",
        "destroy the drive or use a firmware technique",
    ),
    "verification.unreadable": (
        "sectors that had to be read could not be read",
        "destroy the drive or use a firmware technique",
    ),
    "health.too-many-errors": (
        "the drive was given up: more of its sectors failed than the policy bears with",
        "destroy the drive",
    ),
    "health.too-slow": (
        "the drive was given up: for longer than the policy bears with, it moved too little",
        "destroy the drive; where it hangs on a slow port, attach it directly and run it again",
    ),
    "health.retired-during": (
        "the drive retired sectors while it was overwritten: old data may remain in them",
        "destroy the drive or use a firmware technique",
    ),
    "health.not-compared": (
        "the drive told only before or only after how many sectors it had retired",
        "run it again; attach the drive directly",
    ),
    "job.aborted": (
        "stopped by an operator before the end",
        "run it again",
    ),
    "job.stopped-on-errors": (
        "stopped because of the drive's errors",
        "see the step's codes",
    ),
    "job.deadline": (
        "the time allowed was over",
        "call a technician",
    ),
    "job.absent-past-deadline": (
        "the drive was taken out and did not come back in time",
        "find the drive",
    ),
    "job.crashed": (
        "nullbay itself failed during the job",
        "run it again; report the fault",
    ),
    "evidence.contradictory": (
        "the evidence contradicts itself",
        "keep it and call an engineer",
    ),
}

EXCEPTION: dict[str, tuple[str, str]] = {
    "exception.sectors-retired": (
        "the drive had retired sectors before the Clear began; they cannot be addressed",
        "a named person decides",
    ),
    "exception.read-errors-cured": (
        "sectors could be read only after they were written again",
        "a named person decides",
    ),
    "exception.serial-missing": (
        "the drive gives no serial number",
        "a named person decides; put an asset tag on it",
    ),
    "exception.serial-duplicate": (
        "another drive gives the same serial number",
        "a named person decides; put an asset tag on it",
    ),
    "exception.clock-not-synchronised": (
        "the station's clock was not known to be synchronised",
        "a named person decides; repair time synchronisation",
    ),
    "exception.health-below-line": (
        "the drive's health is below the policy's line",
        "a named person decides",
    ),
    "exception.area-excluded-by-standard": (
        "an area which the standard itself leaves out exists",
        "a named person decides",
    ),
}

LIMITATION: dict[str, tuple[str, str]] = {
    "limit.translation-layer": (
        "reads are answered by the drive's own translation layer",
        "use a firmware technique where that is not enough",
    ),
    "limit.spare-areas": (
        (
            "an overwrite reaches addressable sectors only: over-provisioned and retired areas "
            "keep what they held"
        ),
        "require Purge where that is not enough",
    ),
    "limit.virtual-medium": (
        "the medium beneath a virtual device cannot be observed",
        "sanitize the physical drives beneath it",
    ),
    "limit.no-fua": (
        (
            "the host cannot force reads past the drive's own cache; the region written last was"
            " read last"
        ),
        "read the drive again after a power cycle where that is not enough",
    ),
    "limit.deallocated-afterwards": (
        "the drive was deallocated after verification: what it reads as now was not verified",
        "choose another final state where the drive is to be read again later",
    ),
    "limit.software-key": (
        "the station's key is kept in a file",
        "keep the key in hardware where that is not enough",
    ),
    "limit.simulated": (
        "this is a drive made of software: nothing real was sanitized",
        "never ship a real drive on this record",
    ),
    "limit.station-word": (
        (
            "a signature proves who said it; a lying station is caught only by reading the drive"
            " again elsewhere"
        ),
        "have samples read again on another station",
    ),
}
