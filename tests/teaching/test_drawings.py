"""The book's own drawings say what geometry says, and are read by everybody and every program."""

import re
from xml.etree import ElementTree

import pytest

from unet_edu import geometry
from unet_edu.teaching import draw_network, draw_overlap_tile

SVG = "{http://www.w3.org/2000/svg}"
NETWORKS = [(572, 4, 64), (188, 4, 64), (380, 4, 16), (572, 2, 64), (28, 1, 4), (764, 6, 8), (60, 2, 3)]
each_network = pytest.mark.parametrize(("size", "depth", "base"), NETWORKS)
drawings = pytest.mark.parametrize(
    "drawing",
    [draw_network(), draw_network(28, 1), draw_overlap_tile(), draw_overlap_tile(20, 2), draw_overlap_tile(52)],
)


def shown(drawing, what):
    """The texts that show this, in the order of the drawing."""
    return [e.text for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text") if e.get("data-shows") == what]


def words(drawing):
    return " ".join(e.text for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text"))


@each_network
def test_network_shows_every_size_and_channel_of_the_trace(size, depth, base):
    drawing, stages = draw_network(size, depth, base, in_channels=3, num_classes=5), geometry.trace(size, depth, base)
    assert shown(drawing, "size") == [str(stage.size) for stage in stages]
    joined = [2 * s.channels if s.stage == "up-convolution" else s.channels for s in stages[1:-1]]
    assert shown(drawing, "channels") == [str(channels) for channels in (3, *joined, 5)]


@each_network
def test_network_shows_what_each_skip_keeps(size, depth, base):
    stages = geometry.trace(size, depth, base)
    sources = [stages[k - 1].size for k, stage in enumerate(stages) if stage.stage == "pooling"]
    kept = [stage.size for stage in stages if stage.stage == "up-convolution"][::-1]
    crops = [f"{source} → {join}" for source, join in zip(sources, kept, strict=True)]
    assert len(crops) == depth
    assert shown(draw_network(size, depth, base), "crop") == crops


def boxes(drawing):
    """x, y, width and height of the box of each feature map."""
    found = [e for e in ElementTree.fromstring(drawing.svg).iter(f"{SVG}rect") if e.find(f"{SVG}title") is not None]
    return [tuple(float(e.get(key)) for key in ("x", "y", "width", "height")) for e in found]


@each_network
def test_boxes_of_a_level_are_in_proportion_and_apart(size, depth, base):
    stages, placed = geometry.trace(size, depth, base), boxes(draw_network(size, depth, base))
    level, scales = 0, {}
    for stage, (_, y, _, height) in zip(stages, placed, strict=True):
        level += {"pooling": 1, "up-convolution": -1}.get(stage.stage, 0)
        scales.setdefault(level, []).append((height / stage.size, y + height / 2))
    assert sorted(scales) == list(range(depth + 1))
    for level, pairs in scales.items():
        for scale, middle in pairs:
            assert scale == pytest.approx(pairs[0][0], abs=0.01)
            assert scale == pytest.approx(scales[0][0][0] * 2 ** (level / 2), abs=0.01)
            assert middle == pytest.approx(pairs[0][1], abs=0.02)
    for k, (x, y, width, height) in enumerate(placed):
        for x2, y2, width2, height2 in placed[:k]:
            assert x >= x2 + width2 or x2 >= x + width or y >= y2 + height2 or y2 >= y + height


def test_dashed_frames_are_as_high_as_what_they_keep():
    drawn = ElementTree.fromstring(draw_network().svg).iter(f"{SVG}rect")
    dashed = [float(e.get("height")) for e in drawn if e.get("fill") == "none" and e.get("stroke-dasharray")]
    joins = [k for k, s in enumerate(geometry.trace(572)) if s.stage == "up-convolution"]
    heights = [boxes(draw_network())[k][3] for k in reversed(joins)]
    assert dashed[:4] == heights


@each_network
def test_network_is_told_with_the_same_numbers(size, depth, base):
    alt = draw_network(size, depth, base).alt
    levels = re.findall(r"Level (\d+), (?:down|up): (.*?)\.", alt)
    told = [int(n) for _, boxes in levels for n in re.findall(r"(\d+) \(", boxes)]
    assert sorted(told) == sorted(stage.size for stage in geometry.trace(size, depth, base))
    assert alt.count("dashed frame") == depth


@pytest.mark.parametrize(("tile", "depth"), [(388, 4), (20, 4), (52, 4), (196, 4), (20, 2), (42, 1)])
def test_tiles_show_the_sizes_of_geometry(tile, depth):
    block = 2**depth
    step = tile - tile % block
    drawing = draw_overlap_tile(tile, depth)
    for saying in (f"input {geometry.input_size(tile, depth)}", f"output {tile}", f"step {step}", f"ends at {tile}",
                   f"begins at {step}", f"{step} = {step // block} × {block}"):  # fmt: skip
        assert saying in words(drawing)
    assert f" {geometry.margin(depth)} " in words(drawing)
    assert f"{tile - step or 'no'} pixels are" in words(drawing)
    assert f"begins at {step}, where a block begins" in drawing.alt


def test_tiles_are_to_scale():
    """The input window has its output in its middle, and the dashed neighbor lies a step to the right."""
    drawn = ElementTree.fromstring(draw_overlap_tile().svg).iter(f"{SVG}rect")
    blue, orange = ([e for e in squares if e.get("width") == e.get("height")] for squares in split_by_stroke(drawn))
    (next_input, one_input), (next_output, output) = blue, orange
    unit = float(one_input.get("width")) / 572
    for thing, other, pixels in ((output, one_input, 92), (next_output, next_input, 92), (next_output, output, 384)):
        assert float(thing.get("x")) - float(other.get("x")) == pytest.approx(pixels * unit, abs=0.02)
    assert float(output.get("width")) == pytest.approx(388 * unit, abs=0.02)
    assert all("stroke-dasharray" in square.attrib for square in (next_input, next_output))
    assert not any("stroke-dasharray" in square.attrib for square in (one_input, output))


def split_by_stroke(drawn):
    drawn = list(drawn)
    return ([e for e in drawn if e.get("stroke") == colour] for colour in ("#0072B2", "#E69F00"))


def test_bad_sizes_are_refused_as_geometry_does():
    network, tiles = (draw_network, geometry.output_size, 570), (draw_overlap_tile, geometry.checked_tile, 390)
    for draw, check, size in (network, tiles):
        with pytest.raises(ValueError, match="use") as ours:
            draw(size)
        with pytest.raises(ValueError, match="use") as theirs:
            check(size)
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match="output_tile=4: tiles must step by a multiple of 16; use 20 or more"):
        draw_overlap_tile(4)


@drawings
def test_drawing_is_described_and_takes_the_colors_of_its_page(drawing):
    root = ElementTree.fromstring(drawing.svg)
    assert [e.tag for e in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root.get("role") == "img"
    assert root[0].text
    assert root[1].text == drawing.alt
    assert drawing._repr_html_() == drawing.svg
    inks = {e.get(key) for e in root.iter() for key in ("fill", "stroke")} - {None}
    assert inks <= {"none", "currentColor", "#0072B2", "#E69F00", "#999999", "#CC79A7"}  # neither black nor white
    assert root.get("fill") == "currentColor"
    assert "<style" not in drawing.svg  # would reach beyond the drawing


@drawings
def test_nothing_is_drawn_outside(drawing):
    root = ElementTree.fromstring(drawing.svg)
    *_, width, height = map(float, root.get("viewBox").split())
    for e in root.iter(f"{SVG}text"):
        x, wide = float(e.get("x")), 7.5 * len(e.text)  # units, on average, of a digit or letter
        begin = x - {"start": 0, "middle": wide / 2, "end": wide}[e.get("text-anchor")]
        assert begin >= -1, e.text
        assert begin + wide <= width + 1, e.text
        assert 0 <= float(e.get("y")) <= height, e.text


def test_drawings_are_the_same_every_time():
    assert draw_network().svg == draw_network().svg
    assert draw_overlap_tile().svg == draw_overlap_tile().svg
    assert draw_network().svg != draw_network(588).svg
