"""The command line: every command and option, and nothing else (docs/cli.md)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from nullbay import __version__

# argparse has no public name for what add_subparsers returns
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

DEFAULT_STATE = "/var/lib/nullbay"
DEFAULT_BENCH_STATE = "/var/lib/nullbay-wiperd"
DEFAULT_SERVER_STATE = "/var/lib/nullbay-server"
DEFAULT_SERVER_CONFIG = "/etc/nullbay-server"
DEFAULT_SOCKET = "/run/nullbay/wiperd.sock"
DEFAULT_URL = "http://127.0.0.1:8420"
RATE_LIMIT_MAX_MB = 1_000_000


def build_parser() -> argparse.ArgumentParser:
    """The parser of `nullbay`. Each leaf command sets `command`, the name main looks up."""
    parser = argparse.ArgumentParser(
        prog="nullbay",
        description="Sanitize drives and prove it. A verdict is never better than its evidence.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nullbay {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _drives(commands)
    _wipe(commands)
    _cert(commands)
    _station(commands)
    _asking(commands)
    _bays(commands)
    _daemons(commands)
    _config(commands)
    _lab(commands)
    _demo(commands)
    return parser


def _leaf(commands: _Commands, name: str, command: str, text: str) -> argparse.ArgumentParser:
    leaf = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    leaf.set_defaults(command=command)
    return leaf


def _group(commands: _Commands, name: str, text: str) -> _Commands:
    group = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _json(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("--json", action="store_true", help="print JSON only on standard output")


def _places(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    leaf.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help=f"state directory (NULLBAY_STATE_DIR, else {DEFAULT_STATE})",
    )


def _device(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("device", metavar="DEVICE", help="a device node, or the file of a lab drive")
    leaf.add_argument("--policy", metavar="P", help="policy id or name")
    leaf.add_argument("--lot", metavar="REF", help="reference of the lot")
    leaf.add_argument(
        "--outside-bays", action="store_true", help="as root: also a drive that is in no wipe bay"
    )


def _drives(commands: _Commands) -> None:
    leaf = _leaf(
        commands, "drives", "drives", "list drives, what to confirm them with, and what is refused"
    )
    leaf.add_argument("devices", nargs="*", metavar="DEVICE", help="only these")
    leaf.add_argument(
        "--outside-bays", action="store_true", help="as root: also drives that are in no wipe bay"
    )
    _places(leaf)
    _json(leaf)
    leaf = _leaf(commands, "plan", "plan", "explain what would be done to a drive, and why")
    _device(leaf)
    _places(leaf)
    _json(leaf)


def _wipe(commands: _Commands) -> None:
    leaf = _leaf(
        commands, "wipe", "wipe", "sanitize one drive in the foreground and certify the result"
    )
    _device(leaf)
    leaf.add_argument(
        "--confirm", required=True, metavar="TEXT", help="the text `drives` shows for it"
    )
    leaf.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="where the record goes"
    )
    leaf.add_argument("--asset-tag", default="", metavar="T", help="asset tag on the drive")
    leaf.add_argument("--label-serial", default="", metavar="S", help="serial printed on the label")
    leaf.add_argument(
        "--operator",
        action="append",
        default=[],
        metavar="ID",
        help="who approves; twice for two people",
    )
    leaf.add_argument("--rate-limit", type=_megabytes, default=0, metavar="MB", help="MB/s at most")
    leaf.add_argument(
        "--restart", action="store_true", help="set an open job aside and begin a new one"
    )
    _places(leaf)
    _json(leaf)


def _cert(commands: _Commands) -> None:
    group = _group(commands, "cert", "check, show and export certificates")
    leaf = _leaf(group, "verify", "cert verify", "is it authentic, and what is its verdict?")
    leaf.add_argument("path", type=Path, metavar="FILE|DIR", help="a bundle, or a folder of them")
    leaf.add_argument(
        "--trust",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="public keys to trust (PEM); may be repeated",
    )
    leaf.add_argument(
        "--authentic-only",
        action="store_true",
        help="exit 0 for any authentic record, whatever its verdict",
    )
    _json(leaf)
    leaf = _leaf(
        group, "recheck", "cert recheck", "read the drive again and compare it with its certificate"
    )
    leaf.add_argument("path", type=Path, metavar="FILE", help="a bundle")
    leaf.add_argument("--device", required=True, metavar="DEV", help="the drive")
    leaf.add_argument(
        "--samples",
        choices=("recorded", "fresh", "full"),
        default="recorded",
        help="the same places as then, new ones, or every byte",
    )
    leaf.add_argument(
        "--evidence", type=Path, metavar="FILE", help="its archive, if not beside the bundle"
    )
    leaf.add_argument(
        "--trust",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="public keys to trust",
    )
    _places(leaf)
    _json(leaf)
    leaf = _leaf(group, "show", "cert show", "print what a certificate says, without believing it")
    leaf.add_argument("path", type=Path, metavar="FILE", help="a bundle")
    _json(leaf)
    leaf = _leaf(group, "pdf", "cert pdf", "render a certificate as PDF")
    leaf.add_argument("path", type=Path, metavar="FILE", help="a bundle")
    leaf.add_argument("--out", type=Path, metavar="FILE", help="where to (beside the bundle)")
    _json(leaf)
    leaf = _leaf(
        group, "export", "cert export", "copy the record of a job out of the state directory"
    )
    leaf.add_argument("job", metavar="JOB", help="job id, see `jobs`")
    leaf.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to")
    _places(leaf)
    _json(leaf)


def _station(commands: _Commands) -> None:
    leaf = _leaf(commands, "jobs", "jobs", "list the jobs of this state directory")
    _places(leaf)
    _json(leaf)
    for group_name, text, leaves in (
        (
            "station",
            "the station itself",
            (
                ("pin", "record this machine's own disks, never to be wiped"),
                ("check", "do the pins still hold?"),
            ),
        ),
        (
            "journal",
            "the journal's file",
            (
                ("check", "is the file sound?"),
                ("recover", "save what can be read of a damaged one; it is kept"),
            ),
        ),
        ("ledger", "the hash chain of everything", (("check", "is the chain unbroken?"),)),
        (
            "key",
            "the keys of this state directory",
            (("init", "make them now"), ("show", "print the public keys")),
        ),
    ):
        group = _group(commands, group_name, text)
        for name, what in leaves:
            leaf = _leaf(group, name, f"{group_name} {name}", what)
            if (group_name, name) == ("journal", "recover"):
                leaf.add_argument(
                    "--put-in-place",
                    action="store_true",
                    help="use what was saved from now on; the damaged file is kept",
                )
            _places(leaf)
            _json(leaf)


def _asking(commands: _Commands) -> None:
    for name, text in (
        ("approve", "consent to the plan of a drive that waits in a bay of the running station"),
        ("abort", "conclude a job of the running station now, or stop a countdown"),
    ):
        leaf = _leaf(commands, name, name, text)
        leaf.add_argument("id", metavar="ID", help="job id, or the insertion id of a proposal")
        if name == "approve":
            leaf.add_argument("--plan", required=True, metavar="SHA256", help="hash of the plan")
            leaf.add_argument(
                "--confirm", required=True, metavar="TEXT", help="the text shown for the drive"
            )
        leaf.add_argument("--url", default=DEFAULT_URL, help=f"the station ({DEFAULT_URL})")
        leaf.add_argument(
            "--token-file",
            type=Path,
            required=True,
            metavar="FILE",
            help="file with your bearer token",
        )
        _json(leaf)


def _bays(commands: _Commands) -> None:
    group = _group(commands, "bays", "the places for drives")
    leaf = _leaf(
        group, "learn", "bays learn", "bind a bay to the place of the one drive plugged in now"
    )
    leaf.add_argument(
        "--device", metavar="DEV", help="a drive that is in already, instead of waiting for one"
    )
    leaf.add_argument("--bay", metavar="ID", help="what the bay is called")
    leaf.add_argument("--row", type=int, metavar="N", help="its row, counted from the top")
    leaf.add_argument("--column", type=int, metavar="N", help="its column, counted from the left")
    leaf.add_argument(
        "--label-serial", default="", metavar="S", help="serial scanned from the drive's label"
    )
    leaf.add_argument("--no-label", action="store_true", help="do not compare a label")
    leaf.add_argument(
        "--wait", type=float, default=120.0, metavar="S", help="seconds to wait for it (120)"
    )
    _places(leaf)
    _json(leaf)
    leaf = _leaf(
        group, "list", "bays list", "bays, what is in them, and whether they are as learned"
    )
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    _json(leaf)


def _daemons(commands: _Commands) -> None:
    leaf = _leaf(commands, "wiperd", "wiperd", "the root service that works on drives")
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    leaf.add_argument(
        "--state-dir",
        type=Path,
        default=Path(DEFAULT_BENCH_STATE),
        metavar="DIR",
        help=f"jobs, bench key and pins ({DEFAULT_BENCH_STATE})",
    )
    _socket(leaf)
    leaf.add_argument(
        "--agent-user",
        default="nullbay",
        metavar="NAME",
        help="user whose processes may ask, besides root (nullbay)",
    )
    leaf = _leaf(commands, "agent", "agent", "the station: bays, console, records")
    _places(leaf)
    _socket(leaf)
    leaf = _leaf(commands, "server", "server", "the centre that receives records of stations")
    leaf.add_argument(
        "--config",
        type=Path,
        default=Path(DEFAULT_SERVER_CONFIG),
        metavar="PATH",
        help=f"settings: a file or a directory ({DEFAULT_SERVER_CONFIG})",
    )
    leaf.add_argument(
        "--state-dir",
        type=Path,
        default=Path(DEFAULT_SERVER_STATE),
        metavar="DIR",
        help=f"key, database and evidence ({DEFAULT_SERVER_STATE})",
    )


def _socket(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument(
        "--socket",
        type=Path,
        default=Path(DEFAULT_SOCKET),
        metavar="PATH",
        help=f"where wiperd listens ({DEFAULT_SOCKET})",
    )


def _config(commands: _Commands) -> None:
    group = _group(commands, "config", "settings and policies")
    leaf = _leaf(group, "check", "config check", "find every mistake, with file, line and key")
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    _json(leaf)
    leaf = _leaf(
        group, "password", "config password", "make the text of a password for the centre's users"
    )
    _json(leaf)
    leaf = _leaf(group, "pin", "config pin", "make the text of a person's PIN for the settings")
    leaf.add_argument("--badge", action="store_true", help="draw the text of a new badge, too")
    _json(leaf)
    leaf = _leaf(
        group, "udev", "config udev", "print udev rules that keep the host off the drives in bays"
    )
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    leaf.add_argument("--out", type=Path, metavar="FILE", help="write them here")
    _json(leaf)
    leaf = _leaf(group, "policies", "config policies", "list the policies that can be used")
    leaf.add_argument("--config", type=Path, metavar="PATH", help="settings: a file or a directory")
    _json(leaf)


def _lab(commands: _Commands) -> None:
    group = _group(commands, "lab", "drives made of software")
    leaf = _leaf(group, "make", "lab make", "make the drive that a description file describes")
    leaf.add_argument("path", type=Path, metavar="FILE", help="description, see docs/lab.md")
    leaf.add_argument("--force", action="store_true", help="replace a drive that is there already")
    leaf.add_argument(
        "--old-data", type=int, metavar="SEED", help="fill it with recognisable old data"
    )
    _json(leaf)
    for name, text in (
        ("pull", "take it out: its cache is lost"),
        ("put-back", "plug it in again"),
    ):
        leaf = _leaf(group, name, f"lab {name}", text)
        leaf.add_argument("path", type=Path, metavar="FILE", help="description")
        _json(leaf)


def _demo(commands: _Commands) -> None:
    leaf = _leaf(
        commands, "demo", "demo", "a station and a centre at work on nine drives made of software"
    )
    leaf.add_argument(
        "--once", action="store_true", help="end when all drives are done, instead of with Ctrl-C"
    )
    leaf.add_argument("--out", type=Path, metavar="DIR", help="keep everything here")
    leaf.add_argument("--no-loops", action="store_true", help="no loop devices, even as root")
    _json(leaf)


def _megabytes(text: str) -> int:
    value = int(text)
    if not 1 <= value <= RATE_LIMIT_MAX_MB:
        msg = f"1 to {RATE_LIMIT_MAX_MB}"
        raise argparse.ArgumentTypeError(msg)
    return value * 1_000_000
