"""The network of Fig. 1, drawn from `geometry.trace`."""

from itertools import pairwise
from typing import NamedTuple

from unet_edu import geometry
from unet_edu.teaching.drawing import DASHED, FONT, LINE, Drawing, head, path, rectangle, tag, text
from unet_edu.teaching.style import COLOURS

PITCH = 38  # from one feature map to the next; four digits fit between
LEFT = 20
LEGEND = 150  # room for it beside the bottom of the U, on either side
TALLEST = 88  # the input's height


class FeatureMap(NamedTuple):
    """A feature map, and its box: level from the top, middle and width (of a join: the right half's)."""

    stage: str
    channels: int  # a join's: of the skip and of the up-convolution
    size: int
    rising: bool  # on the expanding path
    level: int
    x: float
    width: float


class Row(NamedTuple):
    """The heights of a level: the line of its channels, the middle of its boxes, the line of its sizes, its scale."""

    top: float
    middle: float
    foot: float
    scale: float  # units for a pixel


def draw_network(input_size=572, depth=4, base_channels=64, in_channels=1, num_classes=2):
    """The network of Fig. 1 for an input of this side: all feature maps of `geometry.trace`, and what skips keep.

    Heights are in proportion within a level. Each level is enlarged by the square root of 2 against the one above it,
    and widths go with the square root of the channels, so that the deepest maps can still be seen.

    Returns
    -------
    Drawing : a notebook shows it as the last expression of a cell

    Raises
    ------
    ValueError : a size that a U-Net of this depth does not take, as `geometry.output_size` says
    """
    maps = feature_maps(input_size, depth, base_channels, in_channels, num_classes)
    rows = heights(maps)
    joins = skips(maps)
    width, bottom = maps[-1].x + LEFT, rows[-1].foot + 8
    parts = [text(2, FONT, "input", anchor="start"), text(width - 2, FONT, "logits", anchor="end")]
    parts += [part for source, join in joins for part in _copied(source, join, rows[join.level])]
    parts += [part for m in maps for part in _box(m, rows[m.level])]
    parts += [_frame(source, join, rows[join.level]) for source, join in joins]
    parts += [part for before, after in pairwise(maps) for part in _arrow(before, after, rows)]
    parts += _legend(width, bottom)
    return Drawing(
        parts, title=f"The network of Fig. 1 for an input of {input_size} x {input_size} pixels",
        alt=_told(maps, joins), width=width, height=bottom,
    )  # fmt: skip


def feature_maps(input_size, depth, base_channels, in_channels, num_classes):
    """The maps of the trace, each with its place: down from the left, up to the right, each level further in."""
    last = LEFT + (depth + 1) * PITCH  # where the deepest skip begins, and where it ends
    join = last + max(2.8 * PITCH, 2 * (LEGEND + PITCH + 15 - last))
    level, place, rising, maps = 0, -1, False, []
    for stage in geometry.trace(input_size, depth, base_channels):
        level += {"pooling": 1, "up-convolution": -1}.get(stage.stage, 0)
        place = 0 if stage.stage in ("pooling", "up-convolution") else place + 1
        rising = rising or stage.stage == "up-convolution"
        begin = join + (depth - 1 - level) * PITCH if rising else LEFT + level * PITCH
        if level == depth:
            begin = (last + join) / 2 - PITCH
        made = stage.channels or {"input": in_channels, "logits": num_classes}[stage.stage]
        width = max(3, 20 * (made / (base_channels * 2**depth)) ** 0.5)
        channels = 2 * made if stage.stage == "up-convolution" else made
        maps.append(FeatureMap(stage.stage, channels, stage.size, rising, level, begin + place * PITCH, width))
    return maps


def heights(maps):
    """A Row for each level."""
    rows, top = [], 20
    for level in range(max(m.level for m in maps) + 1):
        scale = TALLEST * 2 ** (level / 2) / maps[0].size
        tallest = scale * max(m.size for m in maps if m.level == level)
        rows.append(Row(top + FONT, top + FONT + 6 + tallest / 2, top + 2 * FONT + 8 + tallest, scale))
        top = rows[level].foot + 27
    return rows


def skips(maps):
    """Pairs of the map that is copied and the join it goes to, from the top of the U."""
    sources = [before for before, after in pairwise(maps) if after.stage == "pooling"]
    joins = [m for m in maps if m.stage == "up-convolution"]
    return list(zip(sources, reversed(joins), strict=True))


def _box(m, row):
    height = m.size * row.scale
    colour = COLOURS["expanding" if m.rising else "contracting"]
    colour = {"input": "none", "logits": COLOURS["accent"]}.get(m.stage, colour)
    made, left = m.channels, m.x - m.width / 2
    if m.stage == "up-convolution":  # the half on the left is the skip's
        made, left = f"{m.channels // 2} + {m.channels // 2} copied", m.x
    hint = tag("title", f"{m.stage}: {made} channels, {m.size} x {m.size} pixels")
    return [
        rectangle(left, row.middle - height / 2, m.width, height, hint, fill=colour, stroke="currentColor"),
        text(m.x, row.top, m.channels, data_shows="channels"),
        text(m.x, row.foot, m.size, data_shows="size"),
    ]


def _copied(source, join, row):
    """The way of the skip, as high as what is kept of it, and its half of the join."""
    height = join.size * row.scale
    top, begin, end = row.middle - height / 2, source.x + source.width / 2, join.x - join.width
    pale, y = {"fill": COLOURS["skip"], "fill_opacity": 0.28}, row.middle + 12
    return [
        rectangle(begin, top, end - begin, height, **pale),
        rectangle(end, top, join.width, height, **pale, stroke="currentColor", **DASHED),
        path("M", begin + 6, y, "H", end - 8, stroke=COLOURS["skip"], stroke_width=3),
        head(end - 2, y, "right", size=9, fill=COLOURS["skip"]),
        text((begin + end) / 2, row.middle + 2, f"{source.size} → {join.size}", data_shows="crop"),
    ]


def _frame(source, join, row):
    """What is kept of the map that is copied."""
    width, height = source.width + 8, join.size * row.scale
    return rectangle(source.x - width / 2, row.middle - height / 2, width, height, **LINE, **DASHED)


def _arrow(before, after, rows):
    row, below = rows[before.level], rows[after.level]
    if after.stage == "pooling":
        return _pooling(before.x, row.foot + 4, after.x, below.top - FONT)
    if after.stage == "up-convolution":
        return _up_convolution(before.x, row.top - FONT, after.x + after.width / 2, below.foot + 4)
    begin, end = before.x + before.width / 2 + 1.5, after.x - after.width / 2 - 1.5
    if before.stage == "up-convolution":
        begin += before.width / 2
    return _convolution(begin, end, row.middle, last=after.stage == "logits")


def _convolution(begin, end, y, last=False):
    style = {"stroke_dasharray": "2 2"} if last else {}
    return [path("M", begin, y, "H", end - 4, **style), head(end, y, "right")]


def _pooling(x, y, to_x, to_y):
    """A heavy arrow down."""
    return [_turning(x, y, to_x, to_y - 6, stroke_width=2.5), head(to_x, to_y, "down", size=8)]


def _up_convolution(x, y, to_x, to_y):
    """A hollow arrow up."""
    # The outer and the inner line turn at different heights, so that they stay side by side.
    lean = 1.6 if to_x < x else -1.6
    lines = [_turning(x + d, y, to_x + d, to_y + 8, lower=d * lean / 1.6) for d in (-1.6, 1.6)]
    return [*lines, head(to_x, to_y, "up", size=8, **LINE)]


def _turning(x, y, to_x, to_y, lower=0.0, **style):
    """A vertical line that changes sides half-way, with round corners."""
    half, down, right = (y + to_y) / 2 + lower, 1 if to_y > y else -1, 1 if to_x > x else -1
    r = min(5, abs(to_x - x) / 2)
    return path("M", x, y, "V", half - r * down, "Q", x, half, x + r * right, half, "H", to_x - r * right,
                "Q", to_x, half, to_x, half + r * down, "V", to_y, **style)  # fmt: skip


def _legend(width, bottom):
    """What the arrows mean, left and right of the bottom of the U."""
    lines = [bottom - 6 - 18 * k for k in (3, 2, 1, 0)]
    arrows = [
        (_convolution(4, 24, lines[0] - 4), "conv 3×3, ReLU"),
        (_pooling(14, lines[1] - 13, 14, lines[1] + 1), "max pool 2×2"),
        (_up_convolution(14, lines[2] + 1, 14, lines[2] - 13), "up-conv 2×2"),
        (_convolution(4, 24, lines[3] - 4, last=True), "conv 1×1"),
    ]
    parts = []
    for y, (arrow, words) in zip(lines, arrows, strict=True):
        parts += [*arrow, text(31, y, words, anchor="start")]
    x, y = width - 142, lines[0] - 4
    parts += [
        path("M", x - 27, y, "H", x - 13, stroke=COLOURS["skip"], stroke_width=3),
        head(x - 7, y, "right", size=9, fill=COLOURS["skip"]),
        rectangle(x - 23, lines[1] - 10, 12, 12, **LINE, **DASHED),
    ]
    words = "copy and crop", "what is kept", "above: channels", "below: side, pixels"
    parts += [text(x, y, line, anchor="start") for y, line in zip(lines, words, strict=True)]
    return parts


def _told(maps, joins):
    """The drawing in words."""
    told = ["A U of boxes, one for each feature map."]
    for level in range(max(m.level for m in maps) + 1):
        for rising, way in ((False, "down"), (True, "up")):
            here = [m for m in maps if (m.level, m.rising) == (level, rising)]
            boxes = ", ".join(f"{m.size} ({m.channels})" for m in here)
            told += [f"Level {level}, {way}: {boxes}."] if here else []
    told.append("Each number is the side of a map in pixels, its channels in brackets.")
    told += [f"Level {join.level}: a dashed frame of {join.size} in the map of {source.size}, and a gray band from it "
             "to the first map on the way up." for source, join in joins]  # fmt: skip
    return " ".join(told)
