"""The container recipe installs what there is, and a worker in it can start. No container is built here."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def recipe() -> list[list[str]]:
    """The instructions of the Dockerfile, as words."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [shlex.split(line) for line in lines.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg")
    return parser


def default(recipe: list[list[str]], name: str) -> str:
    (value,) = {words[1].partition("=")[2] for words in recipe if words[0] == "ARG" and words[1].startswith(f"{name}=")}
    return value


def copied(recipe: list[list[str]]) -> list[tuple[str, str]]:
    """Source in the repository and place in the image."""
    pairs = []
    for words in recipe:
        if words[0] == "COPY" and not words[1].startswith("--from"):
            *sources, target = words[1:]
            pairs += [(source, f"{target}{source}" if target.endswith("/") else target) for source in sources]
    return pairs


def is_sent(name: str) -> bool:
    """Whether .dockerignore leaves a name of the top folder to the build."""
    is_left_out = False
    for line in (REPOSITORY / ".dockerignore").read_text().split():
        if fnmatch(name, line.removeprefix("!")):
            is_left_out = not line.startswith("!")
    return not is_left_out


def test_all_that_is_copied_is_there_and_sent_to_the_build(recipe: list[list[str]]) -> None:
    sources = {source for source, _ in copied(recipe)}
    assert {"setup.cfg", "constraints.txt"} <= sources
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    assert [source for source in sources if not is_sent(source)] == []
    assert not is_sent(".git")
    assert not is_sent("tests")


def test_versions_and_extras_are_those_of_the_project(
    recipe: list[list[str]], setup: configparser.ConfigParser
) -> None:
    constraints = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert f"apache-beam=={default(recipe, 'BEAM')}" in constraints
    assert set(default(recipe, "EXTRAS").split(",")) <= set(setup["options.extras_require"])
    assert f"Programming Language :: Python :: {default(recipe, 'PYTHON')}" in setup["metadata"]["classifiers"]


def test_both_variants_are_stages_of_the_build(recipe: list[list[str]]) -> None:
    stages = {words[3] for words in recipe if words[0] == "FROM" and len(words) > 2}
    assert {"cpu", "cuda", "beam"} == stages
    assert default(recipe, "VARIANT") in stages
    assert [words for words in recipe if words[0] == "FROM"][-1] == ["FROM", "${VARIANT}"]
    assert not re.search(r"https?:|\w+\.(io|com|org|dev)/", (REPOSITORY / "Dockerfile").read_text()), "no host names"


def test_a_worker_is_started_by_the_boot_of_beam_and_not_as_root(recipe: list[list[str]]) -> None:
    assert recipe[-1] == ["ENTRYPOINT", "[/opt/apache/beam/boot]"]
    assert ["COPY", "--from=beam", "/opt/apache/beam", "/opt/apache/beam"] in recipe
    assert ["USER", "${RUN_AS}"] in recipe
    assert default(recipe, "RUN_AS") != "root"
    assert any("RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in words for words in recipe)


def test_what_is_copied_is_enough_to_install(recipe: list[list[str]], tmp_path: Path) -> None:
    source, installed = tmp_path / "src", tmp_path / "installed"
    for name, target in copied(recipe):
        place = source / target.removeprefix("/src/").removeprefix("./")
        place.parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, place)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(installed), str(source)], check=True, timeout=300)
    kept = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    for folder in ("extractors", "pipeline", "longform"):
        here = {path.relative_to(REPOSITORY) for path in (REPOSITORY / folder).rglob("*") if path.is_file()}
        missing = {path for path in here - kept if "__pycache__" not in path.parts}
        assert not missing, "files of the package that setup.cfg does not name"
