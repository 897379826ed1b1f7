"""What docs/security.md promises of the code: no shell, no code from data, no network unless asked."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.sample.samples import make_clip

REPOSITORY = Path(__file__).parent.parent
LAYERS = ("extractors", "pipeline", "longform")
SOURCES = [path for layer in LAYERS for path in sorted((REPOSITORY / layer).rglob("*.py"))]

STARTS_PROCESSES = {"longform/doctor/machine.py": "nvidia-smi -L, as a list of words"}
REACHES_THE_NETWORK = {
    "extractors/weights/download.py": "longform weights fetch",
    "extractors/hub_folder.py": "--weights hf:OWNER/NAME",
    "longform/doctor/places.py": "doctor --job-endpoint",
    "pipeline/pools.py": "python -m pipeline.pools",
    "pipeline/runners.py": "extract -- --job_endpoint, --environment_config",
    "pipeline/commands.py": "a pair of connected sockets within the process, for signals",
}
NETWORK_MODULES = {"socket", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "huggingface_hub",
                   "grpc"}  # fmt: skip
RUNS_WHAT_IT_READS = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler",
                      "torch.hub.load", "yaml.load", "marshal.loads", "shelve.open"}  # fmt: skip
ONLY_WITH = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a file with its dotted name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


def modules(path: Path) -> set[str]:
    """Top-level modules that a file imports, also through `extractors.optional.require`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    words = (call.args[0] for name, call in calls(path) if name == "require" and call.args)
    return found | {str(word.value).split(".")[0] for word in words if isinstance(word, ast.Constant)}


def test_only_these_files_start_processes_and_none_through_a_shell() -> None:
    assert {name_of(path) for path in SOURCES if "subprocess" in modules(path)} == set(STARTS_PROCESSES)
    for path in SOURCES:
        for name, call in calls(path):
            assert not any(word.arg == "shell" for word in call.keywords), f"{name_of(path)}: {name}"
            if name.startswith("subprocess."):
                assert isinstance(call.args[0], ast.List), f"{name_of(path)}: {name} of one string"


def test_only_these_files_know_the_network() -> None:
    assert {name_of(path) for path in SOURCES if modules(path) & NETWORK_MODULES} == set(REACHES_THE_NETWORK)


def test_nothing_that_is_read_is_run() -> None:
    wrong = [f"{name_of(path)}: {name}" for path in SOURCES for name, _ in calls(path) if name in RUNS_WHAT_IT_READS]
    assert not wrong
    for path in SOURCES:
        for name, call in calls(path):
            if name in ONLY_WITH:
                word, value = ONLY_WITH[name]
                given = {keyword.arg: keyword.value for keyword in call.keywords}
                assert word in given, f"{name_of(path)}: {name} without {word}"
                assert ast.literal_eval(given[word]) is value, f"{name_of(path)}: {name}"


PYSCENEDETECT_LOOKS_FOR_FFMPEG = "subprocess.Popen ('ffmpeg', ['ffmpeg', '-v', 'quiet'], None, None)"
"""When it is imported; we never have it run."""

AUDIT = """
import os, sys
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "subprocess.Popen",
           "os.system", "os.exec", "os.posix_spawn")
def note(event, arguments):
    if event in WATCHED:
        with open(os.environ["LONGFORM_TEST_EVENTS"], "a") as file:
            file.write(f"{event} {arguments!r}\\n")
sys.addaudithook(note)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sitecustomize by PYTHONPATH as on POSIX")
def test_a_run_reaches_no_network_and_starts_no_program(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(AUDIT)
    events = tmp_path / "events"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "watch"), "LONGFORM_TEST_EVENTS": str(events)}
    make_clip(tmp_path / "clip.mp4", seconds=0.4, size_hw=(48, 64), shots=1)

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, cwd=REPOSITORY, env=environment, capture_output=True)

    run("-c", "import socket; socket.getaddrinfo('127.0.0.1', 9)")
    assert events.read_text().startswith("socket.getaddrinfo"), "the watch itself works"
    events.unlink()
    video, bank = str(tmp_path / "clip.mp4"), str(tmp_path / "bank")
    run("-m", "pipeline.cli", "extract", video, "--bank", bank, "--only", "shots", "--workers", "1", "--quiet")
    seen = set(events.read_text().splitlines()) if events.exists() else set()
    assert seen <= {PYSCENEDETECT_LOOKS_FOR_FFMPEG}
