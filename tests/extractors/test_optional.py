"""extractors/optional.py: the presence, and above all the absence, of an optional package."""

from __future__ import annotations

import json
import sys

import pytest

from extractors import ExtractorError, MissingDependency
from extractors.optional import require


def test_a_module_that_is_there():
    assert require("json", step="a test", extra="none") is json
    assert require("json.decoder", step="a test", extra="none") is json.decoder


@pytest.mark.parametrize("module", ["no_such_package_at_all", "no_such_package_at_all.inside", "json.no_such_part"])
def test_a_module_that_is_not_names_step_module_and_extra(module):
    with pytest.raises(MissingDependency) as caught:
        require(module, step="decoding with decord", extra="decord")
    message = str(caught.value)
    assert message.startswith("decoding with decord needs")
    assert "pip install 'longform-video[decord]'" in message
    assert module.startswith(caught.value.name or "?")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_it_is_both_an_extractor_error_and_an_import_error():
    assert issubclass(MissingDependency, ExtractorError)
    assert issubclass(MissingDependency, ImportError)


def test_a_package_that_is_broken_inside_says_what_broke(tmp_path, monkeypatch):
    (tmp_path / "broken_package_x.py").write_text("import what_it_needs_x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs_x") as caught:
        require("broken_package_x", step="a test", extra="none")
    assert not isinstance(caught.value, MissingDependency)
    sys.modules.pop("broken_package_x", None)
