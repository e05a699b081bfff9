"""Prediction of images larger than memory: tile by tile into a Zarr array, and no tile twice after an interruption."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch

from unet_edu.files import whole
from unet_edu.images import import_zarr
from unet_edu.progress import Progress
from unet_edu.tiling import checked_size, gray_range, predict_windows, result_dtype, tile_windows

PROGRESS = "tiles.json"  # beside the chunks, as long as some are missing


def predict_to_zarr(model, image, path, *, output_tile=None, autocast=None, device=None, keep=None,
                    progress=True):  # fmt: skip
    """Class probabilities of an image of any size, written to disk as they are computed.

    They appear under `path` when they are complete. Until then they grow in PATH.partial: after an interruption,
    the same call goes on with the tile that it was in.

    Parameters
    ----------
    model, image, output_tile, autocast, device, progress : as for `tiling.predict`. Of an image that is a memory
        map or a zarr array, one tile at a time is read
    path : where the Zarr array is to be, usually NAME.zarr; what is there is replaced at the end
    keep : what to write of a tile: a function of its probabilities (K, h, w) that returns (h, w) or (k, h, w), such
        as `lambda p: p[1]`; None: all of them

    Returns
    -------
    zarr.Array (K, H, W), or as `keep` has it; float32, or float64 for a float64 model; one chunk a tile

    Raises
    ------
    ValueError : the package zarr is missing; PATH.partial belongs to another model, image or setting; otherwise as
        `tiling.predict`
    """
    zarr, path = import_zarr(), Path(path)
    partial = path.with_name(path.name + ".partial")
    size, keep = checked_size(image, model), keep or (lambda probability: probability)
    kept = keep(np.zeros((model.num_classes, 1, 1))).shape[:-2]
    source = _fingerprint(model, image, kept, output_tile, autocast)
    if (partial / PROGRESS).exists():
        windows, done = _resume(partial, source)
        out = zarr.open_array(partial, mode="r+")
    else:
        windows, done = tile_windows(model, size, output_tile, autocast, device), 0
        chunks = *kept, *(side.stop for side in windows[0])  # no tile rewrites what another wrote
        dtype = str(result_dtype(model)).removeprefix("torch.")
        out = zarr.create_array(partial, shape=(*kept, *size), chunks=chunks, dtype=dtype, overwrite=True)
        _note(partial, source, windows, done)
    probabilities = predict_windows(model, image, windows[done:], autocast, device)
    for window in Progress(windows[done:], "predicting", "tiles", show=progress):
        out[..., *window] = keep(next(probabilities))
        done += 1
        _note(partial, source, windows, done)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
    (path / PROGRESS).unlink()  # last, so that whatever stops us before, no tile is lost
    return zarr.open_array(path, mode="r")


def _note(partial, source, windows, done):
    """Write down how far we are; the note is never half a note."""
    corners = [[(side.start, side.stop) for side in window] for window in windows]
    with whole(partial / PROGRESS) as unfinished:
        unfinished.write_text(json.dumps({"source": source, "done": done, "windows": corners}), encoding="utf-8")


def _resume(partial, source):
    note = json.loads((partial / PROGRESS).read_text(encoding="utf-8"))
    if note["source"] != source:
        raise ValueError(
            f"{partial}: holds part of another prediction (other weights, image or settings); delete it to begin anew"
        )
    return [tuple(slice(*side) for side in window) for window in note["windows"]], note["done"]


def _fingerprint(model, image, *settings):
    """What must be the same for two parts to belong together. Of the image, a row and a column must do."""
    digest = hashlib.sha256(repr((gray_range(model), tuple(image.shape), str(image.dtype), settings)).encode())
    for weights in model.state_dict().values():
        digest.update(weights.detach().cpu().flatten().view(torch.uint8).numpy())  # NumPy knows no bfloat16
    height, width = image.shape[-2:]
    for line in (image[..., height // 2, :], image[..., width // 2]):
        digest.update(np.ascontiguousarray(line).tobytes())
    return digest.hexdigest()
