"""What commands print: consoles, tables, JSON, and text from outside, which may hold anything.

File names, ids, class names and error messages can carry control sequences for the terminal or what Rich takes for
markup. They are printed as characters, never as commands. Rich is imported by the first function that needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

PIPE_WIDTH = 200
"""Columns of a table that goes into a pipe or a file."""

NAMED = 5
"""Names of a long list that a message shows."""

_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, changes of the writing direction, and halves of characters."""


def harmless(text: str) -> str:
    """`text` on one line, with every character that a terminal would obey as its escape, such as `\\x1b` or `\\n`.

    Bytes of a file name that are no UTF-8 (lone surrogates, PEP 383) are shown as these bytes: `\\xff`.
    """
    return _NOT_SHOWN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def lines(text: str, style: str = "") -> Text:
    """`text` harmless but for its line breaks: for messages of several lines."""
    from rich.text import Text

    return Text("\n".join(map(harmless, text.replace("\r\n", "\n").split("\n"))), style=style)


def console() -> Console:
    """Standard output; a pipe gets whole lines of `PIPE_WIDTH`. Strings are printed as they are, markup and all."""
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def table(*columns: str, widths: Sequence[int] = ()) -> Table:
    """A table without lines. Columns whose name starts with `>` are numbers and stand to the right.

    Args:
        widths: of every column, in characters; by default as wide as needed.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
            width=widths[i] if widths else None,
        )
    return made


def add_row(rows: Table, *cells: object, style: str = "") -> None:
    """Add a row: a `Text` as it is, anything else as harmless text."""
    from rich.text import Text

    rows.add_row(*(cell if isinstance(cell, Text) else Text(harmless(str(cell))) for cell in cells), style=style)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print JSON; what JSON does not know as its text. File names come back from it as they are on disk."""
    text = json.dumps(value, indent=indent, default=str, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))
