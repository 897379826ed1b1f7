"""The manual keeps up with the program: every command is described, every file and command it names exists."""

import argparse
import re
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS, parser
from pipeline.presets import PRESETS

REPOSITORY = Path(__file__).parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"longform {command}" in (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_in_the_readme(preset: str) -> None:
    assert f"`{preset}`" in (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(r"`((?:extractors|pipeline|longform|benchmarks|tests|docs)/[\w./]+)`", text)
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    modules = [module.replace(".", "/") for module in re.findall(r"python -m ((?:benchmarks|pipeline)\.[\w.]+)", text)]
    missing = [path for path in paths if not (REPOSITORY / path).exists()]
    missing += [link for link in links if not (page.parent / link).exists()]
    missing += [
        name for name in modules if not any((REPOSITORY / f"{name}{end}").exists() for end in (".py", "/__main__.py"))
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_a_page_names_are_options_of_the_program(page: Path) -> None:
    known = _options(parser())
    used = set()
    for line in page.read_text().splitlines():
        if match := re.search(rf"longform (?:{'|'.join(COMMANDS)}) [^`#]*", line):
            used |= set(re.findall(r"(?<= )--[a-z][a-z-]+", match.group(0).split(" -- ")[0]))
    assert used <= known, used - known


def _options(commands: argparse.ArgumentParser) -> set[str]:
    """Options of a command and of the commands below it."""
    own = set(re.findall(r"--[a-z][a-z-]+", commands.format_help()))
    below = [action for action in commands._actions if isinstance(action, argparse._SubParsersAction)]
    return own.union(*(_options(command) for action in below for command in action.choices.values()))
