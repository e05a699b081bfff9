import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from unet_edu import geometry, tiling
from unet_edu.model import UNet
from unet_edu.tiling import predict

SIZES = [(1, 1), (1, 9), (2, 3), (33, 70), (91, 20), (93, 184), (211, 150)]


def network(channels=1, depth=2, dtype=torch.float32, **size):
    torch.manual_seed(1)
    return UNet(channels, 3, base_channels=4, depth=depth, **size).to(dtype)


def one_pass(model, image):
    """Probabilities from a single pass over the image, mirrored by NumPy."""
    margin = geometry.margin(model.depth)
    pad = [(0, 0)] * (image.ndim - 2) + [
        (margin, geometry.input_size(side, model.depth) - margin - side) for side in image.shape[-2:]
    ]
    x = torch.from_numpy(np.pad(image, pad, mode="reflect")).reshape(1, model.in_channels, *_sides(image, pad))
    with torch.no_grad():
        probability = model.eval()(x.to(next(model.parameters()).dtype))[0].softmax(0)
    return probability[:, : image.shape[-2], : image.shape[-1]].numpy()


def _sides(image, pad):
    return [side + sum(p) for side, p in zip(image.shape[-2:], pad[-2:], strict=True)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_tiles_equal_one_pass(size, dtype, tolerance, depth):
    model = network(depth=depth, dtype=dtype)
    image = np.random.default_rng(0).random(size)
    for tile in (geometry.input_size(2**depth + 1, depth) - 2 * geometry.margin(depth), 52, None):
        assert_allclose(predict(model, image, output_tile=tile), one_pass(model, image), atol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (30, 41), (211, 150)])
def test_tiles_equal_one_pass_at_the_papers_depth(size):
    model = network(depth=4, dtype=torch.float64)
    image = np.random.default_rng(0).random(size)
    assert_allclose(predict(model, image, output_tile=36), one_pass(model, image), atol=1e-10)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels(channels):
    model = network(channels, dtype=torch.float64)
    image = np.random.default_rng(0).random((channels, 61, 45))
    assert_allclose(predict(model, image, output_tile=20), one_pass(model, image), atol=1e-10)


def test_wrong_step_breaks_equality(monkeypatch):
    """The reason for the rule, kept alive: tiles that step by their full output meet the poolings out of phase."""
    model = network(depth=3)  # outputs are 4 modulo 8
    image = np.random.default_rng(0).random((90, 90))
    reference = one_pass(model, image)
    monkeypatch.setattr(tiling, "step", lambda tile, depth: tile)
    assert np.abs(predict(model, image, output_tile=28) - reference).max() > 0.01


def test_zero_padding_breaks_equality(monkeypatch):
    model = network()
    image = np.random.default_rng(0).random((50, 50)) + 1
    mirrored = predict(model, image)
    read = tiling._read

    def zero_padded(image, corner, tile, margin, scale):
        x = read(image, corner, tile, margin, scale)
        x[:, :margin] = 0
        return x

    monkeypatch.setattr(tiling, "_read", zero_padded)
    assert np.abs(predict(model, image) - mirrored).max() > 0.01


def test_mirror_is_numpys_reflection():
    for length in (1, 2, 3, 10):
        positions = np.arange(-25, 40)
        expected = np.pad(np.arange(length), (25, 40 - length), mode="reflect")[: len(positions)]
        assert tiling.mirror(-25, 40, length).tolist() == expected.tolist()


def test_step_of_the_papers_tile():
    assert tiling.step(388) == 384


@pytest.mark.parametrize("length", [1, 4, 5, 512, 772, 773, 1000, 1540, 1541, 5000])
def test_default_tiles_cover_once_and_waste_little(length, monkeypatch):
    monkeypatch.setattr(tiling, "largest_tile", lambda *_: 772)
    windows = tiling.tile_windows(UNet(base_channels=1), (length, 3))
    assert all(columns == slice(0, 3) for _, columns in windows)
    rows = [rows for rows, _ in windows]
    assert [r.start for r in rows] == [0, *(r.stop for r in rows[:-1])]
    assert rows[-1].stop == length
    assert all(r.start % 16 == 0 for r in rows)
    sides = [r.stop - r.start for r in rows]
    assert max(sides) <= 772
    assert sum(sides) > 768 * (len(rows) - 1)  # one tile less would not do
    assert max(sides) - min(sides) < 16 * len(rows) + 4  # and all are about as large


def test_tiles_follow_the_memory(monkeypatch):
    """Twice the width or twice the bytes a number: half the area. Never more than a quarter of what is free."""
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**40)
    side = {width: tiling.largest_tile(UNet(base_channels=width)) + 184 for width in (16, 32)}
    assert side[16] ** 2 / side[32] ** 2 == pytest.approx(2, rel=0.1)
    half = tiling.largest_tile(UNet(base_channels=32), torch.bfloat16) + 184
    assert half == side[16]
    need = 4.5 * 16 * 4 + 12 * 2
    assert need * side[16] ** 2 <= 2**30 < need * (side[16] + 16) ** 2
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**30)
    assert (tiling.largest_tile(UNet(base_channels=16)) + 184) ** 2 == pytest.approx(side[16] ** 2 / 4, rel=0.04)
    monkeypatch.setattr(tiling, "free_memory", lambda device: 0)
    assert tiling.largest_tile(UNet(base_channels=16)) == 20  # the smallest that can step


def test_tiles_fit_the_device_where_the_model_is(monkeypatch):
    monkeypatch.setattr(tiling, "free_memory", lambda device: 2**40)
    monkeypatch.setitem(tiling.MEMORY, "meta", 4 * tiling.MEMORY["cpu"])
    model = UNet(base_channels=16)
    here, there = tiling.largest_tile(model, device="cpu"), tiling.largest_tile(model, device="meta")
    assert here < there == tiling.largest_tile(model.to("meta"))
    assert tiling.tile_windows(model, (3000, 3), device="cpu") != tiling.tile_windows(model, (3000, 3))


def test_free_memory_is_read_or_guessed(monkeypatch, tmp_path):
    assert 2**26 < tiling.free_memory(torch.device("cpu")) < 2**46
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5, 9))
    assert tiling.free_memory(torch.device("cuda")) == 5
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemFree: 3 kB\nMemAvailable:       7 kB\nBuffers: 1 kB\n")
    monkeypatch.setattr(tiling, "Path", lambda name: tmp_path / "meminfo")
    assert tiling.free_memory(torch.device("cpu")) == 7 * 1024
    monkeypatch.setattr(tiling, "Path", lambda name: Path("/no/such/file"))
    assert tiling.free_memory(torch.device("cpu")) == 4 * 2**30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_tile_takes_the_memory_it_is_given():
    """The largest tile for a sixteenth of the memory raises the peak by no more than that."""
    code = (
        "import re, numpy as np, torch; torch.set_num_threads(1)\n"
        "from unet_edu import UNet, tiling\n"
        "tiling.MEMORY['cpu'] = 2**26\n"
        "peak = lambda: 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "model = UNet(base_channels=8)\n"
        "tiling.predict(model, np.zeros((9, 9), np.uint8)); before = peak()\n"
        "tiling.predict(model, np.zeros((700, 700), np.uint8)); print(peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**24 < int(run.stdout) < 1.2 * 2**26


def test_probabilities():
    model = network()
    probability = predict(model, np.random.default_rng(0).random((30, 20)))
    assert probability.shape == (3, 30, 20)
    assert probability.dtype == np.float32
    assert_allclose(probability.sum(0), 1, atol=1e-6)
    assert predict(model.double(), np.zeros((3, 3))).dtype == np.float64


def test_integers_are_scaled_and_floats_are_not():
    model = network(dtype=torch.float64)
    image = np.random.default_rng(0).integers(0, 4096, (40, 30), dtype=np.uint16)
    model.scale = 4095.0
    assert_allclose(predict(model, image), predict(model, image / 4095.0), atol=1e-12)
    assert np.abs(predict(model, image.astype(float)) - predict(model, image)).max() > 0.01


def test_memory_maps_in_and_out(tmp_path):
    model = network()
    image = np.random.default_rng(0).integers(0, 255, (70, 50), dtype=np.uint8)
    on_disk = np.memmap(tmp_path / "in", np.uint8, "w+", shape=image.shape)
    on_disk[:] = image
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(3, 70, 50))
    assert predict(model, on_disk, output_tile=20, out=out) is out
    assert_allclose(out, predict(model, image, output_tile=20), atol=0)


def test_only_the_window_of_a_tile_is_read():
    class Watched:
        shape, ndim, dtype, largest = (2000, 2000), 2, np.dtype("uint8"), 0

        def __getitem__(self, key):
            part = np.zeros(self.shape, np.uint8)[key]
            self.largest = max(self.largest, part.size)
            return part

    image = Watched()
    predict(UNet(base_channels=1, depth=1), image, output_tile=502)
    assert image.largest <= 518**2


def test_training_mode_and_dropout():
    model = network(dropout=0.9).train()
    image = np.random.default_rng(0).random((20, 20))
    assert_allclose(predict(model, image), predict(model, image), atol=0)  # no drop-out in a prediction
    assert model.training


def test_bfloat16_is_close_and_returned_as_float32():
    model = network()
    image = np.random.default_rng(0).random((40, 40))
    half = predict(model, image, autocast=torch.bfloat16)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - predict(model, image)).max() < 0.05


def test_bad_arguments():
    model = network(depth=4)
    image = np.zeros((30, 30))
    with pytest.raises(ValueError, match=r"output_tile=390: .* use 388 or 404"):
        predict(model, image, output_tile=390)
    with pytest.raises(ValueError, match=r"output_tile=4: .* multiple of 16; use 20"):
        predict(model, image, output_tile=4)
    with pytest.raises(ValueError, match=r"\(30, 30, 3\): 30 channels first, the model takes 1"):
        predict(model, np.zeros((30, 30, 3)))
    with pytest.raises(ValueError, match="H, W >= 1"):
        predict(model, np.zeros((0, 5)))
    with pytest.raises(ValueError, match="out.shape"):
        predict(model, image, out=np.zeros((3, 30, 31)))
    with pytest.raises(TypeError, match="bool"):
        predict(model, image > 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu():
    model = network(dtype=torch.float64)
    image = np.random.default_rng(0).random((90, 61))
    on_cpu = predict(model, image, output_tile=20)
    assert_allclose(predict(model, image, output_tile=20, device="cuda"), on_cpu, atol=1e-10)


def test_tensors_are_taken_as_arrays_are():
    model = UNet(base_channels=1, depth=1)
    image = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    assert np.array_equal(predict(model, torch.from_numpy(image)), predict(model, image))


def test_progress_line(capsys, monkeypatch):
    model = UNet(base_channels=1, depth=1)
    predict(model, np.zeros((20, 20)))
    assert capsys.readouterr().err == ""
    predict(model, np.zeros((20, 20)), output_tile=12, progress=True)
    assert "predicting: 4/4 tiles" in capsys.readouterr().err


def test_softmax_of_half_precision_logits_is_exact():
    model = UNet(base_channels=4, depth=1)
    probability = predict(model, np.random.default_rng(0).random((20, 20)), autocast=torch.bfloat16)
    assert np.abs(probability.sum(0) - 1).max() < 1e-6


def test_four_axes_are_refused():
    with pytest.raises(ValueError, match=r"must be \(H, W\) or \(C, H, W\)"):
        predict(UNet(base_channels=1, depth=1), np.zeros((1, 1, 20, 20)))


class Equivariant(torch.nn.Module):
    """Classes by grey value alone, so that turning the image turns the answer and does nothing else."""

    in_channels, num_classes, depth, base_channels, scale = 1, 2, 2, 64, 255.0

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([[[[1.0]], [[-1.0]]]]))

    def forward(self, x):
        margin = geometry.margin(self.depth)
        return x[:, :, margin:-margin, margin:-margin] * self.slope


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    return np.sin(x / 9) * np.cos(y / 7 + x / 20)


@pytest.mark.parametrize("rotations", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("size", [(60, 60), (47, 80), (33, 70)])
def test_rotations_of_what_does_not_depend_on_rotation(rotations, size):
    image = smooth(*size)
    expected = predict(Equivariant(), image)
    found = predict(Equivariant(), image, rotations=rotations)
    assert found.shape == expected.shape
    assert_allclose(found.sum(0), 1, atol=1e-5)
    assert_allclose(found, expected, atol=1e-6 if rotations in (2, 4) else 0.05)
    inner = np.s_[:, 1:-1, 1:-1]  # half a pixel of the mirrored border is mixed into the outermost
    assert_allclose(found[inner], expected[inner], atol=0.005)


def test_quarter_turns_equal_a_mean_by_hand():
    model, image = network(dtype=torch.float64), np.random.default_rng(0).random((33, 52))
    turns = [np.rot90(predict(model, np.rot90(image, k).copy()), -k, (1, 2)) for k in range(4)]
    assert_allclose(predict(model, image, rotations=4), np.mean(turns, 0), atol=1e-12)
    assert abs(np.mean(turns, 0) - turns[0]).max() > 1e-3


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turns_are_continuous(degrees):
    """A hair beside a quarter turn, values are interpolated that the quarter turn moves exactly."""
    image = smooth(31, 40)[None]
    exact, near = tiling.rotate(image, degrees), tiling.rotate(image, degrees + 1e-6)
    assert [near.shape[1] - exact.shape[1], near.shape[2] - exact.shape[2]] == [1, 1]  # a canvas a pixel larger,
    between = (near[:, 1:, 1:] + near[:, :-1, :-1]) / 2  # so its pixels lie between those of the other
    assert_allclose(between[:, 1:-1, 1:-1], exact[:, 1:-1, 1:-1], atol=0.05)
    back = tiling.rotate_back(near, degrees + 1e-6, image.shape[1:])
    assert_allclose(back[:, 1:-1, 1:-1], image[:, 1:-1, 1:-1], atol=0.01)


def test_a_rotated_image_lies_wholly_on_its_canvas_and_goes_on_mirrored():
    image = np.ones((1, 20, 50))
    for degrees in (10, 51.4, 100, 200, 300):
        assert_allclose(tiling.rotate(image, degrees), 1)  # mirrored, so no dark corner
        place = tiling.rotate_back(np.ones((1, 90, 90)), degrees, (20, 50))
        assert_allclose(place, 1)
    height, width = tiling.rotate(image, 30).shape[1:]
    assert height >= 20 * np.cos(np.pi / 6) + 50 * np.sin(np.pi / 6)
    assert width >= 20 * np.sin(np.pi / 6) + 50 * np.cos(np.pi / 6)


def test_beyond_a_rotated_image_its_edge_is_mirrored_and_not_repeated():
    image = np.random.default_rng(0).random((1, 21, 21))
    padded = np.pad(image, ((0, 0), (17, 17), (17, 17)), mode="reflect")
    turned, larger = tiling.rotate(image, 45), tiling.rotate(padded, 45)
    assert (turned.shape, larger.shape) == ((1, 30, 30), (1, 78, 78))
    assert_allclose(turned, larger[:, 24:54, 24:54], atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 1)])
def test_rotations_of_the_smallest_images(size):
    found = predict(network(), np.ones(size, np.uint8), rotations=7)
    assert found.shape == (3, *size)
    assert_allclose(found.sum(0), 1, atol=1e-5)


def test_rotations_of_integers_and_channels():
    model = network(2)
    image = np.random.default_rng(0).integers(0, 256, (2, 30, 34), dtype=np.uint8)
    assert_allclose(predict(model, image, rotations=3), predict(model, image / 255, rotations=3), atol=1e-5)
    assert predict(model, image, rotations=3).dtype == np.float32


@pytest.mark.parametrize("rotations", [3, 7])
def test_the_angles_divide_a_full_turn(rotations, monkeypatch):
    turned, rotate = [], tiling.rotate
    monkeypatch.setattr(tiling, "rotate", lambda image, degrees: turned.append(degrees) or rotate(image, degrees))
    predict(network(), np.ones((9, 9)), rotations=rotations)
    assert turned == [360 * k / rotations for k in range(rotations)]


def test_rotations_of_half_precision():
    model, image = network(), np.random.default_rng(0).random((20, 24)).astype(np.float16)
    found = predict(model, image, rotations=3)
    assert found.dtype == np.float32
    assert_allclose(found, predict(model, image.astype(np.float64), rotations=3), atol=1e-6)


def test_bad_rotations():
    model, image = network(), np.zeros((8, 8))
    with pytest.raises(ValueError, match="rotations=7 with out: .* use out=None"):
        predict(model, image, rotations=7, out=np.zeros((3, 8, 8)))
    for wrong in (0, -1, 2.5):
        with pytest.raises(ValueError, match="must be a whole number, 1 or more"):
            predict(model, image, rotations=wrong)
