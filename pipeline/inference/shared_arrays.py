"""Arrays handed to another process in memory without a name.

What travels over the connection is the descriptor of an anonymous file. The kernel frees it with the last process that
has it open, however that process ended: there is nothing that could be left behind. Linux only.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from multiprocessing import reduction
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray]

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array lies in the memory."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int


Layout = tuple[Place, ...]


class SharedArrays:
    """Arrays in memory that other processes may open."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        """`descriptor` is closed with this object."""
        self.layout = layout
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of(cls, arrays: Arrays) -> SharedArrays:
        """A copy of `arrays`."""
        places, size = [], 0
        for name, array in arrays.items():
            places.append(Place(name, array.shape, array.dtype.str, size))
            size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        shared = cls(os.memfd_create("longform-arrays"), tuple(places))
        os.ftruncate(shared._descriptor, max(size, 1))
        for name, view in shared._views(mmap.mmap(shared._descriptor, 0)).items():
            np.copyto(view, arrays[name])
        return shared

    @classmethod
    def received(cls, connection: Connection, layout: Layout) -> SharedArrays:
        """What `send` gave to the other end of `connection`. Raises OSError, EOFError where that end is gone."""
        return cls(reduction.recv_handle(connection), layout)

    def send(self, connection: Connection) -> None:
        """Let the other end have the arrays too; it must know their layout. Raises OSError where it is gone."""
        reduction.send_handle(connection, self._descriptor, None)

    def open(self) -> dict[str, NDArray]:
        """The arrays without a copy. What is written into them stays in this process."""
        return self._views(mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_COPY))

    def _views(self, memory: mmap.mmap) -> dict[str, NDArray]:
        return {
            place.name: np.frombuffer(memory, place.dtype, prod(place.shape), place.offset).reshape(place.shape)
            for place in self.layout
        }
