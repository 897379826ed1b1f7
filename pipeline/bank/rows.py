"""Rows on their way into a table: dicts or Arrow data become exactly the table's schema, or a clear error."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.errors import BadRowsError

Rows: TypeAlias = Sequence[Mapping[str, Any]] | pa.RecordBatch | pa.Table

_NUMPY = {pa.float16(): np.float16, pa.float32(): np.float32}


def to_table(rows: Rows, schema: pa.Schema, what: str) -> pa.Table:
    """Rows as a table of exactly `schema`; `what` names the target in errors.

    Dicts may leave out nullable columns. Vectors may be lists or arrays of the column's length.
    Raises BadRowsError for unknown or missing columns, nulls where none may be, vectors of another
    length, and NaN or infinity in vectors (a value too large for float16 counts as infinity).
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        table = _from_arrow(rows, schema, what)
    else:
        table = _from_dicts(rows, schema, what)
    for field in schema:
        _check_column(table[field.name], field, what)
    return table


def _from_arrow(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    _check_names(table.column_names, schema, what)
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _wrong_type(what, field, table[field.name].type, error) from error
    return pa.table(columns, schema=schema)


def _from_dicts(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, what: str) -> pa.Table:
    for names in {tuple(row) for row in rows}:
        _check_names(names, schema, what)
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_fixed_size_list(field.type):
            columns.append(_vectors(values, field, what))
            continue
        try:
            columns.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise _wrong_type(what, field, "values", error) from error
    return pa.table(columns, schema=schema)


def _vectors(values: list[Any], field: pa.Field, what: str) -> pa.Array:
    size, kind = field.type.list_size, _NUMPY[field.type.value_type]
    for value in values:
        if value is None:
            raise _has_null(what, field)
        if np.shape(value) != (size,):
            raise BadRowsError(
                f"Cannot write {what}: got a {field.name} of shape {np.shape(value)}, expected ({size},). "
                "Check which model or extractor feeds this table."
            )
    with np.errstate(over="ignore"):  # infinity is reported by _check_column
        flat = np.asarray(values, dtype=kind).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, field.type.value_type), type=field.type)


def _check_names(names: Iterable[str], schema: pa.Schema, what: str) -> None:
    names = set(names)
    unknown = sorted(names - set(schema.names))
    missing = [field.name for field in schema if not field.nullable and field.name not in names]
    if unknown or missing:
        raise BadRowsError(
            f"Cannot write {what}: got unknown columns {unknown}, missing columns {missing}, expected {schema.names}."
        )


def _check_column(column: pa.ChunkedArray, field: pa.Field, what: str) -> None:
    if not field.nullable and column.null_count:
        raise _has_null(what, field)
    if pa.types.is_fixed_size_list(field.type):
        flat = vectors_of(column)
        if not np.isfinite(flat).all():
            row = int(np.flatnonzero(~np.isfinite(flat).all(axis=1))[0])
            raise BadRowsError(
                f"Cannot write {what}: got NaN or infinity in {field.name} (row {row} of {len(column)}), "
                f"expected finite {field.type.value_type} values. Check the extractor and its weights."
            )
    elif pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py():
        raise BadRowsError(f"Cannot write {what}: got NaN in {field.name}, expected a number.")


def vectors_of(column: pa.ChunkedArray) -> np.ndarray:
    """A column of fixed-size lists as an array (rows, size), without a copy where it is one chunk."""
    size = column.type.list_size
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks if len(chunk)]
    if not flat:
        return np.zeros((0, size), _NUMPY[column.type.value_type])
    return (flat[0] if len(flat) == 1 else np.concatenate(flat)).reshape(-1, size)


def _has_null(what: str, field: pa.Field) -> BadRowsError:
    return BadRowsError(
        f"Cannot write {what}: got a null {field.name}, expected a value in every row. "
        "What has no value there must have no row."
    )


def _wrong_type(what: str, field: pa.Field, got: object, error: Exception) -> BadRowsError:
    return BadRowsError(f"Cannot write {what}: got {got} for {field.name}, expected {field.type} ({error}).")
