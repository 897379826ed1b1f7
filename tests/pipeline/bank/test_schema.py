"""Schemas: documented, with the columns that others rely on."""

import pyarrow as pa
import pytest

from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.schema import VIDEOS, default_row_group_rows, feature_schema, schema_of

RELIED_ON = {
    "videos": "video_id uri status error_stage error_class error_message duration_s width height num_frames fps",
    "shots": "video_id shot_index start_s end_s start_frame end_frame",
    "detections": "video_id at_s frame detection_id box score class_id label track_id shot_index",
    "tracks": "video_id track_id class_id shot_index start_s end_s num_detections",
    "features/clip.x": "video_id at_s start_s end_s detection_id track_id feature",
}


@pytest.mark.parametrize("table", list(RELIED_ON))
def test_every_column_says_its_unit_and_meaning(table: str) -> None:
    schema = schema_of(table, 8)
    assert set(RELIED_ON[table].split()) <= set(schema.names)
    for field in schema:
        assert field.metadata[b"unit"], field.name
        assert len(field.metadata[b"doc"]) > 5, field.name


def test_revision_is_the_last_column() -> None:
    assert VIDEOS.names[-2:] == ["files", "revision"]


def test_feature_is_a_list_of_float16_without_nulls() -> None:
    field = feature_schema(7).field("feature")
    assert field.type.list_size == 7
    assert field.type.value_type == pa.float16()
    assert not field.nullable


@pytest.mark.parametrize(("dim", "rows"), [(2048, 256), (16, 32768), (1 << 20, 64)])
def test_row_groups_of_features_are_about_a_megabyte(dim: int, rows: int) -> None:
    assert default_row_group_rows(feature_schema(dim)) == rows


def test_bad_requests() -> None:
    with pytest.raises(UnknownNameError, match="No table 'frames'"):
        schema_of("frames")
    with pytest.raises(BankError, match="got no dim"):
        schema_of("features/clip.x")
    with pytest.raises(BankError, match="got dim 0"):
        feature_schema(0)
