"""SQL over a bank through DuckDB: a view for each table and feature space, of valid rows only.

    FeatureBank.open("bank").sql('SELECT video_id, count(*) AS shots FROM shots GROUP BY ALL')

The views are `videos`, `shots`, `detections`, `tracks` and each space under its name (`"clip.hoghof"`, in quotes
because of the point). They read what a query needs: its columns, and row groups its conditions may hold in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from pipeline.bank import filesystem
from pipeline.bank.errors import BankBusyError, BankError
from pipeline.bank.naming import is_compacted
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FEATURES, TABLES, schema_of
from pipeline.bank.valid_files import ValidFile, valid_files

_ATTEMPTS = 20
_BATCH_ROWS = 8192
_FAULTS_OF_A_QUERY = (
    duckdb.ParserException,
    duckdb.CatalogException,
    duckdb.BinderException,
    duckdb.ConversionException,
)
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


T = TypeVar("T")


class SqlError(BankError):
    """A query that DuckDB cannot answer, or that does more than read."""


def query(bank: FeatureBank, sql: str, *, allow_files: bool = False) -> pa.Table:
    """The rows of one SELECT (also WITH, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN).

    Features are `fixed_size_list<float>[d]`. A query that fails while `compact` or a run works is put
    again to the bank as it is then, so an answer never mixes two states of a video. `allow_files` lets the query
    read other files too, such as ``read_csv('labels.csv')``; it cannot write any.
    Raises SqlError with DuckDB's reason in one line; BankBusyError for a bank that keeps changing.
    """
    return stream(bank, sql, lambda schema, batches: pa.Table.from_batches(batches, schema), allow_files=allow_files)


def stream(
    bank: FeatureBank,
    sql: str,
    consume: Callable[[pa.Schema, Iterator[pa.RecordBatch]], T],
    *,
    allow_files: bool = False,
) -> T:
    """What `consume` makes of the answer, which it gets in batches of some thousand rows; otherwise as `query`.

    If the bank changes under the query, `consume` is called again, with the whole of a new answer.
    """
    for _ in range(_ATTEMPTS):
        bound: list[ValidFile] = []
        try:
            with _connection(allow_files) as connection:
                _bind(connection, bank, bound)
                reader = _answer(connection, sql, allow_files)
                return consume(reader.schema, _batches(reader))
        except _FAULTS_OF_A_QUERY as error:
            raise SqlError(_in_one_line(sql, error, bank)) from error
        except (duckdb.Error, OSError, _BrokenOffError) as error:
            _refuse_unless_changed(bank, bound, sql, error)
    raise BankBusyError(f"Cannot read bank {bank.root!r}: it changed in each of {_ATTEMPTS} attempts. Try again later.")


class _BrokenOffError(Exception):
    """The rest of an answer cannot be had."""


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of an answer. What DuckDB meets on the way is told from an error of the consumer, say a full disk."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, duckdb.Error, OSError) as error:
            raise _BrokenOffError(str(error)) from error
        yield batch


def _refuse_unless_changed(bank: FeatureBank, bound: Sequence[ValidFile], sql: str, error: Exception) -> None:
    """Refresh the bank. Raises BankError for a lost file and SqlError for all else, if nothing has changed."""
    gone, before = _any_is_gone(bank, bound), bank.snapshot.all_files
    bank.refresh()
    if not bank.snapshot.all_files.equals(before):
        return
    if gone:
        raise BankError(
            f"Cannot read bank {bank.root!r}: got no file for some that its videos rows name, expected all of them. "
            "Run `longform verify`, and extract the videos it names again."
        ) from error
    raise SqlError(_in_one_line(sql, error, bank)) from error


def view_names(bank: FeatureBank) -> dict[str, str]:
    """The table behind each view but `videos`: "shots", ..., "features/<space>".

    SQL ignores case. A space whose name a table or another space has is called "features/<space>".
    """
    views = {name: name for name in TABLES}
    taken = {"videos", *TABLES}
    for space in bank.spaces:
        name = space
        while name.lower() in taken:
            name = FEATURES + name
        taken.add(name.lower())
        views[name] = FEATURES + space
    return views


@contextmanager
def _connection(allow_files: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that may spill into a folder of its own, and sees no Python variables."""
    with tempfile.TemporaryDirectory(prefix="longform-sql-") as scratch:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": scratch,
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "allow_community_extensions": "false",
        }
        with duckdb.connect(config=settings) as connection:
            if not allow_files:
                connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection


def _bind(connection: duckdb.DuckDBPyConnection, bank: FeatureBank, bound: list[ValidFile]) -> None:
    """Make the views; `bound` receives the files they read."""
    connection.register("videos", bank.videos())
    for view, table in view_names(bank).items():
        space = table.removeprefix(FEATURES)
        schema = _readable(schema_of(table, bank.spaces[space].dim if space in bank.spaces else None))
        files = valid_files(bank, table)
        bound += files
        worn = [file for file in files if file.has_dead_rows(bank)]
        whole = [file for file in files if file not in worn]
        if not worn:
            connection.register(view, _dataset(bank, whole, schema))
            continue
        parts = [f"SELECT * FROM {_register_part(connection, view, 0, _dataset(bank, whole, schema))}"]
        for number, file in enumerate(worn, 1):
            rows = _register_part(connection, view, number, _dataset(bank, [file], schema))
            ids = pa.table({"video_id": pa.array(file.video_ids, pa.string())})
            live = _register_part(connection, f"{view} videos", number, ids)
            parts.append(f"SELECT * FROM {rows} WHERE video_id IN (SELECT video_id FROM {live})")
        connection.execute(f"CREATE VIEW {_quoted(view)} AS {' UNION ALL '.join(parts)}")


def _register_part(connection: duckdb.DuckDBPyConnection, view: str, number: int, rows: pads.Dataset | pa.Table) -> str:
    """Register a part of a view; its quoted name."""
    name = f"{view} part {number}"
    connection.register(name, rows)
    return _quoted(name)


def _readable(schema: pa.Schema) -> pa.Schema:
    """DuckDB takes no float16 from Arrow; the scan widens features to float32."""
    place = schema.get_field_index("feature")
    if place < 0:
        return schema
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), schema.field(place).type.list_size)
    return schema.set(place, schema.field(place).with_type(vector))


def _dataset(bank: FeatureBank, files: Sequence[ValidFile], schema: pa.Schema) -> pads.Dataset:
    """Files as one dataset; a condition on video_id passes over the files of other videos unopened."""
    column = pc.field("video_id")
    guarantees = [
        pc.scalar(True) if is_compacted(file.file.path) else column == pc.scalar(file.video_ids[0]) for file in files
    ]
    paths = [filesystem.join(bank.root, file.file.path) for file in files]
    return pads.FileSystemDataset.from_paths(
        paths, schema=schema, format=pads.ParquetFileFormat(), filesystem=bank.fs, partitions=guarantees
    )


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, allow_files: bool) -> pa.RecordBatchReader:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _READING:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise SqlError(
            f"Cannot run {_shortened(sql)}: got {kinds}, expected one SELECT (or DESCRIBE, SHOW, SUMMARIZE, EXPLAIN); "
            "a bank is only read. Write an answer to a file with -o FILE."
        )
    try:
        return connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
    except duckdb.PermissionException as error:
        if allow_files:
            raise
        raise SqlError(
            f"Cannot run {_shortened(sql)}: it reads files outside the bank ({_first_line(error)}). "
            "Allow that with --allow-files, if you trust the query."
        ) from error


def _any_is_gone(bank: FeatureBank, files: Sequence[ValidFile]) -> bool:
    return not all(filesystem.exists(bank.fs, filesystem.join(bank.root, file.file.path)) for file in files)


def _in_one_line(sql: str, error: Exception, bank: FeatureBank) -> str:
    text = f"Cannot run {_shortened(sql)}: {_first_line(error)}"
    if isinstance(error, duckdb.CatalogException):
        views = ["videos", *view_names(bank)]
        text += f" Views are {', '.join(name if name.isalnum() else _quoted(name) for name in views)}."
    return text


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def _shortened(sql: str) -> str:
    words = " ".join(sql.split())
    return repr(words if len(words) <= 80 else f"{words[:77]}...")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
