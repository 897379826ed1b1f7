"""Imports go one way: extractors <- pipeline <- longform <- benchmarks. And the command line starts quickly."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
LAYERS = ("extractors", "pipeline", "longform", "benchmarks")


def imported(path: Path) -> set[str]:
    """Top-level packages of ours that a file imports, at whatever depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_one_above_it(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in (REPOSITORY / layer).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in (*above, "tests")
    ]
    assert not wrong, wrong


def test_nothing_imports_the_command_line_but_the_demo() -> None:
    commands = {"pipeline.cli", "pipeline.commands"}
    files = (path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))
    assert {path.name for path in files if imported(path) & commands} == {"demo.py"}


def test_every_package_is_listed_in_setup_cfg() -> None:
    from setuptools.config.setupcfg import read_configuration

    listed = set(read_configuration(REPOSITORY / "setup.cfg")["options"]["packages"])
    there = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for layer in ("extractors", "pipeline", "longform")
        for path in (REPOSITORY / layer).rglob("__init__.py")
    }
    assert listed == there


HEAVY = ("apache_beam", "av", "cv2", "numpy", "pyarrow", "rich", "scipy", "scenedetect", "torch")


def test_help_imports_nothing_heavy_and_answers_in_half_a_second() -> None:
    code = f"import sys, pipeline.cli as c; c.parser().format_help(); print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    took = []
    for _ in range(3):
        before = processor_time_of_children_s()
        subprocess.run([sys.executable, "-m", "pipeline.cli", "--help"], check=True, capture_output=True)
        took.append(processor_time_of_children_s() - before)
    assert min(took) < 0.5


def processor_time_of_children_s() -> float:
    """Which other work on the machine does not lengthen."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
