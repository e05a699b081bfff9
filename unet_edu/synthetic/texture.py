"""What the drawings share: smooth random fields, and how their arguments are checked."""

import numpy as np
from scipy import fft


def field(rng, shape, scale, depth):
    """Complex Gaussian random field; real and imaginary part are independent, mean 0, deviation 1.

    Smooth over `scale` pixels within an image and over `depth` images across.
    """
    padded = shape[0] + 3 * depth, *shape[1:]     # the transform is periodic; the stack must not be
    fz, fy, fx = np.ix_(*(fft.fftfreq(n) for n in padded))
    transfer = np.exp(-2 * np.pi**2 * (scale**2 * (fy**2 + fx**2) + (depth * fz) ** 2))
    transfer *= np.sqrt(transfer.size / (transfer**2).sum())
    white = rng.standard_normal((*padded, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return fft.ifftn(white * transfer.astype(np.float32), norm="ortho")[: shape[0]]


def check(**arguments):
    """The values as Python integers, which do not overflow.

    TypeError or ValueError unless each `name=(value, least)` is an integer, `least` or more.
    """
    for name, (value, least) in arguments.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name}={value!r}: must be an integer; use a whole number >= {least}")
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}; use {least} or more")
    return [int(value) for value, _ in arguments.values()]
