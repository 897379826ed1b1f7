"""Text from outside is printed as characters, whatever it holds."""

import json
import subprocess
import sys

import pytest

from pipeline import printing

HOSTILE = "a\x1b[2J\x07[bold]b[/nothing]\n:smile:\x9b31m\u202egpj\udcff\ud800\u2028é 日本"
SHOWN = "a\\x1b[2J\\x07[bold]b[/nothing]\\n:smile:\\x9b31m\\u202egpj\\xff\\ud800\\u2028é 日本"


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert printing.harmless(HOSTILE) == SHOWN
    assert printing.harmless(SHOWN) == SHOWN


def test_messages_keep_their_lines() -> None:
    assert printing.lines("one\r\ntwo\x1b\n\nthree").plain == "one\ntwo\\x1b\n\nthree"


def test_tables_print_hostile_cells_and_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table = printing.table("id", ">number", "long")
    printing.add_row(table, HOSTILE, 12, "x" * 100)
    printing.add_row(table, "b", 3, printing.lines("two\nlines"))
    printing.console().print(table)
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(SHOWN)
    assert first.endswith("    12  " + "x" * 100)
    assert (second.split(), third.split()) == (["b", "3", "two"], ["lines"])


def test_strings_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    printing.console().print("[bold]no[/nothing] :smile:")
    assert capsys.readouterr().out == "[bold]no[/nothing] :smile:\n"


def test_columns_as_wide_as_they_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    table = printing.table("id", ">n", widths=(10, 4))
    printing.add_row(table, "a" * 15, 1)
    printing.console().print(table)
    assert capsys.readouterr().out.splitlines() == ["id             n", "aaaaaaaaaa     1", "aaaaa           "]


def test_json_carries_file_names_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_json({"uri": "a\udcff\x1b.mp4", "when": 1 + 2j})
    out = capsys.readouterr().out
    assert json.loads(out) == {"uri": "a\udcff\x1b.mp4", "when": "(1+2j)"}
    assert "\x1b" not in out


def test_rich_waits_until_it_is_needed() -> None:
    code = "import sys, pipeline.printing; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
