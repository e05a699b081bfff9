"""Overlap-tile (Fig. 2): seamless prediction of images of any size, tile by tile, mirrored at the border."""

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from unet_edu import geometry
from unet_edu.progress import Progress

MEMORY = {"cpu": 2**30, "cuda": 2**33}  # bytes that a tile may take, or a quarter of what is free if that is less


def predict(model, image, *, output_tile=None, autocast=None, device=None, rotations=1, progress=False, out=None):
    """Class probabilities of every pixel of an image of any size (Sec. 2, Fig. 2).

    The image is cut into tiles whose valid outputs lie side by side; the context that a tile lacks at
    the border of the image is made by mirroring, without repeating the edge pixel. Output pixel (0, 0)
    of the first tile is image pixel (0, 0), and tiles step by the largest multiple of 2**depth that is
    no larger than the tile, so that every tile meets the pooling grid in the same phase: the result
    equals one pass over the whole mirrored image.

    Parameters
    ----------
    model : UNet; put into eval mode for the prediction and back afterwards
    image : (H, W) or (C, H, W), H and W at least 1; NumPy array, memory map, zarr array or CPU tensor.
        Integer images become (image - model.offset) / model.scale, float images are taken as they are
    output_tile : side of a tile's logits in pixels, a size that `geometry.output_size` returns
        (4, 20, ..., 388, ... at depth 4); None chooses tiles for 1 GiB of memory (8 GiB on CUDA), less where
        less is free, that waste little
    autocast : None computes in the model's own dtype, torch.bfloat16 or torch.float16 in that one
    device : where to compute; the model is moved there. None: where the model is
    rotations : n averages the probabilities of the image turned by 360 k / n degrees, k = 0 .. n - 1 (Sec. 4
        averages 7, and does not say which); costs n predictions and more, and needs the whole image in memory
    progress : show a progress line
    out : (K, H, W) array to write into (memory map, zarr, ...); None makes a NumPy array

    Returns
    -------
    (K, H, W) softmax probabilities: `out`, else float32, or float64 for a float64 model

    Raises
    ------
    ValueError : wrong number of axes or channels, an empty image, an `output_tile` that is no output
        size, an `out` of another shape, rotations < 1, or > 1 with an `out`;
    TypeError : an image that is neither integer nor float
    """
    height, width = checked_size(image, model)
    if rotations != 1:
        _check_rotations(rotations, out)
        options = {"output_tile": output_tile, "autocast": autocast, "device": device, "progress": progress}
        image = scaled(image, *gray_range(model))
        image = image.astype(np.float64, copy=False)  # SciPy cannot turn half precision
        return _mean_over_rotations(lambda turned: predict(model, turned, **options), image, rotations)
    dtype = result_dtype(model)
    shape = model.num_classes, height, width
    if out is None:
        out = torch.empty(shape, dtype=dtype).numpy()
    elif tuple(out.shape) != shape:
        raise ValueError(f"out.shape={tuple(out.shape)}: must be (classes, H, W) = {shape}")
    windows = tile_windows(model, (height, width), output_tile, autocast, device)
    probabilities = predict_windows(model, image, windows, autocast, device)
    for window, probability in zip(Progress(windows, "predicting", "tiles", show=progress), probabilities, strict=True):
        out[:, *window] = probability
    return out


def tile_windows(model, size, output_tile=None, autocast=None, device=None):
    """What each tile contributes to an image of this size: its rows and columns, slices that cover the image once."""
    largest = largest_tile(model, autocast, device)
    tops, lefts = (_spans(side, _tile(side, output_tile, model.depth, largest), model.depth) for side in size)
    return [(rows, columns) for rows in tops for columns in lefts]


def predict_windows(model, image, windows, autocast=None, device=None):
    """Probabilities (K, h, w) of one window of `tile_windows` after the other, on the CPU; see `predict`."""
    dtype, margin = result_dtype(model), geometry.margin(model.depth)
    device = torch.device(device or next(model.parameters()).device)
    # The convolutions of the CPU and of tensor cores want the channels of a pixel side by side.
    training, _ = model.training, model.to(device, memory_format=torch.channels_last).eval()
    try:
        for rows, columns in windows:
            x = _read(image, rows, columns, margin, model)
            x = x[None].to(device, next(model.parameters()).dtype, memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(device.type, autocast, autocast is not None):
                probability = model(x)[0].to(dtype).softmax(0)   # (K, tile, tile)
            height, width = rows.stop - rows.start, columns.stop - columns.start
            yield probability[:, :height, :width].cpu().numpy()
    finally:
        model.train(training)


def largest_tile(model, autocast=None, device=None):
    """Largest side of a tile's logits for which the network's features fit into the memory set aside for them."""
    bytes_per_number = torch.finfo(autocast or next(model.parameters()).dtype).bits // 8
    device = torch.device(device or next(model.parameters()).device)
    memory = min(MEMORY.get(device.type, MEMORY["cpu"]), free_memory(device) // 4)
    # Measured for an (S, S) input: features of 4.5 times the first convolution's, logits and probabilities beside them.
    bytes_per_pixel = 4.5 * model.base_channels * bytes_per_number + 12 * model.num_classes
    side = int((memory / bytes_per_pixel) ** 0.5)
    smallest = geometry.smallest_input(model.depth) + 2**model.depth  # the smallest tile that can step
    return geometry.output_size(max(smallest, side - (side - smallest) % 2**model.depth), model.depth)


def step(output_tile, depth=4):
    """How far apart tiles with logits of this side lie: the largest multiple of 2**depth, 388 -> 384.

    A depth-4 output is 4 modulo 16, so a step of the full 388 would shift the pooling windows of the
    next tile by 4 pixels, and its prediction would differ from that of one pass.
    """
    return output_tile // 2**depth * 2**depth


def mirror(start, stop, length):
    """Indices of the positions start..stop - 1 of an axis of this length, mirrored about its end pixels.

    The end pixel is not repeated: ..., 2, 1, 0, 1, 2, ...; works however far outside a position lies.
    """
    if length == 1:
        return np.zeros(stop - start, int)
    folded = np.abs(np.arange(start, stop)) % (2 * length - 2)
    return np.where(folded < length, folded, 2 * length - 2 - folded)


def scaled(image, scale, offset=0.0):
    """(C, H, W) array as the network sees it: of integers (image - offset) / scale, floats as they are."""
    image = np.asarray(image)
    image = (image - offset) / scale if np.issubdtype(image.dtype, np.integer) else image
    return image.reshape(-1, *image.shape[-2:])


def gray_range(model):
    """Scale and offset of a model's integer images; a network that is not ours may know only the first."""
    return model.scale, getattr(model, "offset", 0.0)


def rotate(image, degrees):
    """An image turned about its center, counter-clockwise, on a canvas that holds all of it.

    Takes and returns (C, H, W) floats. What lies beyond the image is mirrored, as at the border of a tile. Quarter
    turns are exact, in between values are interpolated linearly, as in training.
    """
    if degrees % 90 == 0:
        return np.rot90(image, degrees // 90, axes=(1, 2))
    height, width = image.shape[1:]
    sine, cosine = abs(np.sin(np.radians(degrees))), abs(np.cos(np.radians(degrees)))
    canvas = int(np.ceil(height * cosine + width * sine)), int(np.ceil(height * sine + width * cosine))
    return _resample(image, _turned(canvas, (height, width), -degrees))


def rotate_back(turned, degrees, shape):
    """Undo `rotate`: (C, H, W) of the given (H, W). Linear weights sum to 1, and so do probabilities still."""
    if degrees % 90 == 0:
        return np.rot90(turned, -degrees // 90, axes=(1, 2))
    return _resample(turned, _turned(shape, turned.shape[1:], degrees))


def _turned(shape, source, degrees):
    """Where each pixel of an image of `shape` lies in a `source` turned by -degrees about the common center."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    y, x = np.mgrid[: shape[0], : shape[1]] - (np.array(shape)[:, None, None] - 1) / 2
    center_y, center_x = (np.array(source) - 1) / 2
    return cosine * y - sine * x + center_y, sine * y + cosine * x + center_x


def _resample(image, place):
    return np.stack([ndimage.map_coordinates(channel, place, order=1, mode="mirror") for channel in image])


def _check_rotations(rotations, out):
    if not isinstance(rotations, (int, np.integer)) or rotations < 1:
        raise ValueError(f"rotations={rotations!r}: must be a whole number, 1 or more; the paper uses 7")
    if out is not None:
        raise ValueError(f"rotations={rotations} with out: the mean needs the whole image in memory; use out=None")


def _mean_over_rotations(predict, image, rotations):
    """Mean of the predictions of a (C, H, W) float image at each angle, all in the image's own frame."""
    total = 0
    for k in range(rotations):
        degrees = 360 * k / rotations
        total = total + rotate_back(predict(rotate(image, degrees)), degrees, image.shape[1:])
    return total / rotations


def _read(image, rows, columns, margin, model):
    """Float tensor (C, H, W): the mirrored image whose logits begin with this window and cover it."""
    sides = [geometry.input_size(window.stop - window.start, model.depth) for window in (rows, columns)]
    down, across = (
        mirror(window.start - margin, window.start - margin + side, length)
        for window, side, length in zip((rows, columns), sides, image.shape[-2:], strict=True)
    )
    # One plain slice first: of a memory map or a zarr array only this window is read.
    part = np.asarray(image[..., down.min() : down.max() + 1, across.min() : across.max() + 1])
    x = part[..., down - down.min(), :][..., across - across.min()]
    return torch.from_numpy(np.ascontiguousarray(scaled(x, *gray_range(model)), np.float64))


def _spans(length, tile, depth):
    """The part of an axis that each tile answers for; the last one may keep all of its logits."""
    if length <= tile:
        return [slice(0, length)]
    if tile < 2**depth:
        raise ValueError(
            f"output_tile={tile}: tiles must step by a multiple of {2**depth}; use {tile + 2**depth} or more"
        )
    starts = range(0, length - tile + step(tile, depth), step(tile, depth))
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], length], strict=True)]


def _tile(length, output_tile, depth, largest):
    """Side of the logits of the tiles along an axis of `length` pixels, at most `largest` unless it is given."""
    if output_tile is not None:
        return geometry.checked_tile(output_tile, depth)
    surplus = largest - step(largest, depth)  # what the last tile covers beyond its step
    count = max(1, -(-(length - surplus) // step(largest, depth)))  # as few tiles as possible, ...
    wanted = max(1, -(-(length - surplus) // count) + surplus)  # ... as small as possible
    return geometry.output_size(geometry.input_size(wanted, depth), depth)


def free_memory(device):
    """Bytes that are free: of the GPU, or of the machine as far as it tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return 4 * MEMORY["cpu"]


def result_dtype(model):
    """Type of the probabilities: float32, or float64 for a float64 model."""
    return torch.float64 if next(model.parameters()).dtype == torch.float64 else torch.float32


def checked_size(image, model):
    """Height and width of an image that this model can predict; ValueError or TypeError for others."""
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image.shape={tuple(image.shape)}: must be (H, W) or (C, H, W) with H, W >= 1")
    channels = image.shape[0] if image.ndim == 3 else 1
    if channels != model.in_channels:
        raise ValueError(
            f"image.shape={tuple(image.shape)}: {channels} channels first, the model takes {model.in_channels};"
            f" use shape ({model.in_channels}, H, W)"
        )
    try:
        kind = np.dtype(str(image.dtype).removeprefix("torch.")).kind
    except TypeError:  # torch.bfloat16
        kind = "unknown to NumPy"
    if kind not in "uif":
        raise TypeError(f"image.dtype={image.dtype}: must be integer or float; convert it first")
    return image.shape[-2:]
