"""No single flipped bit of a sealed file goes unseen, and files without a seal are told from broken ones."""

import json
from pathlib import Path

import pytest

from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.errors import BankError, NotABankError
from pipeline.bank.manifest import create_or_open, open_manifest
from pipeline.bank.seal import BLANK, SealState, seal, seal_state
from pipeline.bank.spare import put_back
from pipeline.bank.verify import verify
from tests.pipeline.bank.helpers import CLIPS, assert_whole, new_bank, put, video


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_is_seen() -> None:
    data = seal(f'{{"name": "x", "seal": "{BLANK}"}}'.encode())
    assert seal_state(data) is SealState.WHOLE
    assert {seal_state(flipped(data, bit)) for bit in range(8 * len(data))} == {SealState.BROKEN}
    assert seal_state(data[:-1]) is SealState.BROKEN
    assert seal_state(b"no such word") is SealState.NONE


def test_a_file_without_a_place_for_the_seal_is_refused() -> None:
    with pytest.raises(ValueError, match="not found"):
        seal(b"{}")


def test_flipped_bits_in_a_row_and_in_compacted_rows_are_errors_for_readers(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    own = tmp_path / "videos" / "v.parquet"
    data = own.read_bytes()
    for bit in range(0, 8 * len(data), 997):
        own.write_bytes(flipped(data, bit))
        with pytest.raises(BankError, match=r"v\.parquet.*--repair"):
            FeatureBank.open(tmp_path)
    assert {(p.kind, p.video_id) for p in verify(tmp_path).problems} == {("unreadable_row", "v")}
    own.write_bytes(data)
    compact(tmp_path)
    together = tmp_path / "videos" / "@compacted.parquet"
    data = together.read_bytes()
    for bit in range(3, 8 * len(data), 9973):
        together.write_bytes(flipped(data, bit))
        assert {problem.kind for problem in verify(tmp_path).problems} == {"unreadable_row"}
    together.write_bytes(data)
    assert_whole(tmp_path, warnings=[])


def test_a_changed_bank_json_is_found_and_not_sealed_again(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    path = tmp_path / "bank.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"model": "test"', b'"model": "tesu"', 1))
    assert [(p.kind, p.path) for p in verify(tmp_path).problems] == [("wrong_sha256", "bank.json")]
    with pytest.raises(NotABankError, match="--repair"):
        create_or_open(tmp_path).register_space("another", 4)
    manifest = open_manifest(tmp_path)
    assert put_back(manifest.fs, manifest.root, str(path))
    assert path.read_bytes() == whole


def test_no_copy_or_a_broken_one_is_not_put_back(tmp_path: Path) -> None:
    manifest = create_or_open(tmp_path)
    path, spare = tmp_path / "bank.json", tmp_path / "_spare" / "bank.json.copy"
    spare.write_bytes(flipped(spare.read_bytes(), 400))
    assert not put_back(manifest.fs, manifest.root, str(path))
    spare.unlink()
    assert not put_back(manifest.fs, manifest.root, str(path))


def without_seal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank as versions of this program before the seals wrote it."""
    with monkeypatch.context() as patch:
        for place in ("writer", "manifest"):
            patch.setattr(f"pipeline.bank.{place}.seal", lambda data: data.replace(BLANK.encode(), b"x" * len(BLANK)))
        put(new_bank(root), video("v"))


@pytest.mark.parametrize("compacted", [False, True])
def test_banks_of_older_versions_are_whole_and_say_how_to_get_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    without_seal(tmp_path, monkeypatch)
    if compacted:
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.bank.writer.seal", lambda data: data.replace(BLANK.encode(), b"x" * len(BLANK)))
            patch.setattr("pipeline.bank.manifest.Manifest.add_seal", lambda self: None)
            compact(tmp_path)
    before = FeatureBank.open(tmp_path).features(CLIPS).to_pylist()
    row = "@compacted" if compacted else "v"
    warnings = {(w.kind, w.path): w.message for w in verify(tmp_path).warnings}
    assert sorted(warnings) == [("no_checksum", "bank.json"), ("no_checksum", f"videos/{row}.parquet")]
    assert all("longform compact" in message for message in warnings.values())
    compact(tmp_path)
    assert_whole(tmp_path, warnings=[])
    assert FeatureBank.open(tmp_path).features(CLIPS).to_pylist() == before
    assert seal_state((tmp_path / "bank.json").read_bytes()) is SealState.WHOLE
    assert "seal" in json.loads((tmp_path / "bank.json").read_text())
