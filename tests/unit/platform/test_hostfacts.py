"""Uses of a drive, from trees that look like /sys and /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from nullbay.domain.ports import HostAnswer, Use, UseKind
from nullbay.wipers.platform import hostfacts, mounts
from nullbay.wipers.platform.discover import find_drive
from nullbay.wipers.platform.hostfacts import LinuxHostFacts
from support.sysfs_tree import Tree, mount

AHCI = "pci0000:00/0000:00:1f.2/ata{0}/host{0}/target{0}:0:0"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Root on sda1, a second disk sdb with two partitions."""
    tree = Tree(tmp_path)
    for at, name in enumerate(("sda", "sdb")):
        disk = tree.scsi(name, AHCI.format(at), {"vendor": "ATA", "model": name})
        tree.partition(disk, 1)
        tree.partition(disk, 2)
    tree.write(tree.roots.proc, {"swaps": "Filename\tType\tSize\tUsed\tPriority"})
    return tree


def root(tree: Tree, *more: str) -> list[str]:
    return [mount(tree.number("sda1"), "/"), *more]


def disk(tree: Tree, name: str) -> Path:
    return (tree.roots.block / name).resolve()


def uses(tree: Tree, device: str = "sdb") -> tuple[Use, ...]:
    answer = ask(tree, device)
    assert answer.undetermined == ()
    return answer.uses


def ask(tree: Tree, device: str = "sdb") -> HostAnswer:
    return LinuxHostFacts(roots=tree.roots).uses_of(find_drive(device, roots=tree.roots))


def test_an_idle_drive_has_no_uses(tree: Tree) -> None:
    tree.process("self", root(tree))
    assert uses(tree) == ()


def test_a_mounted_partition_is_named_with_its_mount_point(tree: Tree) -> None:
    tree.process("self", root(tree, mount(tree.number("sdb2"), "/mnt/a\\040b\\012", "xfs")))
    (use,) = uses(tree)
    assert (use.node, use.kind) == ("sdb2", UseKind.MOUNT)
    assert use.evidence == "mounted at /mnt/a b\\x0a (xfs)"


def test_the_system_drive(tree: Tree) -> None:
    tree.process("self", root(tree))
    (use,) = uses(tree, "sda")
    assert (use.node, use.kind) == ("sda1", UseKind.SYSTEM)
    drive = LinuxHostFacts(roots=tree.roots).root_drive()
    assert drive is not None
    assert drive.attachment.nodes[0].name == "sda"


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ("/boot", UseKind.SYSTEM),
        ("/boot/efi", UseKind.SYSTEM),
        ("/usr", UseKind.SYSTEM),
        ("/var/lib/x", UseKind.SYSTEM),
        ("/variable", UseKind.MOUNT),
        ("/srv", UseKind.MOUNT),
    ],
)
def test_what_the_system_stands_on(tree: Tree, point: str, kind: UseKind) -> None:
    tree.process("self", root(tree, mount(tree.number("sdb1"), point)))
    (use,) = uses(tree)
    assert use.kind is kind


def test_mounts_in_other_namespaces_are_found(tree: Tree) -> None:
    tree.process("self", root(tree))
    tree.process(77, root(tree, mount(tree.number("sdb"), "/")), namespace="mnt:[2]")
    (use,) = uses(tree)
    assert use.kind is UseKind.MOUNT
    assert use.evidence == "mounted at / (ext4) in the mount namespace of process 77"


def test_a_process_in_a_chroot_does_not_speak_for_its_namespace(tree: Tree) -> None:
    tree.process("self", root(tree), namespace="mnt:[1]")
    tree.process(5, [mount(tree.number("sda1"), "/")], namespace="mnt:[2]", root="/empty")
    tree.process(9, [mount(tree.number("sdb1"), "/data")], namespace="mnt:[2]")
    assert [use.node for use in uses(tree)] == ["sdb1"]


def test_a_namespace_is_read_once(tree: Tree) -> None:
    tree.process("self", root(tree))
    other = tree.process(8, [mount(tree.number("sdb1"), "/unseen")])
    (other / "root").unlink()
    (other / "root").symlink_to("/")
    assert uses(tree) == ()


def test_namespaces_that_may_not_be_named_are_read_all_the_same(tree: Tree) -> None:
    tree.process("self", root(tree))
    hidden = tree.process(8, [mount(tree.number("sdb1"), "/seen")])
    (hidden / "ns" / "mnt").unlink()
    assert [use.node for use in uses(tree)] == ["sdb1"]


def test_vanished_processes_leave_nothing_open(tree: Tree) -> None:
    tree.process("self", root(tree))
    (tree.roots.proc / "4711").mkdir()
    assert uses(tree) == ()


def test_what_may_not_be_read_is_undetermined(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.process("self", root(tree))
    for pid in (8, 9):
        (tree.process(pid, []) / "ns" / "mnt").unlink()
    read = hostfacts._capped

    def refuse(path: Path) -> bytes:
        if path.parent.name in {"8", "9"}:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(hostfacts, "_capped", refuse)
    assert ask(tree).undetermined == ("mounts of 2 processes: Permission denied",)


def test_nothing_readable_at_all_is_undetermined(tree: Tree) -> None:
    assert "mounts: nothing could be read" in ask(tree).undetermined


def test_swap(tree: Tree) -> None:
    tree.process("self", root(tree))
    lines = [
        "Filename Type Size Used Priority",
        "/dev/sdb2 partition 8 0 -2",
        "/swap\\040file file 8",
    ]
    tree.write(tree.roots.proc, {"swaps": "\n".join(lines)})
    assert uses(tree) == (Use("sdb2", UseKind.SWAP, "swap area /dev/sdb2"),)


def test_swap_on_a_link_is_followed(tree: Tree) -> None:
    tree.process("self", root(tree))
    (tree.roots.dev / "disk").mkdir()
    (tree.roots.dev / "disk" / "swap").symlink_to("../sdb2")
    tree.write(tree.roots.proc, {"swaps": "Filename\n/dev/disk/swap partition 8 0 -2"})
    assert [use.kind for use in uses(tree)] == [UseKind.SWAP]


def test_a_kernel_without_swap_is_no_question(tree: Tree) -> None:
    tree.process("self", root(tree))
    (tree.roots.proc / "swaps").unlink()
    assert uses(tree) == ()


def test_holders_are_followed_to_what_is_mounted_on_them(tree: Tree) -> None:
    """sdb1 in md0, md0 in a volume group, the volume mounted."""
    md = tree.disk("md0", "virtual/block", {"md/level": "raid1"})
    volume = tree.disk("dm-3", "virtual/block", {"dm/name": b"vg-\x07data\n"})
    tree.holds(md, disk(tree, "sdb") / "sdb1")
    tree.holds(volume, md)
    tree.process("self", root(tree, mount(tree.number("dm-3"), "/srv/data")))
    found = uses(tree)
    assert [(use.node, use.kind) for use in found] == [
        ("sdb1", UseKind.HOLDER),
        ("md0", UseKind.HOLDER),
        ("dm-3", UseKind.MOUNT),
    ]
    assert found[0].evidence == "md0 is built on it, raid1"
    assert found[1].evidence == "dm-3 is built on it, mapped device vg-\\x07data"


def test_a_loop_device_directly_on_a_partition_holds_it(tree: Tree) -> None:
    tree.loop("loop4", "/dev/sdb1")
    tree.loop("loop5", "/srv/image")
    tree.process("self", root(tree, mount(tree.number("loop4"), "/mnt")))
    assert [(use.node, use.kind) for use in uses(tree)] == [
        ("sdb1", UseKind.HOLDER),
        ("loop4", UseKind.MOUNT),
    ]


def test_every_member_of_a_mounted_btrfs_is_in_use(tree: Tree) -> None:
    pool = tree.roots.sysfs / "fs/btrfs/0fc2-uuid"
    for name in ("sda2", "sdb1"):
        tree.link(pool / "devices" / name, tree.roots.sysfs / "class/block" / name)
    line = mount("0:41", "/pool", "btrfs", "/dev/sda2")
    tree.process("self", root(tree, line))
    assert uses(tree) == (Use("sdb1", UseKind.MOUNT, "mounted at /pool (btrfs)"),)


def test_a_btrfs_whose_mount_nobody_sees_still_uses_its_members(tree: Tree) -> None:
    pool = tree.roots.sysfs / "fs/btrfs/0fc2-uuid"
    tree.link(pool / "devices" / "sdb1", tree.roots.sysfs / "class/block/sdb1")
    tree.process("self", root(tree))
    (use,) = uses(tree)
    assert use.evidence == "member of the btrfs file system 0fc2-uuid"


def test_root_on_btrfs_and_on_stacks_is_followed_down(tree: Tree) -> None:
    pool = tree.roots.sysfs / "fs/btrfs/0fc2-uuid"
    volume = tree.disk("dm-0", "virtual/block", {"dm/name": "cryptroot"})
    tree.holds(volume, disk(tree, "sdb") / "sdb2")
    tree.link(pool / "devices" / "dm-0", volume)
    tree.process("self", [mount("0:28", "/", "btrfs", "/dev/dm-0")])
    drive = LinuxHostFacts(roots=tree.roots).root_drive()
    assert drive is not None
    assert drive.attachment.nodes[0].name == "sdb"
    assert UseKind.SYSTEM in {use.kind for use in uses(tree, "sdb")}


def test_the_last_mount_at_root_counts(tree: Tree) -> None:
    tree.process("self", [mount("0:1", "/", "rootfs", "none"), *root(tree)])
    drive = LinuxHostFacts(roots=tree.roots).root_drive()
    assert drive is not None
    assert drive.attachment.nodes[0].name == "sda"


def test_an_overlay_root_is_undetermined(tree: Tree) -> None:
    tree.process("self", [mount("0:30", "/", "overlay", "overlay")])
    assert ask(tree).undetermined == ("the root file system could not be followed to a drive",)
    assert LinuxHostFacts(roots=tree.roots).root_drive() is None


def test_a_root_in_memory_is_on_no_drive(tree: Tree) -> None:
    tree.process("self", [mount("0:30", "/", "tmpfs", "none")])
    assert uses(tree) == ()
    assert LinuxHostFacts(roots=tree.roots).root_drive() is None


def test_other_peoples_processes_hidden_from_a_user(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "22 1 0:5 / /proc rw - proc proc rw,hidepid=invisible"
    tree.process("self", root(tree, line))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (text,) = ask(tree).undetermined
    assert "hidepid" in text
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert ask(tree).undetermined == ()


def test_lines_of_another_form_are_left_out() -> None:
    lines = b"nonsense\n36 35 8:1 / /a rw - ext4\n36 35 8:1 / /b rw - ext4 /dev/x rw,k\n\xff\n"
    (one,) = mounts.parse_mountinfo(lines)
    assert (one.point, one.options) == (b"/b", b"rw,k")
    assert mounts.parse_swaps(b"") == []
