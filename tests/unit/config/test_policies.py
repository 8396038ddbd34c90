from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import rfc8785

from nullbay.config.floors import DECISION_FLOW
from nullbay.config.policies import load_policies, resolve, shipped
from nullbay.config.problems import ConfigError, Problem, UnknownPolicyError
from nullbay.config.settings import Settings
from nullbay.domain.codec import to_plain
from nullbay.domain.ids import PolicyId
from nullbay.domain.lot import DataCategory, Destination
from nullbay.domain.method import MediaKind, Method, Technique
from nullbay.domain.patterns import Keyed, Repeat
from nullbay.domain.policy import FinalState, Full, NistR1
from support.policy_texts import CLEAR, PURGE

KEYED = Keyed()

# Certificates in customers' hands name these. A change of a shipped policy is a new version: a new
# file and a new row, never another hash in an old row.
HASHES = {
    "bsi-vsitr/1": "818c73449f560222e03b84a84178201b9175a4fedb73686b9030fdf96b77f7ca",
    "dod-5220-22-m/1": "929b4e245e69482ee4c6b56b3ed44f5937898cc0ec118eea5f52ab0dbfa55326",
    "gutmann/1": "922a00f3912f05fac0e9ef1a1175087cbd417173aefde04dfd559d28cf7dc153",
    "hmg-is5-baseline/1": "dd432a9392fa8a7a0d7d744f05c2ae2ff87cae7897018c521a1248304d02bebf",
    "hmg-is5-enhanced/1": "2a59ad7e3f05eb6ed19a899e1b4b28c1d2d86ece21b8fc58e99efca01ada6a5c",
    "nist-clear/1": "4509e7f7315f836f6dcf0e5dab0a7e4cb8d3dd4a64a030aa9819a43767b39a18",
    "nist-clear-full/1": "81cd8e89934f4d1143756cf10c96937cb18d198584c9d8090bb1a11f4363c543",
    "nist-purge/1": "f895e20328fcd8f1d0e053c1f69e3f7bab56a6431e33f9dd63dd4391259f8b52",
}


GUTMANN = """
R R R R 55 AA 924924 492492 249249 00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF
924924 492492 249249 6DB6DB B6DB6D DB6DB6 R R R R
"""


def bytes_of(text: str) -> tuple[Keyed | Repeat, ...]:
    return tuple(KEYED if one == "R" else Repeat(bytes.fromhex(one)) for one in text.split())


def test_shipped_policies_keep_their_hashes() -> None:
    assert {policy_id: policy.sha256 for policy_id, policy in shipped().items()} == HASHES


def test_a_hash_is_that_of_the_canonical_json_as_others_write_it() -> None:
    for policy in shipped().values():
        canonical = rfc8785.dumps(to_plain(policy))
        assert hashlib.sha256(canonical).hexdigest() == policy.sha256


def test_nist_clear_is_one_keyed_pass_sampled_on_magnetic_media_alone() -> None:
    policy = resolve(shipped(), "nist-clear/1")
    assert policy.method is Method.CLEAR
    assert policy.techniques == (Technique.HOST_OVERWRITE,)
    assert policy.scheme.passes == (KEYED,)
    for media in MediaKind:
        expected = NistR1() if media is MediaKind.MAGNETIC else Full()
        assert policy.profile_for(media) == expected


def test_nist_clear_full_differs_in_reading_everything_back() -> None:
    policy = resolve(shipped(), "nist-clear-full/1")
    assert {policy.profile_for(media) for media in MediaKind} == {Full()}
    assert policy.scheme == resolve(shipped(), "nist-clear/1").scheme


def test_nist_purge_knows_firmware_alone_in_the_order_of_every_drive() -> None:
    policy = resolve(shipped(), "nist-purge/1")
    assert policy.method is Method.PURGE
    assert Technique.HOST_OVERWRITE not in policy.techniques
    assert policy.fallback is None
    # Rows of the decision table: where two stand in a row, their order here is theirs.
    t = Technique
    for row in (
        (t.ATA_SANITIZE_CRYPTO, t.ATA_SANITIZE_OVERWRITE, t.TCG_REVERT),
        (t.TCG_REVERT, t.ATA_SECURITY_ERASE_ENHANCED),
        (t.ATA_SANITIZE_BLOCK, t.ATA_SANITIZE_CRYPTO, t.TCG_REVERT),
        (t.NVME_SANITIZE_BLOCK, t.NVME_SANITIZE_CRYPTO, t.TCG_REVERT),
        (t.SCSI_SANITIZE_CRYPTO, t.SCSI_SANITIZE_OVERWRITE, t.TCG_REVERT),
        (t.SCSI_SANITIZE_BLOCK, t.SCSI_SANITIZE_CRYPTO, t.TCG_REVERT),
    ):
        places = [policy.techniques.index(technique) for technique in row]
        assert places == sorted(places)
    assert t.NVME_SANITIZE_OVERWRITE in policy.techniques
    for unproved in (t.NVME_FORMAT_CRYPTO, t.NVME_FORMAT_USER_DATA, t.ATA_SECURITY_ERASE_NORMAL):
        assert unproved not in policy.techniques


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("dod-5220-22-m", "00 FF R"),
        ("hmg-is5-baseline", "00"),
        ("hmg-is5-enhanced", "00 FF R"),
        ("bsi-vsitr", "00 FF 00 FF 00 FF AA"),
        (
            "gutmann",
            GUTMANN,
        ),
    ],
)
def test_legacy_patterns_are_their_passes_and_clear(name: str, passes: str) -> None:
    policy = resolve(shipped(), name)
    assert policy.policy_id == f"{name}/1"
    assert policy.scheme.scheme_id == f"{name}/1"
    assert policy.scheme.passes == bytes_of(passes)
    assert policy.method is Method.CLEAR
    assert policy.techniques == (Technique.HOST_OVERWRITE,)
    assert policy.verify_magnetic == policy.verify_other == Full()
    assert "pattern" in policy.title


def test_gutmann_has_35_passes() -> None:
    assert len(resolve(shipped(), "gutmann").scheme.passes) == 35


def test_only_the_nist_policies_allow_unattended_bays_and_as_shipped_there_are_none() -> None:
    allowing = {known for known, policy in shipped().items() if policy.unattended}
    assert allowing == {"nist-clear/1", "nist-clear-full/1", "nist-purge/1"}
    settings = Settings()
    assert not settings.bays
    assert not settings.rules.unattended
    assert all(one.final_state is FinalState.KEYED for one in shipped().values())


def test_category_rules_follow_the_decision_flow() -> None:
    for policy in shipped().values():
        rules = {(rule.category, rule.destination): rule.method for rule in policy.categories}
        assert set(rules) == {(c, d) for c in DataCategory for d in Destination}
        for about, flow in DECISION_FLOW.items():
            expected = flow if flow.satisfies(policy.method) else policy.method
            assert rules[about] is expected, (policy.policy_id, about)


# --- a directory of one's own --------------------------------------------------------------------


def put(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (directory / f"{name}.toml").write_text(text)
    return directory


def refused(directory: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as error:
        load_policies(directory)
    return error.value.problems


def test_own_policies_stand_beside_the_shipped_ones(tmp_path: Path) -> None:
    newer = CLEAR.replace('id = "acme-clear/1"', 'id = "acme-clear/10"')
    known = load_policies(put(tmp_path, a=CLEAR, b=newer, c=PURGE))
    own = {"acme-clear/1", "acme-clear/10", "acme-purge/1"}
    assert set(known) == set(HASHES) | own
    assert load_policies(None) == shipped()


def test_a_name_alone_means_the_newest_version(tmp_path: Path) -> None:
    texts = [CLEAR.replace('id = "acme-clear/1"', f'id = "acme-clear/{n}"') for n in (2, 10, 9)]
    known = load_policies(put(tmp_path, a=texts[0], b=texts[1], c=texts[2]))
    assert resolve(known, "acme-clear").policy_id == "acme-clear/10"
    assert resolve(known, "acme-clear/9").policy_id == "acme-clear/9"


@pytest.mark.parametrize("text", ["", "nist", "nist-clear/2", "nist-clear/", "Nist-Clear", "\x1b"])
def test_an_unknown_policy_is_told_with_the_known_ones(text: str) -> None:
    with pytest.raises(UnknownPolicyError) as error:
        resolve(shipped(), text)
    assert error.value.code == "policy.unknown"
    assert "nist-purge/1" in str(error.value)
    assert str(error.value).isprintable()


def test_two_files_with_one_id_are_both_named(tmp_path: Path) -> None:
    (problem,) = refused(put(tmp_path, a=CLEAR, b="# x\n" + CLEAR))
    assert problem.file == str(tmp_path / "b.toml")
    assert (problem.line, problem.key) == (3, "id")
    assert str(tmp_path / "a.toml") in problem.message


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_names_of_shipped_policies_are_taken(tmp_path: Path, version: str) -> None:
    text = CLEAR.replace('id = "acme-clear/1"', f'id = "nist-clear/{version}"')
    (problem,) = refused(put(tmp_path, a=text))
    assert (problem.line, problem.key) == (2, "id")
    assert "nist-clear-1.toml" in problem.message or "shipped" in problem.message


def test_one_scheme_is_one_list_of_passes(tmp_path: Path) -> None:
    other = CLEAR.replace('id = "acme-clear/1"', 'id = "acme/1"').replace('"keyed"', '"00"')
    (problem,) = refused(put(tmp_path, a=CLEAR, b=other))
    assert (problem.file, problem.line) == (str(tmp_path / "b.toml"), 8)
    assert problem.key == "overwrite.scheme"
    assert str(tmp_path / "a.toml") in problem.message
    (tmp_path / "a.toml").unlink()
    assert PolicyId("acme/1") in load_policies(tmp_path)
    taken = other.replace('scheme = "acme-clear/1"', 'scheme = "one-keyed-pass/1"')
    (problem,) = refused(put(tmp_path, b=taken))
    assert problem.key == "overwrite.scheme"


def chained(name: str, fallback: str) -> str:
    text = CLEAR.replace('id = "acme-clear/1"', f'id = "{name}/1"')
    return text.replace("method =", f'fallback = "{fallback}/1"\nmethod =')


def test_a_fallback_is_a_known_policy(tmp_path: Path) -> None:
    (problem,) = refused(put(tmp_path, a=chained("a", "b")))
    assert (problem.line, problem.key) == (4, "fallback")
    assert '"b/1", which no file defines' in problem.message
    known = load_policies(put(tmp_path, a=chained("a", "b"), b=chained("b", "nist-purge")))
    assert known[PolicyId("a/1")].fallback == "b/1"


def test_a_chain_of_fallbacks_has_an_end(tmp_path: Path) -> None:
    texts = {"a": chained("a", "b"), "b": chained("b", "c"), "c": chained("c", "b")}
    found = refused(put(tmp_path, **texts))
    assert [Path(problem.file).name for problem in found] == ["b.toml", "c.toml"]
    assert all("leads back to itself" in problem.message for problem in found)


def test_problems_of_all_files_are_told_and_a_fallback_to_a_broken_one_is_not(
    tmp_path: Path,
) -> None:
    broken = chained("b", "nist-clear").replace('"clear"', '"cleer"')
    found = refused(put(tmp_path, a=chained("a", "b"), b=broken, c="x = \n"))
    assert [(Path(one.file).name, one.line) for one in found] == [("b.toml", 5), ("c.toml", 1)]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path / "missing")
    assert "cannot be read" in problem.message
