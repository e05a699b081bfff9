"""Shift, rotation, elastic deformation and grey values (Sec. 3.1), on the device of the input.

Everything geometric is put into one map of coordinates, so that image and labels are resampled once,
by the same map: one blur instead of three, and labels that cannot drift from their image.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline


@dataclass(frozen=True)
class Augmentation:
    """How far the random transformations go. The paper gives the elastic ones only; the rest is our choice."""

    rotation: float = 180.0  # degrees, uniform in [-rotation, rotation]
    elastic_sigma: float = 10.0  # pixels, standard deviation of the nodes (Sec. 3.1)
    elastic_grid: int = 3  # nodes per axis of a tile (Sec. 3.1)
    contrast: float = 0.2  # grey values are stretched about their mean by 1 +- contrast
    brightness: float = 0.1  # and shifted by +- brightness


SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
NONE = Augmentation(rotation=0, elastic_sigma=0, contrast=0, brightness=0)  # shift alone


def elastic_displacement(shape, *, grid=3, sigma=10.0, generator=None, device=None):
    """Smooth random displacement of every pixel (Sec. 3.1).

    Random vectors on a coarse grid of nodes that spans the tile from corner to corner, Gaussian with
    standard deviation `sigma`, are interpolated to every pixel by cubic splines. Between nodes they
    average out a little: with 3 x 3 nodes the standard deviation over all pixels is 0.80 sigma.

    Parameters
    ----------
    shape : (H, W) of the field
    grid : nodes per axis, at least 2
    sigma : standard deviation of both components of a node's vector, in pixels
    generator : torch.Generator on the CPU; None draws from torch's global one
    device : where the field is wanted; its values do not depend on it

    Returns
    -------
    (2, H, W) float32 tensor, dy then dx, in pixels

    Raises
    ------
    ValueError : grid < 2, sigma < 0, an empty shape
    """
    height, width = shape
    if grid < 2 or sigma < 0 or min(shape) < 1:
        raise ValueError(
            f"shape={tuple(shape)}, grid={grid}, sigma={sigma}: use sides >= 1, grid >= 2, sigma >= 0"
        )
    nodes = _moved(sigma * torch.randn(2, grid, grid, generator=generator), device)
    down, across = _spline(height, grid, nodes.device), _spline(width, grid, nodes.device)
    return down @ nodes @ across.T  # (H, grid) (2, grid, grid) (grid, W)


def warp(image, displacement, *, mode="bilinear"):
    """Move pixels: out(p) = image(p + d(p)), mirrored outside without repeating the edge.

    Parameters
    ----------
    image : (H, W) or (C, H, W) tensor
    displacement : (2, H, W) tensor, dy then dx, in pixels, on the image's device
    mode : "bilinear" or "bicubic" for grey values, "nearest" for labels, which keeps values and dtype

    Returns
    -------
    tensor of the image's shape, dtype and device

    Raises
    ------
    ValueError : shapes that do not fit, an unknown mode; TypeError : other than nearest warping of integers
    """
    if displacement.shape != (2, *image.shape[-2:]):
        raise ValueError(
            f"displacement {tuple(displacement.shape)}: must be (2, H, W) = {(2, *image.shape[-2:])}"
        )
    return sample(image, _positions(image.shape[-2:], image.device) + displacement, mode=mode)


def sample(image, positions, *, mode="bilinear"):
    """Values of an image (H, W) or (C, H, W) at positions (2, h, w), y then x in pixels, mirrored outside.

    Returns (h, w) or (C, h, w) of the image's dtype. Modes and errors as in `warp`.
    """
    if mode == "nearest":
        rows, columns = (_mirrored(p, n) for p, n in zip(positions, image.shape[-2:], strict=True))
        index = (rows * image.shape[-1] + columns).reshape(1, -1)
        flat = image.reshape(-1, image.shape[-2] * image.shape[-1])
        flat = flat.view(SIGNED.get(image.dtype, image.dtype))  # torch cannot gather wide unsigned integers
        moved = flat.gather(1, index.expand(len(flat), -1)).view(image.dtype)
        return moved.reshape(*image.shape[:-2], *rows.shape)
    if mode not in ("bilinear", "bicubic"):
        raise ValueError(f"mode={mode!r}: must be 'bilinear', 'bicubic' or 'nearest'")
    if not image.is_floating_point():
        raise TypeError(
            f"image.dtype={image.dtype}: {mode} would mix class numbers; use mode='nearest' or floats"
        )
    y, x = (2 * p / max(n - 1, 1) - 1 for p, n in zip(positions, image.shape[-2:], strict=True))  # in [-1, 1]
    dtype = torch.promote_types(image.dtype, torch.float32)  # half precision cannot tell positions apart
    batch = image.reshape(1, -1, *image.shape[-2:]).to(dtype)
    grid = torch.stack([x, y], dim=-1)[None].to(dtype)  # (1, h, w, 2)
    moved = F.grid_sample(batch, grid, mode, padding_mode="reflection", align_corners=True)
    return moved.reshape(*image.shape[:-2], *positions.shape[1:]).to(image.dtype)


def augment(image, labels=None, weights=None, *, tile=None, augmentation=None, generator=None):
    """Cut one randomly shifted, rotated, deformed and re-lit tile out of each image of a batch (Sec. 3.1).

    Image, labels and weights of one batch entry are resampled once, by the same map.

    Parameters
    ----------
    image : (N, C, H, W) float tensor
    labels : (N, H, W) integer tensor, or None
    weights : (N, H, W) float tensor, or None
    tile : side of the tiles in pixels; None: the smaller side of the image
    augmentation : Augmentation; None: its defaults
    generator : torch.Generator on the CPU; None draws from torch's global one

    Returns
    -------
    image (N, C, tile, tile), labels (N, tile, tile) and weights (N, tile, tile), None where None was given

    Raises
    ------
    ValueError : labels or weights of another size than the image
    """
    for name, other in (("labels", labels), ("weights", weights)):
        if other is not None and other.shape != (len(image), *image.shape[-2:]):
            raise ValueError(
                f"{name} {tuple(other.shape)}: must be (N, H, W) = {(len(image), *image.shape[-2:])}, as the image"
            )
    augmentation = augmentation or Augmentation()
    tile = tile or min(image.shape[-2:])
    maps = [random_positions(image.shape[-2:], tile, augmentation, generator, image.device) for _ in image]

    def moved(batch, mode):
        if batch is not None:
            return torch.stack([sample(x, p, mode=mode) for x, p in zip(batch, maps, strict=True)])

    lit = [random_grey(x, augmentation, generator) for x in moved(image, "bilinear")]
    return torch.stack(lit), moved(labels, "nearest"), moved(weights, "bilinear")


def random_positions(image_shape, tile, augmentation, generator=None, device=None):
    """Where the pixels of a randomly shifted, rotated and deformed square tile lie in an image.

    The middle of the tile is uniform over the image, so that every pixel is trained on equally often.

    Parameters
    ----------
    image_shape : (H, W) of the image
    tile : side of the tile in pixels
    augmentation : Augmentation
    generator : torch.Generator on the CPU; None draws from torch's global one
    device : of the result

    Returns
    -------
    (2, tile, tile) float32 tensor of positions, y then x, for `sample`
    """
    y, x, turn = torch.rand(3, generator=generator).tolist()
    angle = math.radians(augmentation.rotation * (2 * turn - 1))
    down, across = _positions((tile, tile), device) - (tile - 1) / 2 + elastic_displacement(
        (tile, tile), grid=augmentation.elastic_grid, sigma=augmentation.elastic_sigma,
        generator=generator, device=device,
    )  # fmt: skip
    # Plain numbers, not tensors: a constant made on the CPU would have the device wait for its copy.
    rows = math.cos(angle) * down - math.sin(angle) * across + y * (image_shape[0] - 1)
    columns = math.sin(angle) * down + math.cos(angle) * across + x * (image_shape[1] - 1)
    return torch.stack([rows, columns])


def random_grey(image, augmentation, generator=None):
    """Stretch the grey values of a float image about their mean, and shift them, at random."""
    stretch, shift = (2 * torch.rand(2, generator=generator) - 1).tolist()
    mean = image.mean()
    return mean + (image - mean) * (1 + augmentation.contrast * stretch) + augmentation.brightness * shift


def _moved(tensor, device):
    """The tensor on the device; the host does not wait for a copy to a CUDA device."""
    if torch.device(device or "cpu").type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@lru_cache(maxsize=32)
def _spline(size, grid, device):
    """(size, grid) matrix that interpolates `grid` node values at `size` pixels by cubic splines.

    The slope is 0 at both ends, as if the nodes were mirrored there.
    """
    spline = CubicSpline(np.arange(grid), np.eye(grid), bc_type="clamped")
    return torch.tensor(spline(np.linspace(0, grid - 1, size)), dtype=torch.float32, device=device)


@lru_cache(maxsize=32)
def _positions(shape, device):
    """(2, H, W): the position of every pixel, y then x."""
    axes = [torch.arange(side, dtype=torch.float32, device=device) for side in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def _mirrored(positions, length):
    """Index of the nearest pixel of an axis, mirrored about its end pixels however far outside."""
    last = length - 1
    folded = positions.round().abs().fmod(max(2 * last, 1))
    return (last - (folded - last).abs()).long()
