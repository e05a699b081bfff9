"""Sizes of a U-Net made of valid convolutions (Sec. 2, Fig. 1); whole numbers only, no torch.

Every 3x3 convolution takes one pixel off each side, every pooling halves, every up-convolution doubles:
with `depth` poolings the output is smaller than the input by a fixed margin, and only every
2**depth-th input size works, because every pooling must meet an even size.
"""

from operator import index
from typing import NamedTuple


class Stage(NamedTuple):
    """One feature map on the way through the network: what made it, its channels, its side in pixels."""

    stage: str  # "input", "convolution", "pooling", "up-convolution" or "logits"
    channels: int | None  # None: as many as the image has, or as there are classes
    size: int


def margin(depth: int = 4) -> int:
    """Pixels that the valid convolutions take off each side of the image (Sec. 2): 92 at depth 4.

    Raises ValueError if depth < 1.
    """
    # Two convolutions at full resolution on the way down and two on the way up, one pixel each; what
    # the coarser levels take counts double.
    return 2 + 2 * margin(depth - 1) + 2 if _checked_depth(depth) > 1 else 8


def output_size(input_size: int, depth: int = 4) -> int:
    """Side of the logits for an image of this side (Fig. 1): 572 -> 388.

    Raises ValueError, naming the nearest valid sizes, if a pooling would meet an odd size or nothing
    would be left; TypeError if the size is no whole number.
    """
    size, smallest, step = index(input_size), smallest_input(depth), 2**depth
    if size < smallest:
        raise ValueError(
            f"input_size={size}: the valid convolutions would leave nothing; use {smallest} or more"
        )
    if (size - smallest) % step:
        below = size - (size - smallest) % step
        raise ValueError(
            f"input_size={size}: 2x2 pooling would meet an odd size; use {below} or {below + step}"
        )
    return size - 2 * margin(depth)


def input_size(output_size: int, depth: int = 4) -> int:
    """Side of the smallest valid image whose logits cover `output_size` pixels: 388 -> 572, 389 -> 588.

    Raises ValueError if output_size < 1; TypeError if it is no whole number.
    """
    size, smallest, step = index(output_size), smallest_input(depth), 2**depth
    if size < 1:
        raise ValueError(f"output_size={size}: an image has at least one pixel; use 1 or more")
    beyond = max(0, size + 2 * margin(depth) - smallest)
    return smallest + -(-beyond // step) * step


def checked_tile(output_tile: int, depth: int = 4) -> int:
    """The side of a tile's logits, as given; ValueError with the nearest valid ones if no image has it."""
    covering = output_size(input_size(max(output_tile, 1), depth), depth)
    if covering != output_tile:
        near = [size for size in (covering - 2**depth, covering) if size > 0]
        raise ValueError(f"output_tile={output_tile}: not a size of logits; use {' or '.join(map(str, near))}")
    return output_tile


def smallest_input(depth: int = 4) -> int:
    """Smallest valid side of an image: 188 at depth 4, of which 4 pixels are left."""
    steps = 2 ** _checked_depth(depth)
    bottom = 1  # side of the coarsest feature map, after its two convolutions
    while bottom * steps - 4 * (steps - 1) < 1:  # what the way up makes of it
        bottom += 1
    return bottom * steps - 4 * (steps - 1) + 2 * margin(depth)


def trace(input_size: int, depth: int = 4, base_channels: int = 64) -> tuple[Stage, ...]:
    """Every feature map of Fig. 1 in order: input, convolutions, poolings, up-convolutions, logits.

    An up-convolution stands before the concatenation, with the channels it makes itself.
    Raises ValueError as `output_size` does.
    """
    output_size(input_size, depth)
    size, stages = index(input_size), [Stage("input", None, index(input_size))]

    def two_convolutions(channels):
        nonlocal size
        for _ in range(2):
            size -= 2
            stages.append(Stage("convolution", channels, size))

    for level in range(depth):
        two_convolutions(base_channels * 2**level)
        size //= 2
        stages.append(Stage("pooling", base_channels * 2**level, size))
    two_convolutions(base_channels * 2**depth)
    for level in reversed(range(depth)):
        size *= 2
        stages.append(Stage("up-convolution", base_channels * 2**level, size))
        two_convolutions(base_channels * 2**level)
    stages.append(Stage("logits", None, size))
    return tuple(stages)


def receptive_window(position: int, depth: int = 4) -> tuple[int, int]:
    """First and last input pixel, along one axis, that output pixel `position` (0, 1, ...) sees.

    The width depends on where the pixel lies in the grid of the poolings: position modulo 2**depth.
    """
    return _window(index(position), index(position), _checked_depth(depth))


def receptive_field(depth: int = 4) -> int:
    """Largest side, over the phases of the poolings, of the input window that one output pixel sees."""
    windows = (receptive_window(position, depth) for position in range(2**depth))
    return max(last - first + 1 for first, last in windows)


def _window(first: int, last: int, depth: int) -> tuple[int, int]:
    """Input pixels behind the outputs first..last of a U-Net with `depth` poolings."""
    if depth == 0:
        return first, last + 4
    last += 4  # two 3x3 convolutions after the concatenation
    crop = 2 * (margin(depth - 1) if depth > 1 else 2)  # of the skip, per side
    skip = first + crop, last + crop + 4
    low, high = _window(first // 2, last // 2, depth - 1)  # up-convolution: output y is made by y // 2
    return min(skip[0], 2 * low), max(skip[1], 2 * high + 1 + 4)


def _checked_depth(depth: int) -> int:
    if index(depth) < 1:
        raise ValueError(f"depth={depth}: a U-Net pools at least once; use 1 or more (the paper: 4)")
    return index(depth)
