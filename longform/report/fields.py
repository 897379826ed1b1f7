"""Values of a JSON file of answers, checked as they are read, with errors that name the place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longform.report.errors import ReportError

BOX_VALUES = 4
SHOWN_LETTERS = 60


@dataclass(frozen=True)
class Fields:
    """A JSON object and where it is."""

    file: str
    made_by: str
    """The command that writes such files."""
    place: str
    """In the file, such as `predictions[3]`; empty for the whole."""
    values: dict[str, Any]

    @classmethod
    def read(cls, file: str, made_by: str) -> Fields:
        """The object of a file. Raises ReportError."""
        try:
            values = json.loads(Path(file).read_text(encoding="utf-8"))
        except OSError as error:
            raise ReportError(f"Cannot read {file!r}: {error.strerror}.") from error
        except ValueError as error:
            raise ReportError(f"{file}: no JSON ({error}). Expected a file of `{made_by}`.") from error
        if not isinstance(values, dict):
            raise ReportError(f"{file}: expected one JSON object, as `{made_by}` writes it.")
        return cls(file, made_by, "", values)

    def each(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        values = self.values.get(name)
        if not isinstance(values, list):
            raise self._error(name, values, "a list")
        for number, value in enumerate(values):
            place = f"{self._place(name)}[{number}]"
            if not isinstance(value, dict):
                raise self._error(f"{name}[{number}]", value, "an object")
            yield Fields(self.file, self.made_by, place, value)

    def number(self, name: str) -> float:
        """A finite number."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._error(name, value, "a number")
        return float(value)

    def count(self, name: str) -> int:
        """A whole number, 0 or more."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._error(name, value, "a whole number, 0 or more")
        return value

    def optional_count(self, name: str) -> int | None:
        """A whole number, or None for null."""
        return None if self.values.get(name) is None else self.count(name)

    def text(self, name: str) -> str:
        """Text that is not empty."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise self._error(name, value, "text")
        return value

    def box(self, name: str) -> list[float]:
        """x1, y1, x2, y2 in fractions of the frame, to four digits."""
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) != BOX_VALUES or not all(map(_is_fraction, value)):
            raise self._error(name, value, "four numbers about 0 to 1")
        return [round(float(one), 4) for one in value]

    def optional_box(self, name: str) -> list[float] | None:
        """A box, or None for null."""
        return None if self.values.get(name) is None else self.box(name)

    def fact(self, name: str) -> str | float | bool | None:
        """A text, number or truth value that is only shown; None where there is none."""
        value = self.values.get(name)
        if value is None or isinstance(value, (str, bool)):
            return value
        return self.number(name)

    def _place(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _error(self, name: str, value: Any, expected: str) -> ReportError:
        found = "missing" if value is None else repr(value)
        found = found if len(found) <= SHOWN_LETTERS else found[:SHOWN_LETTERS] + " …"
        return ReportError(
            f"{self.file}: {self._place(name)} is {found}; expected {expected}. Such files are made by "
            f"`{self.made_by}`."
        )


def _is_fraction(value: Any) -> bool:
    """Boxes may reach over the border by a little; pixels are far away."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1 <= value <= 2
