"""Rows of the text files that evaluators read, and the error that says which line of which file is wrong."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from pipeline.errors import PipelineError

PathLike = str | os.PathLike[str]
ANY_WIDTH = range(1, sys.maxsize)


class AnnotationError(PipelineError, ValueError):
    """A file of annotations or results is not as its evaluator needs it; the message names file and line."""


def malformed(path: PathLike, line: int, why: object) -> AnnotationError:
    """The error for one line, counted from 1."""
    return AnnotationError(f"{os.fspath(path)}, line {line}: {why}.")


def text_lines(path: PathLike) -> Iterator[tuple[int, str]]:
    """`(line number, line)` for every line that is not blank.

    Raises:
        AnnotationError: there is no such file, or it is no UTF-8 text.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def csv_rows(path: PathLike, widths: Container[int], layout: str) -> Iterator[tuple[int, list[str]]]:
    """`(line number, fields)` for every row of a CSV file; blank lines are passed over.

    Args:
        widths: how many fields a row may have.
        layout: what the fields are, for the message.
    Raises:
        AnnotationError: there is no such file, it is no CSV, or a row has another number of fields.
    """
    with _opened(path) as file:
        reader = csv.reader(file)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise malformed(path, reader.line_num, error) from error
            if row is None:
                return
            if not row:
                continue
            if len(row) not in widths:
                raise malformed(path, reader.line_num, f"{len(row)} fields; expected {layout}")
            yield reader.line_num, row


def csv_columns(path: PathLike, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """`(line number, fields)` of the named columns, for every row below the header.

    Raises:
        AnnotationError: as `csv_rows`; the header lacks a column, or a row has another number of fields than it.
    """
    rows = csv_rows(path, ANY_WIDTH, "a table")
    header_line, header = next(rows, (1, []))
    if not set(names) <= set(header):
        raise malformed(path, header_line, f"{', '.join(header)!r}; expected a header with {', '.join(names)}")
    chosen = [header.index(name) for name in names]
    for line, row in rows:
        if len(row) != len(header):
            raise malformed(path, line, f"{len(row)} fields; the header has {len(header)}")
        yield line, [row[column] for column in chosen]


def finite(text: str) -> float:
    """The number in `text`.

    Raises:
        ValueError: it is none, or not finite.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def whole(text: str) -> int:
    """The whole number in `text`, which may be written as `3.0`.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        value = finite(text)
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


@contextmanager
def _opened(path: PathLike) -> Iterator[TextIO]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise AnnotationError(f"{os.fspath(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{os.fspath(path)!r} is no UTF-8 text.") from error
