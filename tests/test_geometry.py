import subprocess
import sys

import pytest
import torch

from unet_edu import geometry
from unet_edu.model import UNet

FIGURE_1 = (
    "572 570 568 284 282 280 140 138 136 68 66 64 32 30 28 "  # down
    "56 54 52 104 102 100 200 198 196 392 390 388 388"  # up, and the logits
)
DEPTHS = [1, 2, 3, 4, 5]


def test_every_size_of_figure_1():
    assert " ".join(str(stage.size) for stage in geometry.trace(572)) == FIGURE_1


def test_channels_of_figure_1():
    down = [64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512, 1024, 1024]
    up = [512, 512, 512, 256, 256, 256, 128, 128, 128, 64, 64, 64]
    assert [stage.channels for stage in geometry.trace(572)] == [None, *down, *up, None]


def test_twenty_three_convolutional_layers():
    kinds = [stage.stage for stage in geometry.trace(572)]
    assert kinds.count("convolution") + kinds.count("up-convolution") + kinds.count("logits") == 23


@pytest.mark.parametrize("depth", DEPTHS)
def test_trace_equals_what_a_forward_pass_makes(depth, monkeypatch):
    model = UNet(3, 2, base_channels=2, depth=depth)
    seen = []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    pool = torch.nn.functional.max_pool2d

    def pool_and_note(x, *arguments):
        seen.append(pool(x, *arguments).shape)
        return pool(x, *arguments)

    monkeypatch.setattr(torch.nn.functional, "max_pool2d", pool_and_note)
    size = geometry.smallest_input(depth) + 2 * 2**depth
    model(torch.zeros(1, 3, size, size))
    stages = geometry.trace(size, depth, base_channels=2)[1:]
    assert [(stage.channels or 2, stage.size, stage.size) for stage in stages] == [tuple(s[1:]) for s in seen]


@pytest.mark.parametrize("depth", DEPTHS)
def test_sizes_against_the_chain_of_layers(depth):
    """A size is valid exactly if no pooling meets an odd size and something is left."""

    def chain(size):
        for _ in range(depth):
            size -= 4
            if size % 2 or size <= 0:
                return None
            size //= 2
        size -= 4
        for _ in range(depth):
            size = 2 * size - 4
        return size if size > 0 else None

    valid = {size: chain(size) for size in range(1, 900) if chain(size)}
    for size in range(1, 900 - 2**depth):
        if size in valid:
            assert geometry.output_size(size, depth) == valid[size] == size - 2 * geometry.margin(depth)
        else:
            near = [max((v for v in valid if v < size), default=None), min(v for v in valid if v > size)]
            with pytest.raises(ValueError, match=f"{size}.*{' or '.join(str(v) for v in near if v)}"):
                geometry.output_size(size, depth)


def test_the_error_names_both_neighbours():
    with pytest.raises(ValueError, match=r"input_size=570: .* use 556 or 572"):
        geometry.output_size(570)
    with pytest.raises(ValueError, match="use 188 or more"):
        geometry.output_size(187)


@pytest.mark.parametrize("depth", DEPTHS)
def test_input_size_is_the_smallest_that_covers(depth):
    for wanted in range(1, 200):
        size = geometry.input_size(wanted, depth)
        assert geometry.output_size(size, depth) >= wanted
        if size > geometry.smallest_input(depth):
            assert geometry.output_size(size - 2**depth, depth) < wanted


def test_examples_of_the_paper():
    assert geometry.margin() == 92
    assert geometry.output_size(572) == 388
    assert (geometry.input_size(388), geometry.input_size(389)) == (572, 588)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_receptive_window_is_where_the_gradient_is(depth):
    torch.manual_seed(0)
    model = UNet(base_channels=2, depth=depth, dropout=0).double()
    for weight in model.parameters():
        weight.data = weight.data.abs() + 0.01  # nothing is cancelled or cut off by a ReLU
    size = geometry.input_size(2**depth, depth)
    for position in range(2**depth):
        reached = torch.zeros(size, dtype=torch.bool)
        for _ in range(12):  # a pooling hands the gradient to one of four; chance reaches them all
            image = torch.rand(1, 1, size, size, dtype=torch.double, requires_grad=True)
            model(image)[0, 0, position, position].backward()
            reached |= image.grad[0, 0].abs().sum(1) > 0
        first, last = geometry.receptive_window(position, depth)
        assert reached.nonzero().flatten()[[0, -1]].tolist() == [first, last]


def test_receptive_field_depends_on_the_phase():
    widths = {last - first + 1 for first, last in map(geometry.receptive_window, range(16))}
    assert widths == {188, 204}
    assert geometry.receptive_field() == 204


def test_bad_arguments():
    for call in (geometry.margin, lambda d: geometry.output_size(572, d), geometry.receptive_field):
        with pytest.raises(ValueError, match="depth=0"):
            call(0)
    with pytest.raises(TypeError):
        geometry.output_size(572.0)
    with pytest.raises(ValueError, match="output_size=0"):
        geometry.input_size(0)


def test_geometry_does_not_load_torch():
    code = "import sys, unet_edu.geometry; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tiles_that_are_sizes_of_logits():
    assert [geometry.checked_tile(size) for size in (4, 20, 388)] == [4, 20, 388]
    with pytest.raises(ValueError, match="output_tile=390: .* use 388 or 404"):
        geometry.checked_tile(390)
    with pytest.raises(ValueError, match="use 4$"):
        geometry.checked_tile(3)


def test_trace_refuses_what_output_size_refuses():
    with pytest.raises(ValueError, match="use 556 or 572"):
        geometry.trace(570)
