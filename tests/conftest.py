"""Fixtures of all tests: where the shared clips are, and tools that several tests need."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # test processes share the cores; before anything imports torch

REPOSITORY = Path(__file__).parent.parent

settings.register_profile(
    "same examples on any machine", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same examples on any machine")  # others: pytest --hypothesis-profile=default


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real clips, annotations and golden results; it must be there in CI."""
    folder = Path(os.environ.get("LONGFORM_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have the shared folder beside the checkout: {folder} is missing.")
        pytest.skip(f"no shared folder at {folder} (set LONGFORM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def clips(shared: Path) -> Path:
    """The real clips."""
    return shared / "videos"
