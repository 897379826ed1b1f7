"""The offset index: what it reads of large files, and what it refuses."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from pipeline.bank import BankError, FeatureBank
from pipeline.bank.caching import BoundedCache
from pipeline.bank.datafile import DataFileReader
from tests.pipeline.bank.helpers import CLIPS, Video, feature, new_bank, put, video


def test_a_window_decodes_only_the_row_groups_it_needs(tmp_path: Path) -> None:
    content = Video("v", {"features/" + CLIPS: [feature("v", float(k), np.full(4, k)) for k in range(40)]})
    with mock.patch("pipeline.bank.writer.default_row_group_rows", return_value=4):
        put(new_bank(tmp_path), content)
    bank, read = FeatureBank.open(tmp_path), DataFileReader.read_groups
    decoded: list[int] = []

    def spy(self: Any, file: Any, groups: Any, names: Any) -> Any:
        if names == ["feature"]:
            decoded.extend(groups)
        return read(self, file, groups, names)

    with mock.patch.object(DataFileReader, "read_groups", spy):
        assert bank.window(CLIPS, "v", 18.0, 3.0, 3.0).features[:, 0].tolist() == [15, 16, 17, 18, 19, 20]
        assert decoded == [3, 4, 5]
        bank.windows(CLIPS, [("v", 16.0), ("v", 12.0)], 0.0, 4.0)
        assert decoded == [3, 4, 5]
        assert len(bank.window(CLIPS, "v", 12.0).features) == 0
        assert decoded == [3, 4, 5]


def test_the_index_is_read_once_for_many_windows(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    bank = FeatureBank.open(tmp_path)
    with mock.patch.object(
        DataFileReader, "read_groups", autospec=True, side_effect=DataFileReader.read_groups
    ) as read:
        for at_s in (1.0, 2.0, 3.0):
            bank.window(CLIPS, "v", at_s, 1.0, 1.0)
    assert read.call_count == 2  # the small columns, the features


def test_a_file_without_the_rows_it_should_hold_is_an_error(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v"))
    put(writer, video("w"))
    folder = tmp_path / "features" / CLIPS
    (mine,), (other,) = folder.glob("v.*"), folder.glob("w.*")
    mine.write_bytes(other.read_bytes())
    with pytest.raises(BankError, match=r"no rows of video 'v', expected 6.*longform verify"):
        FeatureBank.open(tmp_path).window(CLIPS, "v", 1.0, 1.0, 1.0)


def test_the_cache_keeps_what_was_used_last_within_its_size() -> None:
    cache: BoundedCache[str] = BoundedCache(10)
    made: list[str] = []

    def value(key: str, size: int) -> str:
        return cache.get_or_make(key, lambda: (made.append(key) or key, size))

    value("a", 4), value("b", 4), value("a", 4), value("c", 4)
    assert made == ["a", "b", "c"]
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c")) == ("a", "c")
    assert value("large", 99) == cache.get("large") == "large"
    assert cache.get("a") is None
