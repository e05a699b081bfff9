"""Drawn tissue: a stack that looks like the electron micrographs of Sec. 4, with a truth known exactly.

The challenge's slices may not be redistributed, and labels drawn by hand err. Here the truth comes first:
neurites compete for space, membrane is what lies between them, and the micrograph is drawn from both.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from unet_edu.synthetic.texture import check, field

MARGIN = 48                 # px; neurites centred outside the image reach into it
AREA_PER_NEURITE = 1900     # px; leaves about 40 profiles in 256 x 256, nearly as many as in the challenge
SPECK = 30                  # px; a smaller profile becomes membrane, as in labels drawn by hand
MEMBRANE = 0.185, 0.24      # share of a slice; the challenge's labels have 0.17 to 0.27


class Neurites(NamedTuple):
    """Cell processes that run through the slices, one row each; lengths in pixels, angles in radians."""

    centre: np.ndarray      # (n, 2) x and y, around which the profile moves from slice to slice,
    sway: np.ndarray        # (n, 2) this far,
    period: np.ndarray      # (n,) in so many slices,
    phase: np.ndarray       # (n,) starting here
    radius: np.ndarray      # (n,) short semi-axis of the profile
    aspect: np.ndarray      # (n,) long over short semi-axis
    angle: np.ndarray       # (n,) of the long axis
    tone: np.ndarray        # (n,) grey level of the cytoplasm
    vesicles: np.ndarray    # (n,) how dark they are, 0 to 1
    mitochondrion: np.ndarray  # (n,) its short semi-axis, 0 for none


def membranes(slices=12, size=256, seed=0):
    """Consecutive sections of drawn neuropil, and their exact segmentation.

    Parameters
    ----------
    slices : number of sections, >= 1; neighbours show the same tissue, the later half has more grain
    size : height and width in pixels of 4 nm, >= 32
    seed : >= 0; determines every pixel

    Returns
    -------
    images : (slices, size, size) uint8 grey levels
    instances : (slices, size, size) int32, 0 = membrane, one id per cell. In a slice every id is one
        4-connected component and no two ids touch. A neurite keeps its id from slice to slice;
        where it has several profiles, the smaller ones get ids that hold in that slice only.

    Raises
    ------
    TypeError : an argument is not an integer
    ValueError : slices < 1, size < 32, seed < 0
    """
    slices, size, seed = check(slices=(slices, 1), size=(size, 32), seed=(seed, 0))
    rng = np.random.default_rng(seed)
    shape = slices, size, size
    neurites = grow(rng, size)
    bend = 12 * field(rng, shape, 40, 6) + 5 * field(rng, shape, 15, 5) + 1.2 * field(rng, shape, 5, 2)
    cut = field(rng, shape, 22, 2)      # real part: cut at a slant; imaginary part: synaptic density
    half_width = 1.5 * np.exp(0.2 * field(rng, shape, 12, 2).real) * (1 + np.clip(cut.imag - 1.6, 0, 1))
    tubules = rings(rng, (256, 256), 1 / 220, 1.3, 2.0)

    images, instances = np.empty(shape, np.uint8), np.empty(shape, np.int32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    for z in range(slices):
        place = x + bend[z].real, y + bend[z].imag
        owner, gap = partition(neurites, place, z)
        instances[z], ratio = separate(owner, gap / half_width[z])
        clearance = ndimage.distance_transform_edt(instances[z] > 0)
        frame = local(neurites, owner, place, z)
        grey = cytoplasm(rng, neurites, owner, frame, clearance, tubules)
        grey = mitochondria(neurites, owner, frame, clearance, z, grey)
        images[z] = expose(rng, stain(grey, ratio, clearance, cut[z]), noisy=2 * z >= slices)
    return images, instances


def grow(rng, size):
    """Neurites for the image and its margin: the large first, each where it finds most room."""
    n = -(-((size + 2 * MARGIN) ** 2) // AREA_PER_NEURITE)
    radius = np.sort(np.clip(11 * np.exp(0.85 * rng.standard_normal(n)), 3, 60))[::-1]
    centre = np.empty((n, 2))
    for i in range(n):
        candidates = rng.uniform(-MARGIN, size + MARGIN, (12, 2))
        room = np.linalg.norm(candidates[:, None] - centre[:i], axis=-1) - radius[:i]
        centre[i] = candidates[np.argmax(room.min(axis=1, initial=np.inf))]
    has_mitochondrion = (radius > 14) & (rng.random(n) < 0.3)
    return Neurites(
        centre=centre,
        sway=rng.normal(0, 7, (n, 2)),
        period=rng.uniform(14, 40, n),
        phase=rng.uniform(0, 2 * np.pi, n),
        radius=radius,
        aspect=np.exp(np.abs(rng.normal(0, 0.45, n))),
        angle=rng.normal(0.6, 0.6, n),
        tone=168 + 8 * rng.standard_normal(n) - 30 * (rng.random(n) < 0.08),
        vesicles=rng.uniform(0.1, 0.8, n),
        mitochondrion=has_mitochondrion * np.clip(0.6 * radius, 9, 28),
    )


def local(neurites, i, place, z):
    """Coordinates along and across the long axis of neurite `i`, from its centre in slice z."""
    turn = 2 * np.pi * z / neurites.period[i] + neurites.phase[i]
    centre, sway, angle = neurites.centre[i], neurites.sway[i], neurites.angle[i]
    x = place[0] - np.float32(centre[..., 0] + sway[..., 0] * np.sin(turn))
    y = place[1] - np.float32(centre[..., 1] + sway[..., 1] * np.cos(turn))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def partition(neurites, place, z):
    """Nearest neurite of every pixel, and the distance in pixels to the border with the second nearest.

    Nearest by the distance to its rim, not to its centre: between large and small, borders are curves.
    """
    first = second = np.full(place[0].shape, np.inf, np.float32)
    owner = np.zeros(first.shape, np.int32)
    swell = 1 + 0.25 * np.sin(4 * np.pi * z / neurites.period + 2 * neurites.phase)
    for i, radius in enumerate(np.float32(swell * neurites.radius)):
        along, across = local(neurites, i, place, z)
        rim = np.hypot(along / np.float32(neurites.aspect[i]), across) - radius
        second = np.minimum(second, np.maximum(first, rim))
        owner[rim < first] = i
        first = np.minimum(first, rim)
    gap = second - first
    slope = ndimage.maximum_filter(np.hypot(*np.gradient(gap)), 5)    # the border itself is a kink: slope 0
    rounded = ndimage.gaussian_filter(gap / np.maximum(slope, 0.3), 1.8)      # cells have no sharp corners,
    return owner, np.maximum(rounded - 1.2, 0.01)                     # and rounding lifts the border by 1.2


def separate(owner, ratio):
    """Cells of one slice, and the distance to the border over half the width of the membrane there.

    A slice with too much or too little membrane has all its widths scaled.
    """
    share = np.clip((ratio < 1).mean(), *MEMBRANE)
    ratio = ratio / np.quantile(ratio, share)
    border = np.zeros(owner.shape, bool)          # also where the membrane is thinner than a pixel
    border[1:] |= owner[1:] != owner[:-1]
    border[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    profile, n = ndimage.label((ratio >= 1) & ~border)
    area = np.bincount(profile.ravel(), minlength=n + 1)
    ids = np.zeros(n + 1, np.int32)
    ids[profile] = owner + 1                      # a profile has one owner, for borders are cut
    ids[(area < min(SPECK, owner.size // 100)) | (np.arange(n + 1) == 0)] = 0
    seen, spare = {0}, owner.max() + 2
    for k in np.argsort(-area, kind="stable"):    # the largest profile keeps the neurite's id
        if ids[k] in seen and ids[k] > 0:
            ids[k], spare = spare, spare + 1
        seen.add(ids[k])
    instances = ids[profile]
    return instances, np.where(instances == 0, np.minimum(ratio, 1), ratio)


def rings(rng, shape, density, smallest, largest):
    """Dark rings scattered over an image, 0 = none to 1 = darkest: vesicles, microtubules cut across.

    `density` counts them per pixel; `smallest` and `largest` bound their radius in pixels.
    """
    n = rng.poisson(density * shape[0] * shape[1])
    y, x = rng.uniform(0, shape[0], (n, 1, 1)), rng.uniform(0, shape[1], (n, 1, 1))
    radius, stretch = rng.uniform(smallest, largest, (n, 1, 1)), np.exp(rng.normal(0, 0.16, (n, 1, 1)))
    dy, dx = np.mgrid[-8:9, -8:9]
    rows, columns = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
    r = np.hypot((rows - y) * stretch, (columns - x) / stretch)
    wall, lumen = np.exp(-(((r - radius) / 1.1) ** 2)), rng.uniform(0, 0.7, (n, 1, 1)) * (r < radius)
    image = np.zeros(shape)
    darkness = rng.uniform(0.2, 1, (n, 1, 1)) * np.maximum(wall, lumen)
    np.maximum.at(image, (rows % shape[0], columns % shape[1]), darkness)
    return image


def cytoplasm(rng, neurites, owner, frame, clearance, tubules):
    """Grey levels of the cells with microtubules and vesicles, both kept off the membrane."""
    along, across = frame
    streak = np.where(neurites.aspect > 2, 8, 1)[owner]         # in a long neurite tubules lie in the slice
    frame = across + 61 * owner, along / streak + 61 * owner     # no two cells with the same pattern
    dots = ndimage.map_coordinates(tubules, frame, order=1, mode="grid-wrap")
    vesicles = rings(rng, owner.shape, 1 / 110, 2.8, 4.8)       # anew: thinner than the step between slices
    return neurites.tone[owner] - np.clip((clearance - 2) / 3, 0, 1) * (
        115 * dots + 150 * neurites.vesicles[owner] * vesicles
    )


def mitochondria(neurites, owner, frame, clearance, z, grey):
    """`grey` with mitochondria: as dark as membrane, striped by cristae, in a bright halo."""
    along, across = frame
    extent = np.cos(2 * np.pi * z / (1.5 * neurites.period) + 3 * neurites.phase)[owner]
    present = (neurites.mitochondrion[owner] > 0) & (extent > 0)
    semi_axis = neurites.mitochondrion[owner] * np.sqrt(np.maximum(extent, 0)) + 2
    inside = semi_axis - np.hypot(along / 1.4, across)          # px from its rim
    room = ndimage.gaussian_filter(clearance, 3) - 4
    inside = np.where(present, -3 * np.logaddexp(-inside / 3, -room / 3), -9)    # a smooth minimum
    cristae = np.sin(across + 1.5 * np.sin(along / 6)) * np.clip((inside - 3) / 2, 0, 1)
    body = 88 + 24 * cristae - 25 * np.exp(-(((inside - 1) / 1.5) ** 2))
    grey = grey + 14 * np.exp(-(((inside + 3) / 2) ** 2))
    return grey + np.clip(inside + 0.5, 0, 1) * (body - grey)


def stain(grey, ratio, clearance, cut):
    """`grey` with the membranes, pale and wide where cut at a slant, and synapses, dark beyond them."""
    slant, synapse = np.clip(cut.real - 0.5, 0, 1), np.clip(cut.imag - 1.5, 0, 0.8)
    grey = grey - (104 - 40 * slant) * np.exp(-(1.5 - 0.8 * slant) * ratio**2)
    return grey - 42 * synapse * np.exp(-((clearance / 6) ** 2))


def expose(rng, grey, noisy):
    """The micrograph (H, W) uint8 of clean grey levels: blur, uneven light, contrast, correlated grain."""
    scales = 70, 4, 0.95, 0.4                                   # px
    light, cloud, grain, sharp = (field(rng, (1, *grey.shape), scale, 0)[0].real for scale in scales)
    grain = 7 * cloud + 17 * grain + (18 if noisy else 4) * sharp
    contrast, brightness = rng.uniform(0.9, 1.1), rng.uniform(-12, 5)
    grey = 128 + contrast * (ndimage.gaussian_filter(grey, 0.6) - 128 + grain) + 12 * light + brightness
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
