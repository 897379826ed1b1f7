"""Class lists: their order is that of the networks' outputs, and a wrong list is refused."""

from pathlib import Path

import pytest

from extractors.classes import CLASS_LISTS, class_names
from extractors.errors import ConfigError


@pytest.mark.parametrize("name", [name for name in CLASS_LISTS if name[-1].isdigit()])
def test_a_list_has_as_many_different_names_as_it_says(name: str) -> None:
    names = class_names(name, num_classes=int(name.rpartition("-")[2]))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["kinetics-400", "kinetics-600"])
def test_kinetics_is_alphabetical(name: str) -> None:
    assert list(class_names(name)) == sorted(class_names(name))


def test_known_outputs_have_known_names() -> None:
    assert class_names("kinetics-400")[5] == "archery"
    assert class_names("kinetics-400")[399] == "zumba"
    assert class_names("ava-80")[11] == "stand"  # AVA's id 12
    assert class_names("ava-80")[79] == "watch (a person)"


def test_the_ava_list_is_that_of_the_annotations(shared: Path) -> None:
    text = (shared / "annotations/ava/ava_action_list_60.pbtxt").read_text()
    entries = [part.split('"')[1:] for part in text.split("name:")[1:]]
    evaluated = {int(rest.split("id:")[1].split("}")[0].split()[0]): name for name, rest in entries}
    names = class_names("ava-80")
    assert len(evaluated) == 60
    assert {i: names[i - 1] for i in evaluated} == evaluated


def test_a_file_with_one_name_a_line(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes("\ufeffjongler\r\ndîner\r\n".encode())
    assert class_names(str(tmp_path / "mine.txt"), num_classes=2) == ("jongler", "dîner")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\n", "has 3 names, the network 2 classes"),
        (b"\nb\n", "line 1 is empty"),
        (b"\xff\xfe", "no UTF-8 text"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        class_names(str(tmp_path / "mine.txt"), num_classes=2)


def test_an_unknown_list_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="kinetics-400, kinetics-600, ava-80"):
        class_names("kinetics-700")
