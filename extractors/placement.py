"""Which of several devices a process uses. Imports nothing heavy."""

import os

CHILD_NUMBER = "LONGFORM_CHILD_NUMBER"
"""Environment variable: the number of a process among those that work side by side, from 0."""


def share(count: int) -> int:
    """Of `count` devices the number of the one that is this process's."""
    return int(os.environ.get(CHILD_NUMBER, "0")) % count
