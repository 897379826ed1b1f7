"""`longform sql`: the answer to a query as a table, CSV, JSON or Parquet, printed or in a file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longform.query.sql import SqlError, query
from pipeline.bank.reader import FeatureBank
from pipeline.rows import printable

FORMAT_OF_SUFFIX = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
VALUES_SHOWN = 4


def sql(arguments: argparse.Namespace) -> int:
    """Run the command. Raises SqlError; nothing is left of a file that could not be written whole."""
    form = _format(arguments)
    answer = query(FeatureBank.open(arguments.bank), arguments.query, allow_files=arguments.allow_files)
    if arguments.output is None:
        if form == "table":
            _print_table(answer)
        else:
            sys.stdout.flush()
            WRITERS[form](answer, sys.stdout.buffer)
        return 0
    with _replacing(Path(arguments.output)) as out:
        WRITERS[form](answer, out)
    print(f"{answer.num_rows} rows in {printable(arguments.output)}", file=sys.stderr)
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


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name once it is complete."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as out:
            yield out
        scratch.replace(path)
    except OSError as error:
        raise SqlError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def _write_csv(answer: pa.Table, out: IO[bytes]) -> None:
    """Lists and structures become JSON in their cell."""
    for place, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type):
            cells = [None if value is None else _to_json(value) for value in answer.column(place).to_pylist()]
            answer = answer.set_column(place, field.name, pa.array(cells, pa.string()))
    pacsv.write_csv(answer, out)


def _write_json(answer: pa.Table, out: IO[bytes]) -> None:
    """A list of objects, one row a line; names that occur twice get a number."""
    names = _distinct(answer.column_names)
    separator = "["
    for batch in answer.to_batches(max_chunksize=1024):
        columns = [column.to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            line = _to_json(dict(zip(names, row, strict=True)))
            out.write(f"{separator}\n  {line}".encode())
            separator = ","
    out.write(b"[]\n" if separator == "[" else b"\n]\n")


def _write_parquet(answer: pa.Table, out: IO[bytes]) -> None:
    pq.write_table(answer.rename_columns(_distinct(answer.column_names)), out, compression="zstd")


WRITERS: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}


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
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=200)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for field in answer.schema:
        is_number = (
            pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        )
        table.add_column(Text(printable(field.name)), justify="right" if is_number else "left", overflow="fold")
    for batch in answer.to_batches(max_chunksize=1024):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            table.add_row(*(Text(_cell(value)) for value in row))
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
    return "\n".join(printable(line) for line in str(value).split("\n"))
