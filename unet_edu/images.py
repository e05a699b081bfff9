"""Image files, read and written: what microscopes, ImageJ and labeling programs make of gray values and of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from unet_edu.files import whole

SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
GRAY = "one gray value a pixel is meant; in ImageJ: Image > Color > Split Channels, or Image > Type > 8-bit"
PALETTE = "a color table, whose colors can mean any value; in ImageJ: Image > Lookup Tables > Grays, then save again"


def files(path):
    """The image files at a path: itself, or of a folder all of `SUFFIXES` in the order of their names.

    Returns
    -------
    (images, others) : lists of paths; `others` are files in the folder that are no images, hidden ones left out

    Raises
    ------
    FileNotFoundError : no such file or folder; ValueError : a folder without images
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not path.is_dir() or path.suffix.lower() == ".zarr":
        return [path], []
    visible = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    images = [file for file in visible if file.suffix.lower() in SUFFIXES]
    if not images:
        raise ValueError(f"{path}: a folder without images; they must end in {', '.join(SUFFIXES)}")
    return images, [file for file in visible if file not in images]


def read(path):
    """The one gray or label image of a file.

    Parameters
    ----------
    path : TIFF, PNG or Zarr array. RGB is taken as gray if its three channels are equal

    Returns
    -------
    (H, W) array of the file's own type. Uncompressed TIFF is mapped, not loaded, and Zarr is left as it is,
    so that of a large image only what is used comes into memory

    Raises
    ------
    FileNotFoundError : no such file
    ValueError : another kind of file, one that cannot be read, colors, several images, no pixel, NaN or infinity;
        each says what to do
    """
    image = _read(path)
    if image.ndim > 2 and set(image.shape[:-2]) == {1}:
        image = image[(0,) * (image.ndim - 2)]
    if image.ndim != 2:
        raise ValueError(
            f"{path}: holds images of shape {image.shape}: one (H, W) is meant; save each as a file of its own"
            " (ImageJ: File > Save As > Image Sequence)"
        )
    return image


def read_gray(path):
    """As `read`, but ValueError for what holds no gray values, such as black and white."""
    image = read(path)
    if np.dtype(image.dtype).kind not in "uif":
        raise ValueError(f"{path}: of type {image.dtype}, a mask rather than an image; use gray values, such as uint16")
    return image


def read_stack(path):
    """All gray or label images of a file as one array (Z, H, W), in memory; errors as in `read`."""
    stack = np.asarray(_read(path))
    if stack.ndim < 2:
        raise ValueError(f"{path}: holds an array of shape {stack.shape}: images (H, W) are meant")
    return stack.reshape(-1, *stack.shape[-2:])


def level(image):
    """What is bright in an image: the 99.9th percentile of its gray values, so that a hot pixel does not count.

    The largest value if that is 0. Of more than 16 million pixels every second, third, ... row and column counts.
    """
    stride = int(np.ceil(np.sqrt(image.shape[0] * image.shape[1] / 2**24)))
    values = np.asarray(image[::stride, ::stride])
    return float(np.percentile(values, 99.9) or values.max())


def problem(image, scale, offset=0.0):
    """What is wrong with the gray values for a network that sees integers as (image - offset) / scale; None if nothing.

    What is bright should be about 1 then: below 1/3 the kept networks see no membrane any more, above 4 there is glare.
    Floats are taken as they are.
    """
    remedy = "use images as bright as those of the training"
    if not np.issubdtype(image.dtype, np.integer):
        scale, offset, remedy = 1, 0, "floats are not scaled, so divide them until they reach about 1"
    if not (bright := level(image)) > 0:
        return "all gray values are 0 or less; check the export"
    if scale / 3 <= bright - offset <= 4 * scale:
        return None
    return f"gray values reach {bright:g}, the network expects about {offset + scale:g}; {remedy}"


def write(path, pixels):
    """Write an array as .tif or .zarr (any type), or as .png (uint8, uint16): without loss, and whole or not at all."""
    suffix = Path(path).suffix.lower()
    with whole(path) as partial:
        if suffix == ".zarr":
            create_zarr(partial, pixels.shape, pixels.dtype)[:] = pixels
        elif suffix == ".png":
            if pixels.dtype not in (np.uint8, np.uint16):
                raise ValueError(f"{path}: PNG holds uint8 or uint16, not {pixels.dtype}; use .tif")
            Image.fromarray(pixels).save(partial, format="PNG")
        else:
            large = pixels.nbytes > 2**32 - 2**25  # beyond what offsets of classic TIFF can reach
            tifffile.imwrite(partial, pixels, bigtiff=large, compression="zlib", photometric="minisblack")


def create_zarr(path, shape, dtype):
    """An empty Zarr array (..., H, W), kept in pieces of 512 x 512, to be written to."""
    pieces = (*(1 for _ in shape[:-2]), *(min(side, 512) for side in shape[-2:]))
    return import_zarr().open_array(str(path), mode="w", shape=shape, chunks=pieces, dtype=dtype)


def import_zarr():
    """The package zarr; ValueError with what to run if it is missing."""
    try:
        import zarr
    except ImportError as error:
        raise _Refused("Zarr needs a package that is not installed; run: pip install zarr") from error
    return zarr


class _Refused(ValueError):
    """A file that is whole, but not what is meant; the text says what it is and what to do."""


def _read(path):
    """Gray or label values of a file, (..., H, W)."""
    path = Path(path)
    in_zarr = any(place.suffix.lower() == ".zarr" for place in (path, *path.parents))
    if not in_zarr and path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: must end in {', '.join(SUFFIXES)}; save it as TIFF")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    reader = _zarr if in_zarr else _pillow if path.suffix.lower() == ".png" else _tiff
    try:
        pixels = reader(path)
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # every format fails in its own ways
        raise ValueError(f"{path}: cannot be read, perhaps cut short ({error}); save it again") from error
    if 0 in pixels.shape:
        raise ValueError(f"{path}: empty, of shape {pixels.shape}; save an image with at least one pixel")
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{path}: holds NaN or infinite values; replace them, for instance by 0")
    return pixels


def _tiff(path):
    with tifffile.TiffFile(path) as file:
        first, axes = file.pages[0], file.series[0].axes
        if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
            raise _Refused(PALETTE)
        try:
            pixels = _series(path, file.series)
        except Exception as error:
            if "imagecodecs" not in str(error):
                raise
            if first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:  # Pillow would turn its values around
                raise _Refused(f"compressed by {first.compression.name}; run: pip install imagecodecs") from error
            return _pillow(path)
    return _gray(np.moveaxis(pixels, axes.index("S") - len(axes), -1)) if "S" in axes else pixels


def _series(path, series):
    if len(series) > 1:
        if len({one.shape for one in series}) > 1:
            shapes = ", ".join(str(one.shape) for one in series)
            raise _Refused(f"holds images of several sizes, {shapes}; save the one you want as a file of its own")
        return np.stack([one.asarray() for one in series])
    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed, or in pieces
        return series[0].asarray()


def _pillow(path):
    with Image.open(path) as image:
        if image.mode in ("P", "PA"):
            raise _Refused(PALETTE)
        if image.mode.startswith("RGB") and ";16" in str(image.tile[0][-1]):
            raise _Refused("colors of 16 bit, which cannot be read in full; save one channel as 16-bit gray")
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.asarray(image))
    pixels = frames[0] if len(frames) == 1 else np.stack(frames)
    if path.suffix.lower() == ".png" and pixels.dtype == np.int32:  # 16 bit, as older versions of Pillow give them
        pixels = pixels.astype(np.uint16)
    return _gray(pixels) if len(image.getbands()) > 1 else pixels


def _zarr(path):
    array = import_zarr().open(str(path), mode="r")
    if not hasattr(array, "shape"):
        inside = ", ".join(f"{path / name}" for name in sorted(array.array_keys()))
        raise _Refused(f"a Zarr group, not an array; name one of its arrays: {inside or 'it holds none'}")
    return array


def _gray(pixels):
    """Of (..., H, W, channels) with three equal channels, one."""
    if pixels.shape[-1] != 3 or (pixels != pixels[..., :1]).any():
        raise _Refused(f"{pixels.shape[-1]} channels of color or transparency: {GRAY}")
    return pixels[..., 0]
