"""README.md beside this file: its tables and plots, made from the stored results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.lfb import thesis
from benchmarks.lfb.claims import CLAIMS
from benchmarks.lfb.conditions import WINDOWS_S
from benchmarks.lfb.movies import FAMILIES
from benchmarks.lfb.plots import Panel, figure
from benchmarks.lfb.results import Estimate, Results
from longform import complexity, published_lfb

HERE = Path(__file__).parent
BLOCK = r"(<!-- {name}: made by --tables -->\n).*?(<!-- end -->)"
ONE_MODEL = ("3D CNN", "STO", "Avg", "Max", "NL")
MASKED_PAIRS = {
    "interaction": ("{}", "{} masked"),
    "interaction, sparse": ("{}, sparse", "{} masked, sparse"),
    **{task: (f"{task} {{}}", f"{task} {{}} masked") for task in ("around", "verbs", "nouns")},
}
"""Conditions of an operator without and with mask."""
DEFAULT_WINDOW_S, LONGEST_CAUSAL_S = 60, 60
COUNTED = {
    "3D CNN": "3D CNN",
    "3D CNN, two in an ensemble": "3D CNN x2",
    "STO": "STO",
    "STO, two in an ensemble": "STO x2",
    "LFB NL, 2 layers": "NL",
    "LFB NL, 3 layers": "NL 3L",
}
"""Rows of `longform complexity`, and our conditions."""


def write_readme(results: Results, folder: Path = HERE) -> None:
    """Put the tables between their marks in README.md, and write the plots beside it."""
    path = folder / "README.md"
    path.write_text(with_tables(path.read_text(), results))
    for name, svg in plots(results).items():
        (folder / name).write_text(svg)


def with_tables(text: str, results: Results) -> str:
    """The page with every table made anew. Raises ValueError for a page without the marks of one."""
    for name, table in tables(results).items():
        parts = re.split(BLOCK.format(name=name), text, flags=re.S)
        if len(parts) != 4:
            raise ValueError(f"README.md has {len(parts) // 3} places for the table {name!r}; expected one.")
        before, begin, end, after = parts
        text = f"{before}{begin}{table}{end}{after}"
    return text


def tables(results: Results) -> dict[str, str]:
    """Markdown by the name of its place."""
    return {
        "size": _size(results),
        "claims": _claims(results),
        "operators": _operators(results),
        "mixed": _mixed(results),
        "masked": _masked(results),
        "support": _support(results),
        "decoupling": _compared(results, thesis.DECOUPLING),
        "layouts": _compared(results, thesis.LAYOUTS),
        "designs": _compared(results, thesis.DESIGNS),
        "cost": _cost(results),
        "kitchens": _kitchens(results),
    }


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |\n" for line in lines)


def _size(results: Results) -> str:
    seeds = {run["seed"] for run in results.runs}
    minutes = sum(run["seconds"] for run in results.runs) / 60
    sizes = results.sizes
    return (
        f"{len(seeds)} seeds, each with its own {sizes.train_videos} training and {sizes.val_videos} validation videos "
        f"of 4 minutes; {len(results.runs)} trainings and measurements, {minutes:.0f} minutes of one core.\n"
    )


def _claims(results: Results) -> str:
    rows = [
        (claim.text, "yes" if claim.holds(results) else "**no**", ", ".join(map(str, claim.values(results))))
        for claim in CLAIMS
    ]
    return _markdown(("claim", "holds", "figures, in the order of the claim"), rows)


def _operators(results: Results) -> str:
    rows = [
        (name, figure, results.estimate(name), results.estimate(f"around {name}") if name in ONE_MODEL else None)
        for name, figure in thesis.OPERATORS.items()
    ]
    return _markdown(("", "thesis: AVA mAP", "ours: interaction", "ours: around"), rows)


def _mixed(results: Results) -> str:
    rows = [
        (name, *(results.estimate(f"mixed {name}", family) for family in (None, *FAMILIES))) for name in ONE_MODEL
    ]  # fmt: skip
    return _markdown(("ours", "all nine classes", *FAMILIES), rows)


def _compared(results: Results, figures: Mapping[str, float | None]) -> str:
    rows = [(name, figure, results.estimate(name)) for name, figure in figures.items()]
    return _markdown(("", "thesis: AVA mAP", "ours: interaction"), rows)


def _masked(results: Results) -> str:
    names = [name for pair in MASKED_PAIRS.values() for name in pair]
    rows = [(operator, *(results.estimate(name.format(operator)) for name in names)) for operator in ("Avg", "NL")]
    heads = [f"{task}{how}" for task in MASKED_PAIRS for how in ("", ", masked")]
    return _markdown(("ours", *heads), rows)


def _support(results: Results) -> str:
    ours = {"causal": "NL causal", "batch": "NL", "Max": "Max", "Max, around": "around Max"}
    rows = [
        (
            seconds,
            *(figures.get(seconds) for figures in thesis.SUPPORT.values()),
            *(_at_window(results, kind, seconds) for kind in ours.values()),
        )
        for seconds in WINDOWS_S
    ]
    thesis_heads = (f"thesis: {name}" for name in thesis.SUPPORT)
    return _markdown(("window, s", *thesis_heads, *(f"ours: {name}" for name in ours)), rows)


def _at_window(results: Results, kind: str, seconds: int) -> Estimate | None:
    """The conditions of `_windows` in `conditions.py` by length; None for causal windows that were not measured."""
    if kind == "NL causal":
        return results.estimate(f"{kind} {seconds} s") if seconds <= LONGEST_CAUSAL_S else None
    return results.estimate(kind if seconds == DEFAULT_WINDOW_S else f"{kind} {seconds} s")


def _cost(results: Results) -> str:
    lines = complexity.compare([published_lfb.MODEL])
    unit = lines[0]
    assert unit.params is not None
    assert unit.macs is not None
    rows = []
    for row, line in zip(published_lfb.LFB_ROWS, lines, strict=True):
        assert line.params is not None
        assert line.macs is not None
        printed = (f"{times or 1:.2f}x" for times in (row.params_times, row.macs_times))
        counted = (f"{line.params / unit.params:.3f}x", f"{line.macs / unit.macs:.3f}x")
        rows.append((line.variant, *printed, *counted, results.estimate(COUNTED[line.variant])))
    heads = ("", "thesis: parameters", "thesis: multiply-adds", "`longform complexity`: parameters",
             "`longform complexity`: multiply-adds", "ours: interaction")  # fmt: skip
    return _markdown(heads, rows)


def _kitchens(results: Results) -> str:
    rows = []
    for operator in thesis.KITCHENS["verbs"]:
        ours = (results.estimate(f"{task} {operator}") for task in thesis.KITCHENS)
        rows.append((operator, *(figures[operator] for figures in thesis.KITCHENS.values()), *ours))
    return _markdown(("", "thesis: verbs", "thesis: nouns", "ours: verbs", "ours: nouns"), rows)


def plots(results: Results) -> dict[str, str]:
    """SVG by file name."""
    return {"windows.svg": _windows_plot(results), "operators.svg": _operators_plot(results)}


def _windows_plot(results: Results) -> str:
    def ours(kind: str) -> dict[str, Estimate]:
        measured = {str(seconds): _at_window(results, kind, seconds) for seconds in WINDOWS_S}
        return {seconds: value for seconds, value in measured.items() if value is not None}

    places = [str(seconds) for seconds in WINDOWS_S]
    interaction = {
        "no bank": dict.fromkeys(places, results.estimate("3D CNN")),
        "Max": ours("Max"),
        "NL causal": ours("NL causal"),
        "NL batch": ours("NL"),
    }
    real = {
        name: {str(seconds): Estimate(value, float("nan")) for seconds, value in figures.items()}
        for name, figures in thesis.SUPPORT.items()
    }
    return figure(
        [
            Panel(title="Ours, generated: AP of interaction", places=places, series=interaction, y_range=(0, 100),
                  x_title="window, s"),
            Panel(title="Thesis, real: AVA mAP, table 7.2a", places=places[:-1], series=real, y_range=(15, 27),
                  x_title="support, s"),
        ]
    )  # fmt: skip


def _operators_plot(results: Results) -> str:
    prefixes = {"interaction": "", "around": "around ", "verbs": "verbs ", "nouns": "nouns "}
    without_sto = ("verbs", "nouns")
    ours = {
        operator: {
            task: results.estimate(f"{prefix}{operator}")
            for task, prefix in prefixes.items()
            if not (operator == "STO" and task in without_sto)
        }
        for operator in ONE_MODEL
    }
    real = {
        operator: {
            "AVA": Estimate(thesis.OPERATORS[operator], float("nan")),
            **{task: Estimate(figures[operator], float("nan")) for task, figures in thesis.KITCHENS.items()
               if operator != "STO"},
        }
        for operator in ONE_MODEL
    }  # fmt: skip
    return figure(
        [
            Panel(title="Ours, generated: AP, and top-1 of verbs and nouns", places=list(prefixes), series=ours,
                  y_range=(0, 100), bars=True),
            Panel(title="Thesis, real: AVA mAP, EPIC-Kitchens top-1", places=["AVA", *thesis.KITCHENS], series=real,
                  y_range=(0, 60), bars=True),
        ]
    )  # fmt: skip
