import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import zarr
from numpy.testing import assert_allclose

from unet_edu import streaming, tiling
from unet_edu.model import UNet
from unet_edu.streaming import predict_to_zarr


@pytest.fixture
def model():
    torch.manual_seed(1)
    return UNet(base_channels=2, depth=2, num_classes=3)


IMAGE = np.random.default_rng(0).integers(0, 256, (90, 75), dtype=np.uint8)


def test_equals_predict_and_leaves_only_the_result(model, tmp_path):
    found = predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, progress=False)
    assert isinstance(found, zarr.Array)
    assert found.dtype == np.float32
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    assert {p.name for p in (tmp_path / "a.zarr").iterdir()} == {"c", "zarr.json"}
    assert found.read_only


def test_every_tile_fills_its_own_chunk(tmp_path):
    """So that no tile reads and writes again what another wrote; only the last may reach into one more."""
    model, image = UNet(base_channels=1), np.zeros((100, 40), np.uint8)
    found = predict_to_zarr(model, image, tmp_path / "a.zarr", output_tile=36, progress=False)
    assert found.chunks == (2, 32, 32)
    windows = tiling.tile_windows(model, image.shape, 36)
    assert all(side.start % 32 == 0 for window in windows for side in window)
    assert [rows.stop for rows, _ in windows][-1] == 100


def test_what_is_kept(model, tmp_path):
    everything = tiling.predict(model, IMAGE, output_tile=20)
    one = predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, keep=lambda p: p[1], progress=False)
    assert (one.shape, one.chunks) == ((90, 75), (20, 20))
    assert_allclose(one[:], everything[1], atol=0)
    two = predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, keep=lambda p: p[1:], progress=False)
    assert (two.shape, two.chunks) == ((2, 90, 75), (2, 20, 20))
    assert_allclose(two[:], everything[1:], atol=0)


def test_images_on_disk(model, tmp_path):
    stored = zarr.create_array(tmp_path / "in.zarr", shape=IMAGE.shape, chunks=(32, 32), dtype="uint8")
    stored[:] = IMAGE
    found = predict_to_zarr(model.double(), stored, tmp_path / "out.zarr", output_tile=20, progress=False)
    assert found.dtype == np.float64
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)


class Interrupted(Exception):
    pass


def interrupt_after(monkeypatch, tiles):
    """Fail in tile number `tiles`, and count those that are computed."""
    computed, original = [], streaming.predict_windows

    def predict_windows(model, image, windows, *rest):
        for count, probability in enumerate(original(model, image, windows, *rest)):
            if count == tiles:
                raise Interrupted
            computed.append(windows[count])
            yield probability

    monkeypatch.setattr(streaming, "predict_windows", predict_windows)
    return computed


@pytest.mark.parametrize("tiles", [0, 1, 7])
def test_goes_on_where_it_was(model, tmp_path, monkeypatch, tiles):
    path = tmp_path / "a.zarr"
    with monkeypatch.context() as context:
        interrupt_after(context, tiles)
        with pytest.raises(Interrupted):
            predict_to_zarr(model, IMAGE, path, output_tile=20, progress=False)
    assert not path.exists()
    computed = interrupt_after(monkeypatch, 10**6)
    monkeypatch.setattr(streaming, "tile_windows", None)  # the tiles are those of the first call, whatever is free now
    found = predict_to_zarr(model, IMAGE, path, output_tile=20, progress=False)
    assert computed == tiling.tile_windows(model, IMAGE.shape, 20)[tiles:]
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)


def test_stopped_at_the_very_end_no_tile_is_lost(model, tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    path.write_text("a file in the way")
    with pytest.raises(OSError, match="a.zarr"):
        predict_to_zarr(model, IMAGE, path, output_tile=20, progress=False)
    path.unlink()
    computed = interrupt_after(monkeypatch, 10**6)
    found = predict_to_zarr(model, IMAGE, path, output_tile=20, progress=False)
    assert not computed
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)


def test_models_of_half_precision(model, tmp_path):
    found = predict_to_zarr(model.to(torch.bfloat16), IMAGE, tmp_path / "a.zarr", progress=False)
    assert found.dtype == np.float32
    assert_allclose(found[:], tiling.predict(model, IMAGE), atol=0)


def test_a_killed_process_is_resumed(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    np.save(tmp_path / "image.npy", IMAGE)
    code = (
        "import sys, os, numpy as np; from unet_edu import UNet, streaming; note = streaming._note\n"
        "def killed(partial, source, windows, done):\n"
        "    note(partial, source, windows, done)\n"
        "    if done == 4: os.kill(os.getpid(), 9)\n"
        "if sys.argv[2] == 'kill': streaming._note = killed\n"
        "os.chdir(sys.argv[1])\n"
        "streaming.predict_to_zarr(UNet.load('w.safetensors'), np.load('image.npy'), 'a.zarr', output_tile=20)\n"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", code, tmp_path, how], capture_output=True, text=True, check=False)
        for how in ("kill", "finish")
    )
    assert first.returncode == -9
    assert second.returncode == 0, second.stderr
    total = len(tiling.tile_windows(model, IMAGE.shape, 20))
    assert f"predicting: {total - 4}/{total - 4} tiles" in second.stderr
    found = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=1e-6)


@pytest.mark.parametrize("change", ["weights", "scale", "image", "tile", "autocast"])
def test_parts_of_two_predictions_are_not_mixed(model, tmp_path, monkeypatch, change):
    with monkeypatch.context() as context:
        interrupt_after(context, 3)
        with pytest.raises(Interrupted):
            predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, progress=False)
    image, options = IMAGE, {"output_tile": 20}
    if change == "weights":
        model.head.bias.data[0] += 1
    elif change == "scale":
        model.scale = 100.0
    elif change == "image":
        image = IMAGE[::-1]
    elif change == "tile":
        options["output_tile"] = 36
    else:
        options["autocast"] = torch.bfloat16
    with pytest.raises(ValueError, match=r"a.zarr.partial: holds part of another prediction .* delete it"):
        predict_to_zarr(model, image, tmp_path / "a.zarr", progress=False, **options)


DARK = np.zeros((90, 75), np.uint8)
IN_THE_MIDDLE_ROW, IN_THE_MIDDLE_COLUMN = DARK.copy(), DARK.copy()
IN_THE_MIDDLE_ROW[45, 3] = IN_THE_MIDDLE_COLUMN[7, 37] = 1


@pytest.mark.parametrize("other", [DARK.T, DARK.view(np.int8), IN_THE_MIDDLE_ROW, IN_THE_MIDDLE_COLUMN])
def test_images_that_hardly_differ_are_told_apart(model, tmp_path, monkeypatch, other):
    with monkeypatch.context() as context:
        interrupt_after(context, 3)
        with pytest.raises(Interrupted):
            predict_to_zarr(model, DARK, tmp_path / "a.zarr", output_tile=20, progress=False)
    with pytest.raises(ValueError, match="holds part of another prediction"):
        predict_to_zarr(model, other, tmp_path / "a.zarr", output_tile=20, progress=False)


def test_replaces_an_older_result_only_when_done(model, tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    predict_to_zarr(model, IMAGE, path, output_tile=20, progress=False)
    with monkeypatch.context() as context:
        interrupt_after(context, 2)
        with pytest.raises(Interrupted):
            predict_to_zarr(model, IMAGE.T, path, output_tile=20, progress=False)
    assert zarr.open_array(path, mode="r").shape == (3, 90, 75)
    assert predict_to_zarr(model, IMAGE.T, path, output_tile=20, progress=False).shape == (3, 75, 90)


def test_an_unfinished_start_is_begun_anew(model, tmp_path):
    """Killed between making the array and the first note."""
    (tmp_path / "a.zarr.partial").mkdir()
    (tmp_path / "a.zarr.partial" / "zarr.json").write_text("{")
    found = predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, progress=False)
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)


def test_an_array_without_a_note_is_begun_anew(model, tmp_path):
    zarr.create_array(tmp_path / "a.zarr.partial", shape=(3, 5, 5), dtype="float32")
    found = predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, progress=False)
    assert_allclose(found[:], tiling.predict(model, IMAGE, output_tile=20), atol=0)


def test_tiles_are_those_of_the_device_and_type(model, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(streaming, "tile_windows", lambda *of: asked.append(of) or tiling.tile_windows(*of))
    options = {"output_tile": 20, "autocast": torch.bfloat16, "device": "cpu", "progress": False}
    predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", **options)
    assert asked == [(model, (90, 75), 20, torch.bfloat16, "cpu")]


def test_errors(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="channels first"):
        predict_to_zarr(model, np.zeros((3, 5, 5)), tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ValueError, match="pip install zarr"):
        predict_to_zarr(model, IMAGE, tmp_path / "a.zarr")


def test_the_note_is_plain(model, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        interrupt_after(context, 2)
        with pytest.raises(Interrupted):
            predict_to_zarr(model, IMAGE, tmp_path / "a.zarr", output_tile=20, progress=False)
    note = json.loads((tmp_path / "a.zarr.partial" / streaming.PROGRESS).read_text())
    assert note["done"] == 2
    assert note["windows"][1] == [[0, 20], [20, 40]]
