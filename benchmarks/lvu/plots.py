"""Results of the experiment as pictures: a panel for each task, a row for each system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from longform.datasets.lvu import TASKS

PANELS_IN_A_ROW = 3
PANEL, GAP, LEFT, ROW, TOP, BOTTOM = 230, 24, 210, 17, 34, 30
"""In pixels: width of a panel, space between two, room for names, height of a system, room above and below a panel."""

OURS, OTHERS, REFERENCES = "#0b6e99", "#8a5a00", "#7a7a7a"
"""Object Transformers, other trained models, and what is not trained."""

STYLE = "font-family:sans-serif;font-size:11px"


def svg(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Means with their standard errors; more to the right is better: squared errors grow to the left."""
    tasks = [task for task in TASKS if any(row["task"] == task for row in rows)]
    systems = list(dict.fromkeys(row["system"] for row in rows))
    height_of_row = TOP + ROW * len(systems) + BOTTOM
    width = LEFT + PANELS_IN_A_ROW * (PANEL + GAP)
    height = TOP + -(-len(tasks) // PANELS_IN_A_ROW) * height_of_row
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" style="{STYLE}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(8, 18, title, "start", bold=True),
    ]
    for number, task in enumerate(tasks):
        line, column = divmod(number, PANELS_IN_A_ROW)
        top = TOP + line * height_of_row + TOP
        if column == 0:
            parts += [_text(LEFT - 10, top + ROW * (n + 0.7), name, "end") for n, name in enumerate(systems)]
        of_task = {row["system"]: row for row in rows if row["task"] == task}
        parts += _panel(LEFT + column * (PANEL + GAP), top, task, systems, of_task)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    left: float, top: float, task: str, systems: Sequence[str], rows: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    low, high = _range(task, rows)
    bottom = top + ROW * len(systems)
    parts = [
        _text(left + PANEL / 2, top - 8, f"{task}{', mse' if TASKS[task].is_regression else ', %'}", "middle"),
        f'<rect x="{left}" y="{top}" width="{PANEL}" height="{bottom - top}" fill="none" stroke="#ccc"/>',
        _text(left, bottom + 14, f"{low:g}", "start"),
        _text(left + PANEL, bottom + 14, f"{high:g}", "end"),
    ]

    def place(value: float) -> float:
        return left + PANEL * min(1.0, max(0.0, (value - low) / (high - low)))

    for number, system in enumerate(systems):
        if system in rows:
            row, middle = rows[system], top + ROW * (number + 0.5)
            error = row["std_error"]
            trained = OURS if system.startswith("object-transformer") else OTHERS
            colour = REFERENCES if error is None else trained
            if error:
                parts.append(
                    f'<line x1="{place(row["value"] - error):.1f}" x2="{place(row["value"] + error):.1f}" '
                    f'y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="2"/>'
                )
            parts.append(f'<circle cx="{place(row["value"]):.1f}" cy="{middle}" r="4" fill="{colour}"/>')
    return parts


def _range(task: str, rows: Mapping[str, Mapping[str, Any]]) -> tuple[float, float]:
    """Left and right end of a panel."""
    if not TASKS[task].is_regression:
        return 0.0, 100.0
    worst = max(row["value"] + (row["std_error"] or 0.0) for row in rows.values())
    return float(f"{1.1 * worst:.2g}"), 0.0


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
