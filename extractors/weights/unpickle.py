"""Read the data in a pickle without running it.

Python's own unpickler imports what a pickle names and calls it, so a weight file can run any program. This one is an
interpreter of its own for the opcodes that build numbers, strings, containers and arrays. It imports nothing and calls
nothing by name: the few names that weight files need (`numpy.core.multiarray._reconstruct` and the like) are keys of
tables of functions in this package, and any other name is refused as soon as it is mentioned, called or not.

Memory is bounded by the size of the file: an array must have as many bytes as its shape says, and bytes, pairs or text
that a pickle holds once and makes arrays, dicts or names of again and again count each time.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from extractors.errors import WeightsError

Call = Callable[..., Any]

INERT = frozenset(
    {
        "argparse.Namespace",
        "fvcore.common.config.CfgNode",
        "detectron2.config.config.CfgNode",
        "yacs.config.CfgNode",
        "torch.Size",
        "torch.device",
        "collections.Counter",
    }
)
"""Classes that old training scripts leave beside the weights. An empty object takes the place of each of theirs."""


class Inert:
    """What is left of an object whose class is in `INERT`: nothing but the fact that it was there."""


class _Global:
    """A name that the pickle mentioned. It is never looked up."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Mark:
    pass


_MARK = _Mark()
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
           struct.error)  # fmt: skip
"""What unpacking bytes that are not as they should be may raise, here, in `pickletools` or in a storage."""
_NUMERIC_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_OBJECT_DTYPES = ("O", "O8")
_TEXT_DTYPE = re.compile("[SU][1-9][0-9]{0,4}")
"""Strings of one length, as NumPy keeps the names that come from a MATLAB file."""
_SCALARS = (str, bytes, int, float, bool, type(None))
_MADE_PER_BYTE = 3
"""Bytes and entries that a pickle may have made, for each of its own: text is decoded, then an array made of it."""


class _Dtype:
    """A dtype of numbers or strings under construction: its byte order comes in a later opcode."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"

    def set_state(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">", "|": "|", "=": "<"}[state[1]]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code if self.order == "|" else self.order + self.code)


class _Array:
    """An array under construction: shape, dtype and bytes come in a later opcode."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None


class _Bounded:
    """A stream that refuses to read past `size` bytes instead of making room for what a pickle claims to hold."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise EOFError(f"{count} bytes are announced where {self._left} are left")
        data = self._stream.read(count)
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self._stream.readline(self._left)
        self._left -= len(line)
        return line


def unpickle(
    stream: BinaryIO,
    size: int,
    source: str,
    *,
    calls: Mapping[str, Call] | None = None,
    names: frozenset[str] = frozenset(),
    persistent: Call | None = None,
    object_arrays: bool = False,
) -> Any:
    """The object of the next pickle in a stream: numbers, strings, containers, and numeric arrays.

    Strings of Python 2 are read as latin-1, arrays in either byte order. Sets become lists, ordered dicts plain ones.

    Args:
        stream: where the pickle starts.
        size: bytes left in the stream at most.
        source: what to call the file in errors.
        calls: further functions, by the name that a pickle may call them by.
        names: further names that may be mentioned, such as arguments of these functions.
        persistent: gives the object of a persistent id; without it such ids are refused.
        object_arrays: let arrays hold what else may be in the pickle (NumPy dtype object); refused otherwise.
    Raises:
        WeightsError: the pickle mentions another name, is damaged or cut off, or holds Python objects.
    """
    machine = _Machine(source, size, {**_ARRAY_CALLS, **(calls or {})}, names, persistent, object_arrays)
    try:
        return machine.run(_Bounded(stream, size))
    except WeightsError:
        raise
    except _DAMAGE as error:
        raise machine.damaged(error) from error


class _Machine:
    """The stack, the memo, and one method for each group of opcodes."""

    def __init__(
        self,
        source: str,
        size: int,
        calls: Mapping[str, Call],
        names: frozenset[str],
        persistent: Call | None,
        object_arrays: bool,
    ) -> None:
        self.source, self.budget = source, _MADE_PER_BYTE * size
        self.calls, self.names, self.persistent = calls, names, persistent
        self.object_arrays = object_arrays
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: _Bounded) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
            if opcode.name == "STOP":
                return _finished(self.stack.pop())
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _OPCODES:
                _OPCODES[opcode.name](self, argument)
            else:
                raise self.refusal(f"uses the pickle instruction {opcode.name}")
        raise EOFError("it has no end")

    def refusal(self, what: str) -> WeightsError:
        return WeightsError(
            f"{self.source} {what}. No file of plain numbers does that, so it was refused; nothing was imported or "
            "run. Get the file again from its published address, and do not open it with other tools before you know "
            "who made it."
        )

    def damaged(self, error: BaseException) -> WeightsError:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return WeightsError(f"{self.source} is damaged or cut off (pickle: {reason}). Get the file again.")

    def spend(self, count: int) -> None:
        """Account for `count` bytes or entries that a call makes of what the pickle may hold only once."""
        self.budget -= count
        if self.budget < 0:
            raise ValueError("it unpacks to more than the file holds")

    # Containers

    def mark(self, _: object) -> None:
        self.stack.append(_MARK)

    def since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise LookupError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return [_finished(item) for item in items]

    def pop(self, _: object = None) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise LookupError("a value is missing")
        return _finished(value)

    def pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def push_tuple(self, count: int) -> None:
        self.stack.append(tuple(self.pop_many(count)))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise TypeError(f"items for a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(_pairs(items[::2], items[1::2]))
        elif not isinstance(target, Inert):
            raise TypeError(f"keys for a {type(target).__name__}")

    # Memo

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    # Names and calls

    def mention(self, name: str) -> None:
        if name not in self.calls and name not in self.names and name not in INERT:
            raise self.refusal(f"asks to import {name}")
        self.stack.append(_Global(name))

    def mention_from_stack(self, _: object) -> None:
        module, name = self.pop_many(2)
        self.mention(f"{_text(module)}.{_text(name)}")

    def call(self, _: object) -> None:
        function, arguments = self.pop_many(2)
        self.stack.append(self.result(function, arguments))

    def call_with_keywords(self, _: object) -> None:
        function, arguments, keywords = self.pop_many(3)
        if keywords and getattr(function, "name", "") not in INERT:
            raise TypeError("a call with keywords")
        self.stack.append(self.result(function, arguments))

    def call_since_mark(self, _: object) -> None:
        function, *arguments = self.since_mark()
        self.stack.append(self.result(function, tuple(arguments)))

    def call_named_since_mark(self, name: str) -> None:
        arguments = tuple(self.since_mark())
        self.mention(name.replace(" ", "."))
        self.stack.append(self.result(self.stack.pop(), arguments))

    def result(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        if not isinstance(function, _Global):
            raise TypeError(f"a call of a {type(function).__name__}")
        if function.name in INERT:
            return Inert()
        if function.name not in self.calls:
            raise self.refusal(f"asks to call {function.name}")
        return self.calls[function.name](self, *arguments)

    def build(self, _: object) -> None:
        state = self.pop()
        target = self.stack[-1]
        if isinstance(target, _Dtype):
            target.set_state(state)
        elif isinstance(target, _Array):
            target.value = self.array_of_state(state)
        elif not isinstance(target, (Inert, dict)):
            raise TypeError(f"state for a {type(target).__name__}")

    def persist(self, key: object) -> None:
        if self.persistent is None:
            raise self.refusal("refers to objects outside the pickle")
        self.stack.append(self.persistent(self.pop() if key is None else key))

    # Arrays

    def array_of_state(self, state: tuple[Any, ...]) -> np.ndarray:
        _, shape, dtype, fortran, data = state
        return self.array(data, dtype, shape, "F" if fortran else "C")

    def array(self, data: Any, dtype: _Dtype, shape: Any, order: str) -> np.ndarray:
        if isinstance(data, str):
            data = self.encode(data, "latin1")
        if dtype.code in _OBJECT_DTYPES:
            return self.object_array(data, shape, order)
        kind = dtype.numpy()
        expected = _count(shape) * kind.itemsize
        if len(data) != expected:
            raise ValueError(f"an array of shape {shape} and {expected} bytes with {len(data)} bytes of data")
        self.spend(expected)
        return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")

    def object_array(self, data: Any, shape: Any, order: str) -> np.ndarray:
        if isinstance(data, bytes):  # NumPy keeps such objects as a pickle inside the pickle: say what it imports
            unpickle(io.BytesIO(data), len(data), self.source)
        if not self.object_arrays or not isinstance(data, list):
            raise self.refusal("holds Python objects in an array (NumPy dtype object)")
        if len(data) != _count(shape):
            raise ValueError(f"an array of shape {shape} with {len(data)} objects")
        self.spend(len(data))
        flat = np.empty(len(data), object)
        for place, value in enumerate(data):
            flat[place] = value
        return flat.reshape(shape, order="F" if order == "F" else "C")

    def encode(self, text: str, encoding: str = "latin1") -> bytes:
        if _text(encoding) not in ("latin1", "latin-1"):
            raise self.refusal(f"asks for the text encoding {encoding!r}")
        self.spend(len(text))
        return text.encode("latin1")


def _reconstruct(machine: _Machine, kind: Any, shape: Any, code: Any) -> _Array:
    if not isinstance(kind, _Global) or kind.name != "numpy.ndarray":
        raise TypeError("an array of another class")
    return _Array()


def _dtype(machine: _Machine, code: Any, align: Any = False, copy: Any = True) -> _Dtype:
    if _text(code) not in (*_NUMERIC_DTYPES, *_OBJECT_DTYPES) and not _TEXT_DTYPE.fullmatch(code):
        raise ValueError(f"an array of dtype {code!r}")
    return _Dtype(code)


def _scalar(machine: _Machine, dtype: _Dtype, data: Any = b"") -> Any:
    return machine.array(data, dtype, (1,), "C")[0].item()


def _from_buffer(machine: _Machine, data: Any, dtype: _Dtype, shape: Any, order: str) -> np.ndarray:
    if not isinstance(data, (bytes, bytearray)):  # bytes(n) makes n of them
        raise TypeError(f"an array over a {type(data).__name__}")
    return machine.array(data, dtype, shape, order)


def _encode(machine: _Machine, text: Any, encoding: Any = "utf-8") -> bytes:
    return machine.encode(text, encoding)


def _ordered_dict(machine: _Machine, pairs: Any = ()) -> dict[Any, Any]:
    machine.spend(len(pairs))
    return _pairs([key for key, _ in pairs], [value for _, value in pairs])


def _no_bytes(machine: _Machine) -> bytes:
    return b""  # protocols 0 to 2 write an empty array's bytes as the call bytes()


def _ndarray(machine: _Machine, *arguments: Any) -> Any:
    raise TypeError("an array made in an unknown way")


_ARRAY_CALLS: Mapping[str, Call] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.ndarray": _ndarray,
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
    "collections.OrderedDict": _ordered_dict,
}


def _pairs(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dict; only plain keys, since hashing a deeply nested one overflows the stack of the interpreter."""
    for key in keys:
        if not isinstance(key, _SCALARS):
            raise TypeError(f"a {type(key).__name__} as key")
    return dict(zip(keys, values, strict=True))


def _text(value: Any) -> str:
    """`value` if it is text: a few nested lists have a text longer than any memory."""
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} as name")
    return value


def _count(shape: Any) -> int:
    """Numbers in an array of that shape."""
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array whose shape is not a tuple of whole numbers")
    return math.prod(shape)


def _finished(value: Any) -> Any:
    """The array in place of an array under construction."""
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without data")
        return value.value
    return value


_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8".split()
)

_OPCODES: Mapping[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.stack.append(_alternating(machine.since_mark())),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda machine, name: machine.mention(name.replace(" ", ".")),
    "STACK_GLOBAL": _Machine.mention_from_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_since_mark,
    "INST": _Machine.call_named_since_mark,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persist,
    "BINPERSID": _Machine.persist,
}


def _alternating(items: list[Any]) -> dict[Any, Any]:
    return _pairs(items[::2], items[1::2])
