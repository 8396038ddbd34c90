"""`nullbay wipe` on real block devices: a file system of known files, and what is left of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nullbay.lab.description import DriveDescription
from nullbay.lab.loops import LoopDevice, make_loop_drive
from nullbay.lab.olddata import OldData
from support.command import Operator
from support.filesystem import KnownFiles, attached, digest, mounted
from support.tree import TOP

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")

MIB = 1 << 20
SIZE = 24 * MIB
FULL = "nist-clear-full"
EXCEPTIONS = {"exception.serial-missing", "exception.clock-not-synchronised"}
AUDITOR = re.findall(
    r"^```sh\n(.*?)^```$", (TOP / "docs" / "auditor.md").read_text(), re.MULTILINE | re.DOTALL
)


class Drive:
    """A loop device over an image with known files on it."""

    def __init__(self, folder: Path, device: str, known: KnownFiles, sector_bytes: int) -> None:
        self.folder, self.device, self.known = folder, device, known
        self.image, self.sector_bytes = known.image, sector_bytes
        self.root = folder / "mounted"

    def change_byte(self, at: int) -> None:
        """One bit of the file behind it."""
        with self.image.open("r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))


@pytest.fixture(params=[512, 4096])
def drive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drive]:
    yield from make_drive(tmp_path, request.param)


@pytest.fixture
def plain_drive(tmp_path: Path) -> Iterator[Drive]:
    yield from make_drive(tmp_path, 512)


def make_drive(folder: Path, sector_bytes: int) -> Iterator[Drive]:
    image = folder / "drive.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    known = KnownFiles(image)
    with attached(image, sector_bytes) as device:
        made = Drive(folder, device, known, sector_bytes)
        known.fill(device, made.root)
        yield made


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "station")


def assert_exceptions_only(last: dict[str, Any]) -> None:
    """Sanitized but for what a loop device and this machine lack: a serial, perhaps a clock."""
    assert last["verdict"] == "SANITIZED_WITH_EXCEPTIONS"
    assert {one["code"] for one in last["reasons"]} <= EXCEPTIONS
    assert "exception.serial-missing" in {one["code"] for one in last["reasons"]}


# --- refused, and nothing written --------------------------------------------------------------


def test_a_mounted_drive_is_refused_and_untouched(drive: Drive, operator: Operator) -> None:
    confirm = operator.listed(drive.device)["confirm"]
    with mounted(drive.device, drive.root) as root:
        done = operator.wipe(drive.device, FULL, confirm=confirm)
        assert (done.code, done.last["verdict"], done.last["job"]) == (40, None, None)
        assert "guard.mounted" in done.codes("refusals")
        assert str(root) in str(done.last["refusals"])
        plan = operator.run("plan", drive.device, "--policy", FULL, "--outside-bays")
        assert (plan.code, plan.last["plan"]) == (40, None)
        assert drive.known.are_whole(root)
    with mounted(drive.device, drive.root) as root:
        assert drive.known.are_whole(root)
    assert not list(operator.out.glob("*")) if operator.out.exists() else True


def test_a_wrong_confirmation_writes_nothing(drive: Drive, operator: Operator) -> None:
    before = digest(drive.image)
    right = operator.listed(drive.device)["confirm"]
    for wrong in ("", "loop", drive.device, right[:-1], right + "0", right.upper()):
        done = operator.wipe(drive.device, FULL, confirm=wrong)
        assert done.code == 2
        assert done.last["schema"] == "nullbay.error/1"
        assert done.last["error"]["code"] == "usage.confirm"
    assert digest(drive.image) == before
    assert operator.jobs() == []


def test_a_confirmation_is_worthless_after_a_re_plug(tmp_path: Path, operator: Operator) -> None:
    image = tmp_path / "drive.img"
    image.write_bytes(b"old" * MIB)
    before = digest(image)
    with attached(image) as device:
        token = operator.listed(device)["confirm"]
    with attached(image) as device:
        assert operator.wipe(device, FULL, confirm=token).code == 2
    assert digest(image) == before


def test_a_drive_in_no_bay_is_refused(plain_drive: Drive, operator: Operator) -> None:
    before = digest(plain_drive.image)
    done = operator.run(*operator.wipe_arguments(plain_drive.device, FULL))
    assert (done.code, done.codes("refusals")) == (40, {"guard.outside-bays"})
    assert digest(plain_drive.image) == before


def test_a_bay_named_literally_admits_it(plain_drive: Drive, operator: Operator) -> None:
    name = Path(plain_drive.device).name
    settings = plain_drive.folder / "settings.toml"
    path = Path("/sys/class/block", name).resolve()
    settings.write_text(
        f'schema = "nullbay.config/1"\n[[bay]]\nid = "L1"\nrow = 1\ncolumn = 1\nmatch = "{path}"\n'
    )
    listed = operator.run("drives", plain_drive.device, "--config", settings)
    assert listed.last["drives"][0]["bay"] == "L1"
    arguments = operator.wipe_arguments(plain_drive.device, FULL, "--config", settings)
    done = operator.run(*arguments)
    assert done.code == 10
    assert_exceptions_only(done.last)
    settings.write_text(settings.read_text().replace(str(path), "/sys/devices/virtual/block/*"))
    wild = operator.run("drives", plain_drive.device, "--config", settings)
    assert (wild.code, wild.last["error"]["code"]) == (2, "config.invalid")


def test_a_policy_that_accepts_unwritten_sectors_is_refused(
    plain_drive: Drive, operator: Operator
) -> None:
    before = digest(plain_drive.image)
    folder = plain_drive.folder / "settings"
    (folder / "policies").mkdir(parents=True)
    (folder / "station.toml").write_text('schema = "nullbay.config/1"\n')
    policy = folder / "policies" / "weak.toml"
    shipped = (TOP / "config" / "policies" / "nist-clear-full-1.toml").read_text()
    text = shipped.replace("nist-clear-full", "weak") + "\n[acceptance]\nunwritten_sectors = 5\n"
    policy.write_text(text)
    number = 1 + text.splitlines().index("unwritten_sectors = 5")
    arguments = operator.wipe_arguments(plain_drive.device, "weak", "--config", folder)
    done = operator.run(*arguments, "--outside-bays")
    assert done.code == 2
    told = done.last["error"]["message"]
    assert f"{policy.name}:{number}" in told
    assert "acceptance.unwritten_sectors" in told
    assert "sectors-written" in told, "the floor is named"
    check = operator.run("config", "check", "--config", folder)
    (problem,) = check.last["problems"]
    assert check.code == 2
    assert (problem["line"], problem["key"]) == (number, "acceptance.unwritten_sectors")
    assert problem["file"].endswith("weak.toml")
    assert digest(plain_drive.image) == before


# --- wiped -------------------------------------------------------------------------------------


def test_wiped_certified_and_checked_by_strangers(drive: Drive, operator: Operator) -> None:
    scratch = drive.folder / "needles"
    assert drive.known.sectors_left() > 5000, "the scans find what is there before"
    assert drive.known.needles_left(scratch) > 100_000
    done = operator.wipe(drive.device, FULL, "--asset-tag", "AT-1", "--lot", "L-7")
    assert done.code == 10
    assert_exceptions_only(done.last)
    assert drive.known.sectors_left() == 0
    assert drive.known.needles_left(scratch) == 0
    assert drive.image.stat().st_size == SIZE

    last = done.last
    assert (last["schema"], last["exit_code"]) == ("nullbay.wipe-result/1", 10)
    for name in ("certificate", "evidence", "public_key", "pdf"):
        assert Path(last[name]).is_absolute()
        assert Path(last[name]).parent == operator.out
    assert {one.name for one in operator.out.iterdir()} == {
        f"{last['job']}.sigstore.json",
        f"{last['job']}.evidence.tar.zst",
        f"{last['job']}.pdf",
        "station.pub.pem",
        "bench.pub.pem",
    }
    assert {one["schema"] for one in done.lines[:-1]} <= {"nullbay.progress/1"}

    verified = operator.verify(last["certificate"])
    assert (verified.code, verified.last["verdict"]) == (10, "SANITIZED_WITH_EXCEPTIONS")
    assert verified.last["archive_checked"]
    rechecked = operator.recheck(last["certificate"], drive.device)
    assert (rechecked.code, rechecked.last["result"]) == (0, "matches")
    assert rechecked.last["read_bytes"] == rechecked.last["planned_bytes"] == SIZE
    before = digest(drive.image)
    audit(drive, operator, last)
    assert digest(drive.image) == before, "nobody who checks writes"


def audit(drive: Drive, operator: Operator, last: dict[str, Any]) -> None:
    """docs/auditor.md as it stands, with openssl, jq and coreutils, the drive at hand."""
    folder = drive.folder / "auditor"
    folder.mkdir()
    for name, path in (
        ("certificate.sigstore.json", last["certificate"]),
        ("certificate.evidence.tar.zst", last["evidence"]),
        ("station.pub.pem", last["public_key"]),
        ("bench.pub.pem", operator.out / "bench.pub.pem"),
    ):
        (folder / name).write_bytes(Path(path).read_bytes())
    script = f"set -eu\ndrive={drive.device}\n" + "\n".join(AUDITOR)
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout[-800:], done.stderr[-800:])
    assert b"Verified OK" in done.stdout
    assert b"32 pages hold the pattern" in done.stdout


@pytest.mark.parametrize("at", [0, 4095, SIZE // 2 + 77, SIZE - 1])
def test_one_changed_byte_anywhere_is_reported_with_its_lba(
    drive: Drive, operator: Operator, at: int
) -> None:
    certificate = operator.wipe(drive.device, FULL).last["certificate"]
    drive.change_byte(at)
    done = operator.recheck(certificate, drive.device)
    assert (done.code, done.last["result"]) == (60, "differs")
    lba = at // drive.sector_bytes
    assert (done.last["first_lba"], done.last["mismatched_lbas"]) == (lba, [lba])
    drive.change_byte(at)
    assert operator.recheck(certificate, drive.device).code == 0
    assert operator.verify(certificate).code == 10, "what the drive holds is not the paper's affair"


def test_a_certificate_is_for_one_drive(plain_drive: Drive, operator: Operator) -> None:
    certificate = operator.wipe(plain_drive.device, FULL).last["certificate"]
    other = plain_drive.folder / "other.img"
    for content, code in (
        (bytes(SIZE), 60),
        (bytes(SIZE + 512), 40),
        (plain_drive.image.read_bytes(), 0),
    ):
        other.write_bytes(content)
        with attached(other) as device:
            done = operator.recheck(certificate, device)
            assert done.code == code
            if code == 60:
                assert done.last["first_lba"] == 0
            if code == 40:
                assert done.codes("refusals") == {"identity.changed"}


def test_any_size_to_the_last_sector(tmp_path: Path, operator: Operator) -> None:
    for number, size in enumerate((512, 4096 + 512, 4 * MIB - 512, 4 * MIB + 1536)):
        image = tmp_path / f"{number}.img"
        image.write_bytes(b"\xc5" * size)
        with attached(image) as device:
            done = operator.wipe(device, FULL)
            assert done.code == 10, done.last
            assert operator.recheck(done.last["certificate"], device).code == 0
        raw = image.read_bytes()
        assert len(raw) == size
        assert not any(raw[at : at + 512] == b"\xc5" * 512 for at in range(0, size, 512))


def test_bytes_beyond_the_last_sector_are_not_claimed(tmp_path: Path, operator: Operator) -> None:
    """A file of 4096-byte sectors and a bit: the bit is no sector, and is not silently left out."""
    image = tmp_path / "tail.img"
    image.write_bytes(b"\xc5" * (64 * 4096 + 1536))
    before = digest(image)
    with attached(image, 4096) as device:
        done = operator.wipe(device, FULL)
    if done.code == 40:
        assert "plan.hidden-area" in done.codes("refusals")
        assert digest(image) == before
    else:
        # the kernel rounds such a device down itself: what it never shows is not part of it
        assert done.code == 10
        assert image.read_bytes()[64 * 4096 :] == b"\xc5" * 1536


@pytest.mark.parametrize("state", ["zero", "deallocated"])
def test_final_states(plain_drive: Drive, operator: Operator, state: str) -> None:
    folder = plain_drive.folder / "settings"
    (folder / "policies").mkdir(parents=True)
    (folder / "station.toml").write_text('schema = "nullbay.config/1"\n')
    shipped = (TOP / "config" / "policies" / "nist-clear-full-1.toml").read_text()
    assert 'final_state = "keyed"' in shipped
    policy = shipped.replace("nist-clear-full", "resale").replace(
        'final_state = "keyed"', f'final_state = "{state}"'
    )
    (folder / "policies" / "resale.toml").write_text(policy)
    done = operator.wipe(plain_drive.device, "resale", "--config", folder)
    assert done.code == 10
    assert_exceptions_only(done.last)
    assert plain_drive.image.read_bytes() == bytes(SIZE)
    assert operator.verify(done.last["certificate"]).code == 10
    shown = operator.run("cert", "show", done.last["certificate"]).last["statement"]["predicate"]
    purposes = [one["purpose"] for one in shown["sanitization"]["passes"]]
    assert purposes == ["method", "final-state"]
    rechecked = operator.recheck(done.last["certificate"], plain_drive.device)
    assert rechecked.code == 40, "a drive without a name, full of zeros: nothing proves it"
    if state == "zero":
        assert rechecked.codes("refusals") == {"identity.unprovable"}
    else:
        assert rechecked.codes("refusals") == {"limit.deallocated-afterwards"}
        assert "limit.deallocated-afterwards" in shown["limitations"]


# --- under way ---------------------------------------------------------------------------------


def slow_drive(folder: Path, name: str = "drive", mib: int = 64, seed: int = 9) -> LoopDevice:
    description = DriveDescription(sectors=mib * 2048, model="LAB LOOP", serial="LOOP-1")
    return make_loop_drive(folder / f"{name}.json", description, old_data=OldData(seed=seed))


def test_pulled_put_back_resumed(tmp_path: Path, operator: Operator) -> None:
    """Half-way, after a flush: open, nobody knows. Back: proved by reading, nothing old is left."""
    old = OldData(seed=9)
    size = 64 * MIB
    with slow_drive(tmp_path) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "7")
        with operator.start(*arguments, "--outside-bays") as running:
            # a flush comes every five seconds: at 7 MB/s there was one by now
            running.until_done_bytes(45 * 1_000_000)
            device.pull()
            done = running.wait()
        assert (done.code, done.last["verdict"]) == (30, "INDETERMINATE")
        assert (done.last["open"], done.last["certificate"]) == ("drive.gone", None)
        assert done.codes() == {"drive.gone"}
        job = done.last["job"]
        assert old.left_on(tmp_path / "drive.img", 512)
        (row,) = operator.jobs()
        assert (row["job"], row["verdict"]) == (job, None)

        # another drive of the same size and as nameless: it is not taken for the one that left
        stranger = tmp_path / "stranger.img"
        stranger.write_bytes(b"\xc5" * size)
        with attached(stranger) as other:
            taken = operator.wipe(other, FULL)
            assert (taken.code, taken.last["job"] == job) == (10, False)
            assert operator.recheck(taken.last["certificate"], other).code == 0
        assert old.left_on(tmp_path / "drive.img", 512)

        device.put_back()
        with operator.start(
            *operator.wipe_arguments(device.device, FULL), "--outside-bays"
        ) as running:
            again = running.wait()
        assert (again.code, again.last["job"]) == (10, job)
        assert_exceptions_only(again.last)
        assert b"resuming" in again.stderr
        assert old.left_on(tmp_path / "drive.img", 512) == ()
        assert operator.recheck(again.last["certificate"], device.device).code == 0
    shown = operator.run("cert", "show", again.last["certificate"]).last["statement"]["predicate"]
    sessions = shown["sessions"] if "sessions" in shown else shown["attempt"]["sessions"]
    assert len(sessions) == 2
    assert {row["job"] for row in operator.jobs()} == {job, taken.last["job"]}
    assert operator.run("ledger", "check", "--state-dir", operator.state).code == 0


def test_pulled_before_the_first_flush_begins_again(tmp_path: Path, operator: Operator) -> None:
    old = OldData(seed=9)
    with slow_drive(tmp_path, mib=32) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "10")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(4 * MIB)
            device.pull()
            done = running.wait()
        assert done.code == 30
        device.put_back()
        again = operator.wipe(device.device, FULL)
        assert again.code == 10
        assert old.left_on(tmp_path / "drive.img", 512) == ()
        assert operator.recheck(again.last["certificate"], device.device).code == 0
    assert operator.run("ledger", "check", "--state-dir", operator.state).code == 0


def test_pulled_while_it_is_read_back(tmp_path: Path, operator: Operator) -> None:
    old = OldData(seed=9)
    with slow_drive(tmp_path, mib=32) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "20")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(1, "verify")
            device.pull()
            done = running.wait()
        assert (done.code, done.last["certificate"]) == (30, None)
        device.put_back()
        again = operator.wipe(device.device, FULL)
        assert (again.code, again.last["job"]) == (10, done.last["job"])
        assert old.left_on(tmp_path / "drive.img", 512) == ()
        assert operator.recheck(again.last["certificate"], device.device).code == 0


def test_one_interrupt_concludes_and_records(tmp_path: Path, operator: Operator) -> None:
    with slow_drive(tmp_path, mib=32) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "5")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(4 * MIB)
            running.interrupt()
            done = running.wait()
        assert (done.code, done.last["verdict"]) == (20, "NOT_SANITIZED")
        assert "job.aborted" in done.codes()
        assert operator.verify(done.last["certificate"]).code == 20
        assert Path(done.last["pdf"]).read_bytes().startswith(b"%PDF-")
        (row,) = operator.jobs()
        assert row["verdict"] == "NOT_SANITIZED"
        # concluded is concluded: the next wipe is a job of its own
        again = operator.wipe(device.device, FULL)
        assert (again.code, again.last["job"] == done.last["job"]) == (10, False)


def test_terminated_it_stays_open_and_the_same_command_resumes(
    tmp_path: Path, operator: Operator
) -> None:
    old = OldData(seed=9)
    with slow_drive(tmp_path, mib=32) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "5")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(4 * MIB)
            running.process.terminate()
            done = running.wait()
        assert (done.code, done.last["schema"]) == (130, "nullbay.wipe-interrupted/1")
        (row,) = operator.jobs()
        assert row["verdict"] is None

        # by another policy it is not taken over, and nothing is written
        before = digest(tmp_path / "drive.img")
        refused = operator.wipe(device.device, "hmg-is5-baseline")
        assert (refused.code, refused.codes("refusals")) == (40, {"job.open"})
        assert row["job"] in str(refused.last["refusals"])
        assert digest(tmp_path / "drive.img") == before

        again = operator.wipe(device.device, FULL)
        assert again.code == 10, again.last["reasons"]
        assert again.last["job"] == row["job"]
        assert old.left_on(tmp_path / "drive.img", 512) == ()


def test_restart_sets_an_open_job_aside(tmp_path: Path, operator: Operator) -> None:
    with slow_drive(tmp_path, mib=16) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "2")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(MIB)
            running.process.terminate()
            assert running.wait().code == 130
        (first,) = operator.jobs()
        done = operator.wipe(device.device, "hmg-is5-baseline", "--restart")
        assert done.code == 10
        assert done.last["job"] != first["job"]
        verdicts = {row["job"]: row["verdict"] for row in operator.jobs()}
        assert verdicts == {
            first["job"]: "NOT_SANITIZED",
            done.last["job"]: "SANITIZED_WITH_EXCEPTIONS",
        }
        assert (tmp_path / "drive.img").read_bytes() == bytes(16 * MIB)
    assert operator.run("ledger", "check", "--state-dir", operator.state).code == 0


def test_two_drives_at_once_on_one_state_directory(tmp_path: Path, operator: Operator) -> None:
    """Both nameless and of one size: neither job touches the other's drive or record."""
    with ExitStack() as stack:
        devices = [stack.enter_context(slow_drive(tmp_path, f"drive{n}", 16, n)) for n in (1, 2)]
        started = []
        for device in devices:
            arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "4")
            running = stack.enter_context(operator.start(*arguments, "--outside-bays"))
            running.until_done_bytes(1)
            started.append(running)
        assert all(running.process.poll() is None for running in started), "both are under way"
        ended = [running.wait() for running in started]
        assert [one.code for one in ended] == [10, 10]
        assert len({one.last["job"] for one in ended}) == 2
        for number, (device, done) in enumerate(zip(devices, ended, strict=True), start=1):
            assert OldData(seed=number).left_on(tmp_path / f"drive{number}.img", 512) == ()
            assert operator.verify(done.last["certificate"]).code == 10
            assert operator.recheck(done.last["certificate"], device.device).code == 0
        wrong = operator.recheck(ended[0].last["certificate"], devices[1].device)
        assert (wrong.code, wrong.last["first_lba"]) == (60, 0)
    assert operator.run("ledger", "check", "--state-dir", operator.state).code == 0
    assert operator.run("journal", "check", "--state-dir", operator.state).code == 0


def test_a_drive_under_way_is_not_to_be_had_a_second_time(
    tmp_path: Path, operator: Operator
) -> None:
    with slow_drive(tmp_path, mib=16) as device:
        arguments = operator.wipe_arguments(device.device, FULL, "--rate-limit", "4")
        with operator.start(*arguments, "--outside-bays") as running:
            running.until_done_bytes(1)
            second = operator.run(*arguments, "--outside-bays")
            assert running.process.poll() is None
            assert second.code == 40
            assert second.codes("refusals") <= {"guard.open-elsewhere", "station.running"}
            assert running.wait().code == 10


# --- shapes ------------------------------------------------------------------------------------


def test_the_shape_of_drives(plain_drive: Drive, operator: Operator) -> None:
    done = operator.run("drives", "--state-dir", operator.state)
    assert (done.code, len(done.lines), done.last["schema"]) == (0, 1, "nullbay.drives/1")
    one = next(row for row in done.last["drives"] if row["device"] == plain_drive.device)
    needed = {"device", "bay", "confirm", "size_bytes", "identity", "refusals"}
    assert needed <= one.keys()
    assert (one["bay"], one["size_bytes"]) == (None, SIZE)
    assert {"model", "serial", "wwn"} <= one["identity"].keys()
    assert [set(refusal) >= {"code", "evidence"} for refusal in one["refusals"]] == [True]
    assert one["refusals"][0]["code"] == "guard.outside-bays"
    assert operator.listed(plain_drive.device)["refusals"] == []


def test_the_shape_of_plan(plain_drive: Drive, operator: Operator) -> None:
    before = digest(plain_drive.image)
    done = operator.run("plan", plain_drive.device, "--policy", FULL, "--outside-bays")
    assert (done.code, done.last["schema"], done.last["exit_code"]) == (0, "nullbay.plan/1", 0)
    plan = done.last["plan"]
    assert plan["schema"] == "nullbay.plan/1"
    assert (plan["technique"], plan["required_method"]) == ("host-overwrite", "clear")
    assert plan["units"][0]["size_bytes"] == str(SIZE)
    assert re.fullmatch("[0-9a-f]{64}", done.last["plan_sha256"])
    again = operator.run("plan", plain_drive.device, "--policy", FULL, "--outside-bays")
    assert again.last["plan_sha256"] == done.last["plan_sha256"]
    refused = operator.run("plan", plain_drive.device, "--policy", FULL)
    assert (refused.code, refused.codes("refusals")) == (40, {"guard.outside-bays"})
    held = operator.run("plan", plain_drive.device, "--policy", "nist-purge", "--outside-bays")
    assert held.code == 40
    assert "plan.held-for-destruction" in held.codes("refusals")
    assert "technique.other-interface" in {one["code"] for one in held.last["not_chosen"]}
    assert digest(plain_drive.image) == before


def test_wrong_words(plain_drive: Drive, operator: Operator) -> None:
    before = digest(plain_drive.image)
    for device, policy, code in (
        (plain_drive.device, "no-such-policy", 2),
        ("/dev/no-such-device", FULL, 2),
        ("/dev/null", FULL, 2),
        (str(plain_drive.folder), FULL, 2),
    ):
        done = operator.run(*operator.wipe_arguments(device, policy, confirm="x"), "--outside-bays")
        assert (done.code, done.last["schema"]) == (code, "nullbay.error/1")
    assert digest(plain_drive.image) == before
