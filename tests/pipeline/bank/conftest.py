"""Bank tests wait for no disk: nobody cuts the power while they run."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_sync() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.bank.filesystem._sync", lambda path: None)
        yield
