"""A bank and its page for all tests of the report, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from longform.report.command import write_report
from tests.longform.report.browser import Browser
from tests.longform.report.film_bank import make_bank


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.bank.filesystem._sync", lambda path: None)
        return make_bank(tmp_path_factory.mktemp("report"), listed=120)


@pytest.fixture(scope="session")
def page(bank: Path) -> Path:
    write_report(str(bank), str(bank.parent / "page.html"))
    return bank.parent / "page.html"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A desktop window. At the end, whatever the test did, the page has reported nothing and asked for nothing."""
    chromium.size(1280, 900)
    chromium.problems.clear()
    chromium.requests.clear()
    yield chromium
    assert chromium.problems == []
    loaded = {url.partition("#")[0] for url in chromium.requests} - {"about:blank"}
    assert all(url.startswith("file:") and url.endswith(".html") for url in loaded), loaded
