"""`longform weights`: list, fetch, add and verify the files of public checkpoints."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from extractors.errors import WeightsError
from extractors.weights.card import WeightCard
from extractors.weights.cards import CARDS, FAMILIES
from extractors.weights.store import Check, Store
from pipeline import printing

_PROGRESS_EVERY_S = 2.0
WIDTHS = (1, 36, 25, 16, 12)
"""Of the listing's columns: those of all families stand below each other."""
_STYLES = {"ok": "green", "recorded": "green", "changed": "bold red", "missing": "yellow"}


def weights(arguments: argparse.Namespace) -> int:
    """Run one action of `longform weights`; the exit status."""
    store = Store(arguments.store)
    actions = {"list": _list, "fetch": _fetch, "add": _add, "verify": _verify}
    return actions[arguments.action](store, arguments)


def _list(store: Store, arguments: argparse.Namespace) -> int:
    if arguments.json:
        printing.print_json([_described(store, card) for card in CARDS.values()])
        return 0
    console = printing.console()
    console.width = max(console.width, sum(WIDTHS) + 2 * len(WIDTHS))
    for family, cards in FAMILIES.items():
        console.print(family, style="bold")
        console.print(_listing(store, cards))
        console.print()
    here = sum(store.find(name) is not None for name in CARDS)
    console.print(f"{here} of {len(CARDS)} are here (*), in {printing.harmless(str(store.folder))}.", soft_wrap=True)
    console.print("Get more with: longform weights fetch NAME. Addresses, notes and sha256: --json.")
    return 0


def _listing(store: Store, cards: Iterable[WeightCard]) -> Table:
    table = printing.table("", "name", "network", "published, %", "licence", widths=WIDTHS)
    for card in cards:
        figure = next((f"{name.replace('_', ' ')} {value:.1f}" for name, value in card.accuracy.items()), "")
        printing.add_row(table, "*" if store.find(card.name) else "", card.name, card.model, figure, card.licence)
    return table


def _fetch(store: Store, arguments: argparse.Namespace) -> int:
    failed = False
    for name in arguments.names:
        try:
            store.fetch(name, _Progress(name))
        except WeightsError as error:
            failed = True
            print(f"longform weights fetch {name}: {error}", file=sys.stderr)
    _report(store, [name for name in arguments.names if name in CARDS], arguments.json)
    return int(failed)


def _add(store: Store, arguments: argparse.Namespace) -> int:
    store.add(arguments.name, arguments.file)
    _report(store, [arguments.name], arguments.json)
    return 0


def _report(store: Store, names: Iterable[str], as_json: bool) -> None:
    """Where files now are."""
    found = [_described(store, CARDS[name]) for name in names]
    if as_json:
        printing.print_json(found)
        return
    for facts in found:
        if facts["path"] is not None:
            print(f"{facts['name']}: {facts['path']}\n  sha256 {facts['sha256']}, licence {facts['licence']}")


def _verify(store: Store, arguments: argparse.Namespace) -> int:
    checks = store.verify(arguments.names)
    if arguments.json:
        printing.print_json([_check_described(check) for check in checks])
    elif not checks:
        print(f"There are no weight files in {store.folder}.")
    else:
        console = printing.console()
        for check in checks:
            console.print(_check_line(check), soft_wrap=True)
    return int(any(check.status in ("changed", "missing") for check in checks))


def _check_line(check: Check) -> Text:
    line = Text(f"{check.status:9}", style=_STYLES[check.status])
    line.append(f"{check.name}  {printing.harmless(str(check.path))}", style="default")
    if check.status == "changed":
        line.append(f"\n         sha256 is {check.sha256}\n         expected  {check.expected}", style="default")
    return line


def _check_described(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "status": check.status,
        "path": str(check.path),
        "sha256": check.sha256,
        "expected": check.expected,
    }


def _described(store: Store, card: WeightCard) -> dict[str, Any]:
    """A card and where its file is, as JSON has it; `sha256` is None until somebody has stated or recorded it."""
    path = store.find(card.name)
    return {
        "name": card.name,
        "path": None if path is None else str(path),
        "sha256": store.recorded(card.name),
        "url": card.url,
        "licence": card.licence,
        "model": card.model,
        "options": dict(card.options),
        "files": card.files(),
        "container": card.container,
        "num_classes": card.num_classes,
        "classes": card.classes,
        "input": None if card.input is None else vars(card.input),
        "accuracy": dict(card.accuracy),
        "protocol": card.protocol,
        "source": card.source,
        "note": card.note,
    }


class _Progress:
    """Says now and then, on standard error, how far a download is."""

    def __init__(self, name: str) -> None:
        self._name, self._next_s = name, time.monotonic() + _PROGRESS_EVERY_S

    def __call__(self, done: int, total: int | None) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _PROGRESS_EVERY_S
        of = f" of {total / 2**20:.0f} MiB ({100 * done // total} %)" if total else " MiB"
        print(f"{self._name}: {done / 2**20:.0f}{of}", file=sys.stderr, flush=True)
