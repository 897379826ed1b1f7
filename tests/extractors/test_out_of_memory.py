"""A batch that does not fit is halved; the errors are those of torch, raised by a stand-in for the device."""

import pytest
import torch
from torch import Tensor

from extractors.out_of_memory import FittingBatches, is_out_of_memory


class Device:
    """A function for batches of at most `room` items, and the sizes it was asked for."""

    def __init__(self, room: int, error: BaseException | None = None) -> None:
        self.asked: list[int] = []
        self._room = room
        self._error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    def __call__(self, part: Tensor) -> Tensor:
        self.asked.append(len(part))
        if len(part) > self._room:
            raise self._error
        return part * 2


@pytest.mark.parametrize(
    ("room", "asked"),
    [(8, [8]), (4, [8, 4, 4]), (3, [8, 4, 2, 2, 2, 2]), (1, [8, 4, 2, *[1] * 8])],
)
def test_the_result_is_that_of_the_whole_batch(room: int, asked: list[int]) -> None:
    device, batch = Device(room), torch.arange(16.0).reshape(8, 2)
    batches = FittingBatches()
    assert torch.equal(batches.run(device, batch), batch * 2)
    assert device.asked == asked
    assert batches.halved == sum(size > room for size in asked)


def test_what_did_not_fit_is_not_tried_again() -> None:
    device, batches = Device(3), FittingBatches()
    batches.run(device, torch.ones(6))
    device.asked.clear()
    batches.run(device, torch.ones(7))
    assert device.asked == [3, 3, 1]
    assert batches.halved == 1


def test_an_odd_batch_loses_nothing() -> None:
    batch = torch.arange(7.0)
    assert torch.equal(FittingBatches().run(Device(2), batch), batch * 2)


def test_one_item_that_does_not_fit_is_an_error() -> None:
    device = Device(0)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        FittingBatches().run(device, torch.ones(4))
    assert device.asked == [4, 2, 1]


def test_other_errors_are_not_swallowed() -> None:
    device = Device(1, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        FittingBatches().run(device, torch.ones(4))
    assert device.asked == [4]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_which_errors_mean_it(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_error_of_torchs_own_allocator_means_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
