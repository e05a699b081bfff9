import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from unet_edu import UNet, cli, images, tiling
from unet_edu.instances import from_probability


@pytest.fixture
def predict(run, own, weights):
    return lambda *more: run("predict", *more, "--weights", weights, "--out", own / "found", "--device", "cpu")


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def half(model, image, **options):
    """A prediction known exactly: cells are where the image is bright."""
    cell = np.where(np.asarray(image) > np.median(image), np.float32(0.7), np.float32(0.1))
    return np.stack([1 - cell, cell]) if model.num_classes == 2 else np.stack([1 - cell, 0.4 * cell, 0.6 * cell])


@pytest.fixture
def bright_is_cell(monkeypatch):
    def half_to_zarr(model, image, path, keep, **options):
        images.write(path, keep(half(model, image)))
        return images.read(path) if model.num_classes == 2 else images.read_stack(path)

    monkeypatch.setattr("unet_edu.commands.predict.predict", half)
    monkeypatch.setattr("unet_edu.commands.predict.predict_to_zarr", half_to_zarr)


@pytest.mark.parametrize(("form", "suffix"), [("tiff", ".tif"), ("zarr", ".zarr")])
def test_a_folder_of_images(predict, own, weights, drawn, form, suffix):
    if form == "zarr":
        pytest.importorskip("zarr")
    code, out, err = predict(own / "images", "--format", form, "--threshold", 0.4, "--min-size", 5)
    assert (code, err) == (0, "")
    assert names(own / "found") == [f"{n}_{part}{suffix}" for n in "abc" for part in ("labels", "probability")]
    model = UNet.load(weights)
    for name, image in zip("abc", drawn[0], strict=True):
        cell = 1 - tiling.predict(model, image)[0]
        probability, labels = (images.read(own / "found" / f"{name}_{p}{suffix}") for p in ("probability", "labels"))
        assert probability.dtype == np.float32
        np.testing.assert_allclose(probability[:], cell, atol=1e-6)
        assert labels.dtype == np.uint16
        assert np.array_equal(labels[:], from_probability(probability[:], threshold=0.4, min_size=5))
    assert out.splitlines()[2].startswith(f"3/3 c: {labels[:].max()} cells on ")


@pytest.mark.parametrize(("form", "suffix"), [("tiff", ".tif"), ("zarr", ".zarr")])
def test_what_stands_in_the_files(predict, own, bright_is_cell, drawn, form, suffix):
    """Cell, not background; in all of the image; threshold and smallest size as asked."""
    if form == "zarr":
        pytest.importorskip("zarr")
    predict(own / "images" / "b.tif", "--format", form, "--min-size", 9)
    bright = drawn[0][1] > np.median(drawn[0][1])
    cell = np.where(bright, np.float32(0.7), np.float32(0.1))
    np.testing.assert_allclose(images.read(own / "found" / f"b_probability{suffix}")[:], cell, atol=1e-6)
    expected = from_probability(cell, min_size=9)
    assert np.array_equal(images.read(own / "found" / f"b_labels{suffix}")[:], expected)
    _, out, _ = predict(own / "images" / "b.tif", "--format", form, "--threshold", 0.7)
    assert "b: 0 cells on 0.0% of the image" in out


@pytest.mark.parametrize(("form", "suffix"), [("tiff", ".tif"), ("zarr", ".zarr")])
def test_of_more_classes_all_are_kept(run, own, tmp_path, bright_is_cell, form, suffix):
    if form == "zarr":
        pytest.importorskip("zarr")
    UNet(num_classes=3, base_channels=1, depth=2).save(tmp_path / "three")
    run("predict", own / "images" / "a.tif", "--weights", tmp_path / "three", "--out", own / "found", "--format", form)
    probability = images.read_stack(own / "found" / f"a_probability{suffix}")
    assert probability.shape == (3, 96, 96)
    expected = from_probability(1 - probability[0])
    assert 0 < (expected > 0).mean() < 1
    assert np.array_equal(images.read(own / "found" / f"a_labels{suffix}")[:], expected)


@pytest.mark.parametrize("form", ["tiff", "zarr"])
def test_precision(predict, own, weights, drawn, form):
    """Half precision is another number, and only if asked for."""
    path = own / "found" / f"a_probability{'.tif' if form == 'tiff' else '.zarr'}"
    found = []
    for precision in ("float32", "bfloat16"):
        assert predict(own / "images" / "a.tif", "--precision", precision, "--format", form)[0] == 0
        found.append(np.array(images.read(path)[:]))
    full, half = (1 - tiling.predict(UNet.load(weights), drawn[0][0], autocast=t)[0] for t in (None, torch.bfloat16))
    assert abs(full - half).max() > 1e-6
    np.testing.assert_allclose(found, [full, half], atol=1e-6)


@pytest.mark.parametrize("form", ["tiff", "zarr"])
def test_rotations(predict, own, weights, drawn, form):
    if form == "zarr":
        pytest.importorskip("zarr")
    assert predict(own / "images" / "a.tif", "--rotations", 3, "--format", form)[0] == 0
    cell = 1 - tiling.predict(UNet.load(weights), drawn[0][0], rotations=3)[0]
    found = images.read(own / "found" / f"a_probability{'.tif' if form == 'tiff' else '.zarr'}")
    np.testing.assert_allclose(found[:], cell, atol=1e-5)


@pytest.mark.parametrize("more", [(), ("--rotations", 3), ("--format", "zarr")])
def test_small_images_bring_no_line_each(own, weights, capsys, more):
    if "zarr" in more:
        pytest.importorskip("zarr")
    arguments = "predict", own / "images", "--weights", weights, "--out", own / "found", "--device", "cpu", *more
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert capsys.readouterr().err == ""


def test_many_cells_need_wider_numbers(predict, own, monkeypatch):
    many = np.arange(96 * 96, dtype=np.int32).reshape(96, 96) + 70000
    monkeypatch.setattr("unet_edu.commands.predict.from_probability", lambda *_, **__: many)
    predict(own / "images" / "a.tif")
    labels = images.read(own / "found" / "a_labels.tif")
    assert labels.dtype == np.uint32
    assert np.array_equal(labels, many)


@pytest.mark.parametrize(("most", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_the_largest_number_of_sixteen_bits(predict, own, monkeypatch, most, dtype):
    cells = np.full((96, 96), most, np.int32)
    monkeypatch.setattr("unet_edu.commands.predict.from_probability", lambda *_, **__: cells)
    predict(own / "images" / "a.tif")
    assert images.read(own / "found" / "a_labels.tif").dtype == dtype


def test_old_results_are_replaced_whole(predict, own, monkeypatch):
    predict(own / "images" / "a.tif")
    before = (own / "found" / "a_labels.tif").read_bytes()
    monkeypatch.setattr("unet_edu.commands.predict.from_probability", lambda *_, **__: np.eye(96, dtype=np.int32))

    def full(path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tifffile, "imwrite", full)
        assert predict(own / "images" / "a.tif")[::2] == (1, "unet-edu: no space left on device")
    assert (own / "found" / "a_labels.tif").read_bytes() == before
    assert names(own / "found") == ["a_labels.tif", "a_probability.tif"]
    predict(own / "images" / "a.tif")
    assert np.array_equal(images.read(own / "found" / "a_labels.tif"), np.eye(96))


def test_nothing_is_skipped_silently(predict, own):
    (own / "images" / "notes.txt").touch()
    (own / "images" / "old").mkdir()
    tifffile.imwrite(own / "images" / "b.tif", np.zeros((9, 9, 3), np.uint8) + np.arange(3, dtype=np.uint8))
    tifffile.imwrite(own / "images" / "bool.tif", np.eye(9, dtype=bool), photometric="minisblack")
    code, out, err = predict(own / "images")
    assert code == 2
    assert "not an image, left out: " in err
    assert all(str(own / "images" / name) in err.splitlines()[0] for name in ("notes.txt", "old"))
    assert err.count("b.tif: 3 channels of color") == 1
    assert f"{own / 'images' / 'bool.tif'}: of type bool, a mask rather than an image" in err
    assert f"2 of 4 images not predicted: {own / 'images' / 'b.tif'}, {own / 'images' / 'bool.tif'}" in err
    assert [line[:5] for line in out.splitlines()] == ["1/4 a", "4/4 c"]
    assert names(own / "found") == [f"{n}_{part}.tif" for n in "ac" for part in ("labels", "probability")]


@pytest.mark.parametrize(("factor", "warned"), [(1, False), (1 / 16, True), (0.8, True), (10, True), (0.95, False)])
def test_other_brightness_is_told_and_not_corrected(predict, own, drawn, factor, warned):
    tifffile.imwrite(own / "images" / "a.tif", (drawn[0][0] * factor).astype(np.uint16))
    code, _, err = predict(own / "images" / "a.tif")
    assert code == 0
    assert ("warning" in err) == warned
    assert not warned or f"{own / 'images' / 'a.tif'}: gray values reach" in err


def test_inputs_whose_results_would_have_one_name(predict, own):
    (own / "more").mkdir()
    os.link(own / "images" / "a.tif", own / "more" / "a.tiff")
    code, _, err = predict(own / "images", own / "more")
    assert code == 2
    assert "a.tif and " in err
    assert "results of both would be a_labels; rename one" in err
    assert not (own / "found").exists()
    assert predict(own / "images" / "a.tif", own / "images" / "a.tif")[0] == 0


def test_results_do_not_become_images(run, own, weights):
    code, _, err = run("predict", own / "images", "--weights", weights, "--out", own / "labels" / ".." / "images")
    assert code == 2
    assert "the folder of the images; use another" in err


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "text"])
def test_weights_that_are_none(run, own, kind):
    path = own / "net"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "weights " * 100)
    code, _, err = run("predict", own / "images", "--weights", path, "--out", own / "found")
    assert code == 2
    assert "net" in err
    assert not (own / "found").exists()


def test_other_mistakes(predict, run, own, weights):
    assert "nothing.tif: no such file or folder" in predict("nothing.tif")[2]
    (own / "found").write_text("a file")
    code, _, err = predict(own / "images")
    assert code == 2
    assert "found" in err
    (own / "found").unlink()
    assert "must end in" in predict(weights)[2]
    assert run("predict", own / "images", "--weights", weights, "--out", own / "o", "--device", "gpu")[0] == 2


def test_zarr_in_zarr_out(predict, own, weights, drawn):
    zarr = pytest.importorskip("zarr")
    zarr.open_array(own / "z.zarr", mode="w", shape=(96, 96), chunks=(32, 32), dtype="uint16")[:] = drawn[0][0]
    assert predict(own / "z.zarr", "--format", "zarr")[0] == 0
    cell = 1 - tiling.predict(UNet.load(weights), drawn[0][0])[0]
    np.testing.assert_allclose(images.read(own / "found" / "z_probability.zarr")[:], cell, atol=1e-6)


def test_zarr_without_its_package(predict, own, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    code, _, err = predict(own / "images" / "a.tif", "--format", "zarr")
    assert code == 2
    assert "run: pip install zarr" in err
