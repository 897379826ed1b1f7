"""Tests of queries wait for no disk, and index on one thread: small work is slower on two that wait for each other."""

from collections.abc import Iterator

import faiss
import pytest


@pytest.fixture(autouse=True, scope="session")
def _quick() -> Iterator[None]:
    faiss.omp_set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.bank.filesystem._sync", lambda path: None)
        yield
