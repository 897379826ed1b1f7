"""The page is one file that loads nothing, and no text can break out of its data."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longform.report.page import TRACK_COLOURS, render

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "\u2028\u2029",
    "'\"&lt;\n\r\t\\",
    "\x00\ud800é",
]


class Seen(HTMLParser):
    """Tags, and the text of each data block, as a parser of HTML finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and attributes.get("id"):
            self.blocks[str(attributes["id"])] = self.blocks.get(str(attributes["id"]), "") + data


def shape(text: str) -> list[str]:
    return [tag for tag, _ in Seen(text).tags]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_what_the_page_is_made_of(text: str) -> None:
    page = render(text, {"title": text}, [{"label": [text]}])
    assert shape(page) == shape(render("x", {"title": "x"}, [{"label": ["x"]}]))
    blocks = Seen(page).blocks
    assert json.loads(blocks["bank"])["title"] == text
    assert json.loads(blocks["video-0"]) == {"label": [text]}


@given(st.text(st.sampled_from("<>/!-&;script\u2028'\"\\ "), max_size=30))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    page = render("x", {"title": text}, [])
    assert json.loads(Seen(page).blocks["bank"])["title"] == text
    assert shape(page) == shape(render("x", {"title": "x"}, []))


def test_the_title_is_escaped() -> None:
    assert "<title>&lt;b&gt;&amp; {{script}}</title>" in render("<b>& {{script}}", {}, [])


def test_the_policy_names_the_script_and_the_style_and_nothing_else() -> None:
    page = render("x", {}, [])
    policies = [attributes for tag, attributes in Seen(page).tags if attributes.get("http-equiv")]
    policy = html.unescape(str(policies[0]["content"]))
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "img-src data:;" in policy
    assert "unsafe" not in policy


def test_the_page_refers_to_nothing_outside_itself() -> None:
    page = render("x", {}, [])
    assert re.findall(r"https?://[^\"'\s]+", page) == ["http://www.w3.org/2000/svg"]  # the name of a namespace
    assert not [
        attributes for _, attributes in Seen(page).tags if {"src", "href", "style", "onclick"} & set(attributes)
    ]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", page)


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render("x", {"hours": float("nan")}, [])


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> Any:
    from skimage.color import rgb2lab

    rgb = np.clip(rgb, 0, 1)
    return rgb2lab(np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)[None, None])[0, 0]


@pytest.mark.parametrize("kind", BLINDNESS)
def test_neighbouring_tracks_differ_for_every_eye(kind: str) -> None:
    seen = [lab(BLINDNESS[kind] @ linear(colour)) for colour in TRACK_COLOURS]
    following = zip(seen, seen[1:] + seen[:1], strict=True)
    assert min(np.linalg.norm(a - b) for a, b in following) > 40
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


def test_colours_stand_out_on_light_and_dark() -> None:
    weights = np.array([0.2126, 0.7152, 0.0722])
    panels = [float(weights @ linear(panel)) for panel in ("#ffffff", "#16191c")]
    for colour in TRACK_COLOURS:
        own = float(weights @ linear(colour))
        assert min((max(own, panel) + 0.05) / (min(own, panel) + 0.05) for panel in panels) > 1.9, colour
