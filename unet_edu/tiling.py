"""Overlap-tile (Fig. 2): seamless prediction of images of any size, tile by tile, mirrored at the border."""

import numpy as np
import torch
from scipy import ndimage

from unet_edu import geometry
from unet_edu.progress import Progress

LARGEST_TILE = 772  # side of its logits; a full-width network needs about 2 GB for it, a 512 image one pass


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
        Integer images are divided by `model.scale`, float images are taken as they are
    output_tile : side of a tile's logits in pixels, a size that `geometry.output_size` returns
        (4, 20, ..., 388, ... at depth 4); None chooses tiles of at most 772 pixels that waste little
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
    height, width = _checked_shape(image, model)
    if rotations != 1:
        _check_rotations(rotations, out)
        options = {"output_tile": output_tile, "autocast": autocast, "device": device, "progress": progress}
        image = scaled(image, model.scale)
        return _mean_over_rotations(lambda turned: predict(model, turned, **options), image, rotations)
    parameter = next(model.parameters())
    dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
    shape = model.num_classes, height, width
    if out is None:
        out = torch.empty(shape, dtype=dtype).numpy()
    elif tuple(out.shape) != shape:
        raise ValueError(f"out.shape={tuple(out.shape)}: must be (classes, H, W) = {shape}")
    tile = [_tile(side, output_tile, model.depth) for side in (height, width)]
    tops, lefts = (_corners(*pair, model.depth) for pair in zip((height, width), tile, strict=True))
    device = torch.device(device or parameter.device)
    training, _ = model.training, model.to(device).eval()
    try:
        corners = [(top, left) for top in tops for left in lefts]
        for top, left in Progress(corners, "predicting", "tiles", show=progress):
            x = _read(image, (top, left), tile, geometry.margin(model.depth), model.scale)
            x = x[None].to(device, parameter.dtype)              # (1, C, tile + 184, tile + 184)
            with torch.inference_mode(), torch.autocast(device.type, autocast, autocast is not None):
                probability = model(x)[0].to(dtype).softmax(0)   # (K, tile, tile)
            there = slice(top, min(top + tile[0], height)), slice(left, min(left + tile[1], width))
            rows, columns = (side.stop - side.start for side in there)
            out[:, *there] = probability[:, :rows, :columns].cpu().numpy()
    finally:
        model.train(training)
    return out


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


def scaled(image, scale):
    """(C, H, W) array as the network sees it: integers divided by `scale`, floats as they are."""
    image = np.asarray(image)
    image = image / scale if np.issubdtype(image.dtype, np.integer) else image
    return image.reshape(-1, *image.shape[-2:])


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
    if isinstance(rotations, bool) or not isinstance(rotations, (int, np.integer)) or rotations < 1:
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


def _read(image, corner, tile, margin, scale):
    """Float tensor (C, H, W): the mirrored image around the tile whose logits begin at `corner`."""
    rows, columns = (
        mirror(start - margin, start + side + margin, length)
        for start, side, length in zip(corner, tile, image.shape[-2:], strict=True)
    )
    # One plain slice first: of a memory map or a zarr array only this window is read.
    window = np.asarray(image[..., rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    x = window[..., rows - rows.min(), :][..., columns - columns.min()]
    return torch.from_numpy(np.ascontiguousarray(scaled(x, scale), np.float64))


def _corners(length, tile, depth):
    """Where tiles begin along an axis; the last one may keep all of its logits."""
    if length <= tile:
        return [0]
    if tile < 2**depth:
        raise ValueError(
            f"output_tile={tile}: tiles must step by a multiple of {2**depth}; use {tile + 2**depth} or more"
        )
    return list(range(0, length - tile + step(tile, depth), step(tile, depth)))


def _tile(length, output_tile, depth):
    """Side of the logits of the tiles along an axis of `length` pixels."""
    if output_tile is not None:
        return geometry.checked_tile(output_tile, depth)
    surplus = LARGEST_TILE - step(LARGEST_TILE, depth)  # what the last tile covers beyond its step
    count = max(1, -(-(length - surplus) // step(LARGEST_TILE, depth)))  # as few tiles as possible, ...
    wanted = max(1, -(-(length - surplus) // count) + surplus)  # ... as small as possible
    return geometry.output_size(geometry.input_size(wanted, depth), depth)


def _checked_shape(image, model):
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
