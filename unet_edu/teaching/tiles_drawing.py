"""The overlap-tile of Fig. 2, drawn from `geometry` and `tiling`."""

from itertools import product

import numpy as np
from scipy.spatial import Voronoi

from unet_edu import geometry, tiling
from unet_edu.teaching.drawing import LINE, Drawing, dimension, path, rectangle, tag, text
from unet_edu.teaching.style import COLOURS

WIDTH = 496
INPUT = {"stroke": COLOURS["contracting"], "stroke_width": 2.5, "fill": COLOURS["contracting"], "fill_opacity": 0.1}
OUTPUT = {"stroke": COLOURS["expanding"], "stroke_width": 4, "fill": COLOURS["expanding"], "fill_opacity": 0.25}


def draw_overlap_tile(output_tile=388, depth=4):
    """The overlap-tile of Fig. 2: two neighboring tiles on an image with its mirrored margin, and where they meet.

    The image is as large as three by two tiles, its cells are drawn at random. All lengths are to scale.

    Returns
    -------
    Drawing : a notebook shows it as the last expression of a cell

    Raises
    ------
    ValueError : a side that no logits of this depth have, or too small a one to step from tile to tile
    """
    tile = geometry.checked_tile(output_tile, depth)
    window, margin, step = geometry.input_size(tile, depth), geometry.margin(depth), tiling.step(tile, depth)
    if not step:
        raise ValueError(
            f"output_tile={tile}: tiles must step by a multiple of {2**depth}; use {tile + 2**depth} or more"
        )
    width, height = 2 * step + tile, step + tile
    scale = (WIDTH - 2) / (width + 2 * margin)
    place = _Place(1 + margin * scale, 30 + margin * scale, scale)
    parts = [*_image(place, width, height, margin), *_tiles(place, tile, window, margin, step)]
    bottom = place.y(height + margin) + 1
    parts += _seam(place, tile, step, depth, bottom)
    alt = (
        f"An image of {width} x {height} pixels in a dotted frame, continued by {margin} mirrored, paler pixels on "
        f"every side. A large blue square, the input window of {window} pixels, reaches into the mirrored margin; in "
        f"its middle a yellow square, the output of {tile} pixels that begins at the corner of the image. Dashed, the "
        f"same for the next tile, {step} pixels to the right. Below, enlarged, where the outputs meet: blocks of "
        f"{2**depth} pixels; the next tile begins at {step}, where a block begins, the first one ends at {tile}; the "
        f"{tile - step} pixels between are hatched."
    )
    return Drawing(
        parts, title=f"The overlap-tile of Fig. 2 with outputs of {tile} x {tile} pixels", alt=alt,
        width=WIDTH, height=bottom + 136,
    )  # fmt: skip


class _Place:
    """From pixels of the image to units of the drawing."""

    def __init__(self, left, top, scale):
        self.left, self.top, self.scale = left, top, scale

    def x(self, pixel):
        return self.left + self.scale * pixel

    def y(self, pixel):
        return self.top + self.scale * pixel

    def square(self, x, y, side, **style):
        return rectangle(self.x(x), self.y(y), self.scale * side, self.scale * side, **style)


def _image(place, width, height, margin):
    """Cells in the frame of the image; beyond it, paler, their mirror image."""
    name = f"cells-{width}-{height}"
    size, tissue = {"width": width, "height": height}, _cells(width, height, 1 / place.scale)
    symbol = tag("symbol", tissue, id=name, viewBox=f"0 0 {width} {height}", **size)  # cuts at the border
    mirrors = [  # about the middle of the border pixels, which are not repeated
        tag("use", href=f"#{name}", transform=f"translate({x} {y}) scale({across} {down})", **size)
        for (across, x), (down, y) in product(_mirrors(width), _mirrors(height))
        if (x, y) != (0, 0)
    ]
    around = {"x": place.x(-margin), "y": place.y(-margin)}
    around |= {side: (length + 2 * margin) * place.scale for side, length in size.items()}
    frame = {side: length * place.scale for side, length in size.items()}
    view = f"{-margin} {-margin} {width + 2 * margin} {height + 2 * margin}"
    image = tag("use", href=f"#{name}", **size)
    return [
        tag("svg", symbol, tag("g", *mirrors, opacity=0.45), image, viewBox=view, **around),
        rectangle(place.x(0), place.y(0), **frame, **LINE, stroke_dasharray="1.5 2.5"),
    ]


def _mirrors(length):
    """Direction and shift of an axis that is mirrored at its begin, as it is, and mirrored at its end."""
    return (-1, 1), (1, 0), (-1, 2 * length - 1)


def _cells(width, height, unit):
    """Random polygons that cover the image, in its pixels, of which `unit` are a unit of the drawing."""
    rng, spacing = np.random.default_rng(7), 47 * unit
    seeds = np.mgrid[-2 : width / spacing + 2, -2 : height / spacing + 2].reshape(2, -1).T
    diagram = Voronoi((seeds + rng.uniform(-0.42, 0.42, seeds.shape)) * spacing)
    parts = []
    for region in diagram.regions:
        corners = diagram.vertices[region]
        if region and -1 not in region and (corners.max(0) > 0).all() and (corners.min(0) < (width, height)).all():
            line = [step for corner in corners.tolist() for step in ("L", *corner)]
            style = {"fill_opacity": rng.choice([0, 0.06, 0.16]), "stroke_opacity": 0.4}
            parts.append(path("M", *line[1:], "Z", fill="currentColor", stroke_width=1.5 * unit, **style))
    return "".join(parts)


def _tiles(place, tile, window, margin, step):
    """Input and output of the first tile and, dashed, of its neighbor."""
    parts = []
    for left, style in ((step, {"stroke_dasharray": "7 4"}), (0, {})):
        parts.append(place.square(left - margin, -margin, window, **INPUT, **style))
        parts.append(place.square(left, 0, tile, **OUTPUT, **style))
        parts.append(place.square(left, 0, tile, **LINE, **style))  # seen without color, too
    bold = {"font_weight": "bold"}
    parts += dimension(place.x(-margin), place.x(window - margin), place.y(-margin) - 9, f"input {window}", **bold)
    parts += dimension(place.x(0), place.x(tile), place.y(0.3 * tile), f"output {tile}", **bold)
    parts += dimension(place.x(0), place.x(step), place.y(0.65 * tile), f"step {step}", **bold)
    parts += dimension(place.x(-margin), place.x(0), place.y(0.9 * tile), margin, **bold)
    corner = place.x(2 * step + tile) - 8
    parts.append(text(corner, place.y(step + tile) - 8, "image", anchor="end", **bold))
    parts.append(text(corner, place.y(step + tile) + 22, "mirrored", anchor="end", **bold))
    return parts


def _seam(place, tile, step, depth, top):
    """Where the two outputs meet, enlarged, over the blocks of pixels that the poolings make."""
    block, y, row = 2**depth, top + 46, 26
    seam, unit = place.x(step), 240 / (3 * block)
    begin, end = seam - 120, seam + 120
    ends = seam + (tile - step) * unit
    meeting = place.y(tile)
    parts = [
        path("M", seam - 3, meeting, "L", begin, y - 4, "M", seam + 4, meeting, "L", end, y - 4, opacity=0.5),
        rectangle(begin, y, ends - begin, row, **OUTPUT | {"stroke": "none"}),
        rectangle(seam, y + row, end - seam, row, **OUTPUT | {"stroke": "none"}),
        path("M", begin, y, "H", ends, "V", y + row, "H", begin),
        path("M", end, y + row, "H", seam, "V", y + 2 * row, "H", end, stroke_dasharray="7 4"),
        text(ends + 8, y + 18, f"ends at {tile}", anchor="start"),
        text(seam - 8, y + row + 18, f"begins at {step}", anchor="end"),
    ]
    for count, top, bottom in ((-1, y, y + row), (0, y, y + 2 * row), (1, y + row, y + 2 * row)):
        x = seam + count * block * unit
        parts.append(path("M", x, top - 5, "V", bottom + 5, stroke_dasharray="1.5 2.5"))
    parts += dimension(seam, seam + block * unit, y + 2 * row + 14, block, above=False)
    hatch = [part for x in np.arange(seam, ends - 1, 5) for part in ("M", x, y + 2 * row, "L", min(x + 5, ends), y)]
    parts.append(path(*hatch, stroke_width=0.8))
    twice, blocks = f"{tile - step or 'no'} pixels are", f"{step} = {step // block} × {block}"
    words = twice, "computed twice;", blocks, "keeps the blocks", "of the poolings"
    parts += [text(end + 16, y - 4 + 17 * k, line, anchor="start") for k, line in enumerate(words)]
    return parts
