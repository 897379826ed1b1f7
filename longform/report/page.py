"""The page itself: template, style, script and data become one HTML file that loads nothing.

The browser is told so: the content security policy allows the script and the style by their sha256 and pictures
from `data:` addresses, nothing else. Text of files reaches the page as JSON only, and the script sets it as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

_TEMPLATE = resources.files("longform.report") / "template"
_SCRIPTS = (
    "dom.js", "data.js", "videos.js", "moment.js", "attention.js", "timeline.js", "map.js", "bank.js", "answer.js",
    "predictions.js", "masked.js", "page.js",
)  # fmt: skip
_FOR_SCRIPTS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

TRACK_COLOURS = ("#0072b2", "#ee6677", "#b86bff", "#882255", "#ccbb44", "#56b4e9", "#8c7a00")
"""Those of Okabe and Ito's and of Tol's palettes, and two more, that are furthest apart for readers with any of the
three kinds of colour blindness and stand out on light and dark; neighbours differ most."""


def render(title: str, bank: dict[str, Any], videos: Sequence[dict[str, Any]]) -> str:
    """The HTML text.

    Args:
        title: of the page.
        bank: what the page shows before a video is chosen.
        videos: details by place in the list of shown videos; each is parsed when it is first looked at.
    """
    style = _read("page.css")
    script = "(() => {\n'use strict';\n" + "".join(map(_read, _SCRIPTS)) + "})();\n"
    blocks = [_block("bank", {**bank, "colours": TRACK_COLOURS})]
    blocks += [_block(f"video-{place}", video) for place, video in enumerate(videos)]
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "data": "\n".join(blocks),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _read("page.html"))


def _block(name: str, value: Any) -> str:
    """A data block; ASCII only, and without the characters that could end it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_FOR_SCRIPTS)
    return f'<script type="application/json" id="{name}">{text}</script>'


def _read(name: str) -> str:
    return (_TEMPLATE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """As a content security policy names an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
