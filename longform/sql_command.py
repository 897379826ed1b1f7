"""`longform sql`: the answer to a query as a table, CSV, JSON or Parquet, printed or in a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rich.text import Text

from pipeline import printing
from pipeline.bank.reader import FeatureBank
from pipeline.bank.sql import SqlError, query, stream
from pipeline.new_file import new_file

FORMAT_OF_SUFFIX = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
VALUES_SHOWN = 4
_BATCH_ROWS = 1024


def sql(arguments: argparse.Namespace) -> int:
    """Run the command. Raises SqlError; nothing is left of a file that could not be written whole."""
    form = _format(arguments)
    bank = FeatureBank.open(arguments.bank)
    if arguments.output is None:
        answer = query(bank, arguments.query, allow_files=arguments.allow_files)
        if form == "table":
            _print_table(answer)
        else:
            sys.stdout.flush()
            WRITERS[form](answer.schema, answer.to_batches(_BATCH_ROWS), sys.stdout.buffer)
        return 0

    def write(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        try:
            with new_file(Path(arguments.output)) as partial, partial.open("wb") as out:
                return WRITERS[form](schema, batches, out)
        except OSError as error:
            raise SqlError(f"Cannot write {arguments.output!r}: {error.strerror or error}.") from error

    rows = stream(bank, arguments.query, write, allow_files=arguments.allow_files)
    print(f"{rows} rows in {printing.harmless(arguments.output)}", file=sys.stderr)
    return 0


def _format(arguments: argparse.Namespace) -> str:
    """The format asked for, else that of the file's suffix, else a table."""
    suffix = Path(arguments.output or "").suffix.lower()
    form = arguments.format or ("json" if arguments.json else FORMAT_OF_SUFFIX.get(suffix, "table"))
    if form == "table" and arguments.output is not None:
        raise SqlError(
            f"Cannot write {arguments.output!r}: got suffix {suffix!r}, expected --format csv, json or parquet, "
            "or a file name that ends so."
        )
    if form == "parquet" and arguments.output is None and sys.stdout.isatty():
        raise SqlError("Cannot print Parquet on a terminal: expected -o FILE, or a pipe.")
    return form


def _write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: IO[bytes]) -> int:
    """Lists and structures become JSON in their cell."""
    nested = [place for place, field in enumerate(schema) if pa.types.is_nested(field.type)]
    flat = schema
    for place in nested:
        flat = flat.set(place, pa.field(schema.field(place).name, pa.string()))
    rows = 0
    with pacsv.CSVWriter(out, flat) as writer:
        for batch in batches:
            columns = list(batch.columns)
            for place in nested:
                cells = [None if value is None else _to_json(value) for value in columns[place].to_pylist()]
                columns[place] = pa.array(cells, pa.string())
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))
            rows += batch.num_rows
    return rows


def _write_json(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: IO[bytes]) -> int:
    """A list of objects, one row a line; names that occur twice get a number."""
    names, rows = _distinct(schema.names), 0
    for batch in batches:
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            line = _to_json(dict(zip(names, row, strict=True)))
            out.write(f"{',' if rows else '['}\n  {line}".encode())
            rows += 1
    out.write(b"\n]\n" if rows else b"[]\n")
    return rows


def _write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: IO[bytes]) -> int:
    named = pa.schema([field.with_name(name) for field, name in zip(schema, _distinct(schema.names), strict=True)])
    rows = 0
    with pq.ParquetWriter(out, named, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_arrays(batch.columns, schema=named))  # write_batch would collect a million
            rows += batch.num_rows
    return rows


WRITERS: dict[str, Callable[[pa.Schema, Iterable[pa.RecordBatch], IO[bytes]], int]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}
"""Each writes an answer as it comes, and gives the number of its rows."""


def _distinct(names: list[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, chosen = 1, name
        while chosen in found:
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found


def _to_json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """What JSON knows: no NaN or infinity (null), numbers for decimals, text for times and bytes."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _print_table(answer: pa.Table) -> None:
    console = printing.console()
    table = printing.table()
    for field in answer.schema:
        is_number = (
            pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        )
        table.add_column(Text(printing.harmless(field.name)), justify="right" if is_number else "left", overflow="fold")
    for batch in answer.to_batches(_BATCH_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            printing.add_row(table, *(printing.lines(_cell(value)) for value in row))
    console.print(table)
    console.print(f"{answer.num_rows} {'row' if answer.num_rows == 1 else 'rows'}", style="dim")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        head = " ".join(_cell(item) for item in value[:VALUES_SHOWN])
        return head if len(value) <= VALUES_SHOWN else f"{head} ... |{len(value)}|"
    return str(value)
