"""What `pipeline.bank` offers by name, and that it costs nothing until it is used."""

import subprocess
import sys

import pytest

import pipeline.bank


@pytest.mark.parametrize("name", pipeline.bank.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(pipeline.bank, name).__name__ == name


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="WindowDatasets"):
        _ = pipeline.bank.WindowDatasets


def test_naming_the_package_imports_nothing_heavy() -> None:
    program = "import sys, pipeline.bank; print({'torch', 'pyarrow', 'duckdb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
