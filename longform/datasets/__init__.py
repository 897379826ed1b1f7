"""Readers of the annotation files of action detection sets, as their authors publish them."""
