"""Drawn cell culture: sequences that look like the touching, textured cells of Table 2, with a truth known exactly.

The thickness of every cell is drawn first, its organelles included; the microscope shows where it changes.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from unet_edu.synthetic.texture import check, field

MARGIN = 60             # px; cells centered outside the image reach into it, and wander in
AREA_PER_CELL = 8000    # px; leaves about 12 cells in 256 x 256, half of it background
SPECK = 120             # px; a cell of which less is seen is left out
LIGHT = 0.64, 0.76      # y and x of the direction in which a slope upward looks bright


class Cells(NamedTuple):
    """Cells that creep through the frames, one entry each; positions in pixels are complex, x + iy."""

    center: np.ndarray   # (n,) in the first frame
    step: np.ndarray     # (n,) from frame to frame
    radius: np.ndarray   # (n,) mean radius
    angle: np.ndarray    # (n,) of its own axes, radians
    turn: np.ndarray     # (n,) from frame to frame
    lobes: np.ndarray    # (n, 3) of two, three and four-fold symmetry: part of the radius, and where they point
    nucleus: np.ndarray  # (n,) its center from that of the cell
    squash: np.ndarray   # (n,) long over short axis of the nucleus
    height: np.ndarray   # (n,) optical thickness of the body
    grains: np.ndarray   # (n,) how thick its granules are
    drops: np.ndarray    # (n,) how many dark droplets it holds


def cells(frames=12, size=256, seed=0):
    """Frames of one sequence of a drawn cell culture, and their exact segmentation.

    Parameters
    ----------
    frames : number of frames, >= 1; cells creep, turn and change their shape from each to the next
    size : height and width in pixels, >= 32; a cell is about 65 wide
    seed : >= 0; determines every pixel

    Returns
    -------
    images : (frames, size, size) uint8 gray levels
    instances : (frames, size, size) int32, 0 = background, one id per cell, the same in all frames. In a
        frame every id is one 4-connected component; many touch with no background between them.

    Raises
    ------
    TypeError : an argument is not an integer
    ValueError : frames < 1, size < 32, seed < 0
    """
    frames, size, seed = check(frames=(frames, 1), size=(size, 32), seed=(seed, 0))
    rng = np.random.default_rng(seed)
    shape = frames, size, size
    culture = seeded(rng, size)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    place = x + 1j * y + 1.5 * field(rng, shape, 11, 4) + 0.4 * field(rng, shape, 2.5, 2)
    sight = field(rng, shape, 18, 3)    # real part: how well a border is seen; imaginary part: fringes
    textures = [field(rng, (1, 256, 256), scale, 0)[0] for scale in (0.5, 1.6, 8)]
    droplets = 6 * ndimage.gaussian_filter(np.float32(rng.random((256, 256)) < 1 / 90), 1, mode="wrap")

    images, instances = np.empty(shape, np.uint8), np.empty(shape, np.int32)
    for t in range(frames):
        instances[t] = occupy(culture, place[t], t)
        patterns = *((texture * np.exp(0.3j * t)).real for texture in textures), droplets  # they drift and fade
        images[t] = expose(rng, thickness(culture, instances[t], place[t], t, patterns, sight[t]))
    return images, instances


def seeded(rng, size):
    """Cells for the image and its margin: most against their neighbours, the others with room around."""
    n = -(-((size + 2 * MARGIN) ** 2) // AREA_PER_CELL)
    radius = np.clip(rng.normal(33, 4, n), 24, 42)
    round_up = rng.random(n) < 0.07     # before they divide
    radius[round_up] = 20
    center = np.empty(n, complex)
    for i in range(n):
        candidates = rng.uniform(-MARGIN, size + MARGIN, (60, 2)) @ (1, 1j)
        room = np.abs(candidates[:, None] - center[:i]) / (radius[i] + radius[:i])
        wanted = 0.87 if rng.random() < 0.85 else 1.5
        center[i] = candidates[np.argmin(np.abs(room.min(axis=1, initial=9) - wanted))]
    lobes = rng.uniform(0.04, (0.36, 0.26, 0.12), (n, 3)) * np.exp(2j * np.pi * rng.random((n, 3)))
    lobes[round_up] = 0
    return Cells(
        center=center,
        step=rng.normal(0, 1.8, (n, 2)) @ (1, 1j),
        radius=radius,
        angle=rng.uniform(0, 2 * np.pi, n),
        turn=rng.normal(0, 0.04, n),
        lobes=lobes,
        nucleus=(rng.normal(0, 0.12, (n, 2)) @ (1, 1j)) * radius,
        squash=np.where(round_up, 6, rng.uniform(1.1, 1.6, n)),
        height=np.where(round_up, 5, rng.uniform(0.5, 1.1, n)),
        grains=rng.uniform(0.3, 0.9, n),
        drops=rng.uniform(-1.2, 0.8, n),
    )


def local(culture, i, place, t):
    """Position in the axes of cell `i` in frame t, from its center."""
    turned = np.exp(-1j * (culture.angle + culture.turn * t)).astype(np.complex64)
    return (place - (culture.center + culture.step * t).astype(np.complex64)[i]) * turned[i]


def occupy(culture, place, t):
    """Instances (H, W) int32: each pixel belongs to the cell in whose outline it lies deepest."""
    deepest = np.zeros(place.shape, np.float32)
    owner = np.zeros(place.shape, np.int32)
    for i, radius in enumerate(culture.radius.astype(np.float32)):
        p = local(culture, i, place, t)
        r = np.abs(p) + np.float32(1e-3)
        p /= r                          # its powers are the lobes: no angle is needed
        two, three, four = (culture.lobes[i] * np.exp(0.15j * t)).astype(np.complex64)
        depth = radius - r * (1 - (p * p * (two + p * (three + p * four))).real)
        owner[depth > deepest] = i + 1
        deepest = np.maximum(deepest, depth)
    for i in np.unique(owner[owner > 0]):
        pieces = ndimage.label(owner == i)[0]
        area = np.bincount(pieces.ravel())[1:]
        kept = area.argmax() + 1 if area.max() >= min(SPECK, owner.size // 100) else 0
        owner[(pieces > 0) & (pieces != kept)] = 0
    return owner


def thickness(culture, instances, place, t, patterns, sight):
    """Optical thickness (H, W) of the cells and of the fringes around them."""
    inside = instances > 0
    i = np.maximum(instances - 1, 0)
    p = local(culture, i, place, t)
    frame = p.imag + 61 * i, p.real + 97 * i    # no two cells with the same pattern
    fine, coarse, cloud, droplets = (
        ndimage.map_coordinates(pattern, frame, order=1, mode="grid-wrap") for pattern in patterns
    )
    seen = np.clip(0.35 + 0.6 * sight.real, 0, 1.2)
    inner = inside & (ndimage.maximum_filter(instances, 3) == ndimage.minimum_filter(instances, 3))
    clearance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inner) + inside, 0.8)    # no staircase
    outline = culture.height[i] * (1 - np.exp(-clearance / 4)) * (0.3 + seen)
    outline += 1.1 * seen * np.exp(-(((clearance - 1) / 1.3) ** 2))

    q = p - culture.nucleus[i].astype(np.complex64)
    squash = np.sqrt(culture.squash)[i]
    nuclear = 0.45 * culture.radius[i] - np.hypot(q.real / squash, q.imag * squash)     # px from its rim
    nucleus = np.clip(nuclear / 2 + 0.5, 0, 1)
    nucleoli = nucleus * np.clip(coarse - 1.3, 0, 1)
    cytoplasm = np.clip((clearance - 1) / (2 + 5 * seen), 0, 1) * (1 - 0.6 * nucleus)
    organelles = 0.3 * nucleus + 0.4 * np.exp(-((nuclear / 1.2) ** 2)) + nucleoli
    organelles += culture.grains[i] * cytoplasm * (0.5 * fine + 0.14 * coarse)
    organelles -= 3 * cytoplasm * droplets * np.clip(cloud + culture.drops[i], 0, 1)

    outside = ndimage.distance_transform_edt(~inside)
    fringe = 0.6 * np.exp(-outside / 4) * np.clip(sight.imag, 0, 2) * coarse
    return ndimage.gaussian_filter(np.where(inside, outline, fringe), 0.75) + organelles * inside


def expose(rng, thickness):
    """The picture (H, W) uint8 of a thickness: its slope toward the light and, as if out of focus, its curvature."""
    light, grain, sharp = (field(rng, (1, *thickness.shape), scale, 0)[0].real for scale in (60, 0.7, 0.3))
    relief = ndimage.gaussian_filter(thickness, 0.5)
    dy, dx = np.gradient(relief)
    curved = relief - ndimage.gaussian_filter(thickness, 3)
    gray = 118 + 28 * (LIGHT[0] * dy + LIGHT[1] * dx) + 42 * curved + 2 * light + 1.3 * grain + 1.4 * sharp
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)
