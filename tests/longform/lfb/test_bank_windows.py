"""Windows of the bank are those of the released code, slot by slot."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from longform.lfb.bank_windows import BankWindow, BankWindows
from pipeline.errors import InputError
from tests.longform.lfb.tiny_data import SPACES, make_bank

RNG_SEED = 3


def windows(folder: Path, task: str, times_s: np.ndarray, *, people: int = 0, **options: object) -> BankWindows:
    if not (folder / "bank").exists():
        make_bank(folder / "bank", task, ["v.mp4"], times_s, people=people)
    found = BankWindows(str(folder / "bank"), SPACES[task], task, **options)  # type: ignore[arg-type]
    found.require(["v"])
    return found


def read(found: BankWindows, frame: int, seed: int = RNG_SEED) -> BankWindow:
    return found.read("v", frame, np.random.default_rng(seed))


def test_ava_reads_30_seconds_before_and_29_after(tmp_path: Path) -> None:
    """Second s has the slots 5 (s - centre + 30) and on; five of seven people, at random."""
    found = windows(tmp_path, "ava", np.arange(100.0), people=7, offset_s=10.0)
    window = read(found, 30 * 40)
    assert (window.features.shape, found.slots, window.at_s) == ((300, 4), 300, 50.0)
    assert window.times_s.tolist() == np.repeat(np.arange(20.0, 80.0), 5).tolist()
    assert window.features[:, 0].tolist() == window.times_s.tolist()
    assert window.mask.all()
    ids = [set((window.detection_ids[5 * s : 5 * s + 5] % 100).tolist()) for s in range(60)]
    assert {len(of_second) for of_second in ids} == {5}
    assert set.union(*ids) == set(range(7))
    assert (read(found, 1200).features == window.features).all()
    assert (read(found, 1200, seed=4).features != window.features).any()


def test_at_the_end_of_a_film_slots_stay_where_they_are(tmp_path: Path) -> None:
    found = windows(tmp_path, "ava", np.arange(4.0), people=2)
    window = read(found, 60)
    held = np.flatnonzero(window.mask)
    assert held.tolist() == [5 * (28 + s) + person for s in range(4) for person in range(2)]
    assert not window.features[~window.mask].any()


def test_people_that_are_not_sure_are_left_out(tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", "ava", ["v.mp4"], np.arange(4.0), people=2, score=0.89)
    assert not read(windows(tmp_path, "ava", np.arange(4.0)), 60).mask.any()


@pytest.mark.parametrize("centre", range(120, 144))
def test_charades_reads_120_frames_before_and_119_after(tmp_path: Path, centre: int) -> None:
    """For every phase of the centre, against integers: frames i with 12 | i + 1, packed to the front."""
    found = windows(tmp_path, "charades", 11 / 24 + 0.5 * np.arange(40))
    window = read(found, centre)
    expected = [i for i in range(11, 11 + 12 * 40, 12) if centre - 120 <= i < centre + 120]
    assert len(expected) == 20
    assert np.rint(window.times_s * 24).astype(int).tolist() == expected


def test_what_is_there_comes_first_where_slots_are_not_aligned(tmp_path: Path) -> None:
    found = windows(tmp_path, "epic-verb", np.arange(1.0, 5.0))
    window = read(found, 0)
    assert (found.slots, np.flatnonzero(window.mask).tolist()) == (40, [0, 1, 2, 3])
    assert window.times_s[:5].tolist() == [1, 2, 3, 4, 0]


def test_nouns_are_packed_and_ten_of_a_second(tmp_path: Path) -> None:
    found = windows(tmp_path, "epic-noun", np.arange(0.0, 20.0, 2.0), people=12)
    window = read(found, 300)
    assert (found.slots, int(window.mask.sum())) == (120, 60)
    assert window.mask[:60].all()
    assert window.times_s[:60].tolist() == np.repeat([4.0, 6.0, 8.0, 10.0, 12.0, 14.0], 10).tolist()


def test_a_causal_window_ends_before_the_centre(tmp_path: Path) -> None:
    found = windows(tmp_path, "epic-verb", np.arange(60.0), window_s=8, causal=True)
    window = read(found, 30 * 30)
    assert window.times_s.tolist() == list(range(22, 30))


def test_videos_that_the_bank_lacks_are_named(tmp_path: Path) -> None:
    found = windows(tmp_path, "epic-verb", np.arange(4.0))
    with pytest.raises(InputError, match=r"2 of 3 videos are not in bank .*: P01, P02\. It has 1 videos"):
        found.require(["v", "P01", "P02"])


def test_a_bank_of_other_times_is_refused(tmp_path: Path) -> None:
    found = windows(tmp_path, "ava", np.arange(4.0), people=1, offset_s=900.0)
    found.require(["v"], span_s=(-900.0, -890.0))
    with pytest.raises(InputError, match="from 0 to 3 s, and the list has moments from 902 to 1798"):
        found.require(["v"], span_s=(2.0, 898.0))


def test_a_space_that_is_not_there(tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", "ava", ["v"], np.arange(2.0), people=1)
    with pytest.raises(InputError, match=r"no space 'clip\.x'.*person\.ava_lfb"):
        BankWindows(str(tmp_path / "bank"), "clip.x", "charades")


def test_a_copy_opens_the_bank_for_itself(tmp_path: Path) -> None:
    found = windows(tmp_path, "ava", np.arange(9.0), people=7)
    again = copy.deepcopy(found)  # as pickling, which loaders do where they cannot fork
    assert again.__getstate__() == found.__getstate__()
    assert (read(again, 90).features == read(found, 90).features).all()
