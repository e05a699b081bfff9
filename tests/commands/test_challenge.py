import json

import numpy as np
import pytest
import tifffile

from unet_edu import UNet, datasets, metrics, paper, tiling
from unet_edu.commands import challenge

SIZE = (3, 64, 64)


def entry(pixels):
    return {"shape": [*pixels.shape], "dtype": "uint8", "pixels_sha256": datasets.pixels_sha256([pixels])}


def squares(offset):
    """Three slices of square cells with walls between them, none of them small."""
    rows = (np.arange(64) + offset) % 16 < 14
    return np.stack([np.outer(rows, np.roll(rows, z)) for z in range(3)]).astype(np.uint8) * 255


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Three small slices in the place of the challenge's thirty, and their labels, which no manifest knows."""
    slices = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    files = {"test-volume.tif": slices, "train-labels.tif": squares(5), "test-labels.tif": squares(0)}
    (tmp_path / "data" / "isbi2012").mkdir(parents=True)
    for name, pixels in files.items():
        tifffile.imwrite(tmp_path / "data" / "isbi2012" / name, pixels, photometric="minisblack")
    manifest = {name: entry(pixels) for name, pixels in files.items() if name != "test-labels.tif"}
    monkeypatch.setitem(datasets.REAL, "isbi2012", {**datasets.REAL["isbi2012"], "files": manifest})
    monkeypatch.setenv("UNET_EDU_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "isbi2012"


@pytest.fixture
def network(tmp_path):
    model = UNet(base_channels=2, depth=1)
    model.save(tmp_path / "net.safetensors", summary="two channels, never trained")
    return tmp_path / "net.safetensors"


@pytest.fixture
def evaluate(run, archive):
    return lambda *more: run("evaluate", "--test-labels", archive / "test-labels.tif", *more)


def relabel(archive, change):
    path = archive / "test-labels.tif"
    tifffile.imwrite(path, change(tifffile.imread(path)), photometric="minisblack")


def row(out, name):
    names, *rows = (line.split("  ") for line in out.splitlines() if "  " in line)
    [values] = (line for line in rows if line[0] == name)
    return dict(zip(filter(None, map(str.strip, names)), filter(None, map(str.strip, values[1:])), strict=True))


def test_a_network_beside_the_paper(evaluate, archive, network, tmp_path):
    out = tmp_path / "s.json"
    code, said, err = evaluate("--weights", network, "--rotations", 2, "--out", out, "--device", "cpu")
    assert (code, err) == (0, "")
    model, slices = UNet.load(network), tifffile.imread(archive / "test-volume.tif")
    cell = np.stack([1 - tiling.predict(model, image, rotations=2)[0] for image in slices])
    expected = metrics.em_scores(squares(0), cell.clip(0, 1))
    record = json.loads(out.read_text())
    assert record["scores"]["all"] == pytest.approx(expected, abs=1e-6)
    assert list(row(said, "here")) == ["warping_error", "rand_error", "pixel_error", "v_rand", "v_info"]
    assert row(said, "here")["pixel_error"] == f"{expected['pixel_error']:.4f}"
    assert f"{network}, two channels, never trained; mean of 2 rotations (the paper: base width 64, 7)" in said
    assert f"predictions: {record['predictions']}\n" in said
    assert record["test_labels_sha256"] == entry(squares(0))["pixels_sha256"]


def test_the_paper_s_rows(evaluate, network):
    _, said, _ = evaluate("--weights", network, "--rotations", 1)
    assert list(row(said, "u-net, the paper").values()) == ["0.000353", "0.0382", "0.0611", "0.97276", "0.98662"]
    assert list(row(said, "human, the paper").values()) == ["0.000005", "0.0021", "0.0010", "-", "-"]
    assert "v_rand and v_info of u-net are not the paper's" in said


def test_without_options_the_kept_network_seven_times(evaluate, monkeypatch):
    seen = []

    def remember(model, image, *, rotations):
        seen.append((model.card["data"], rotations))
        return np.stack([np.zeros(image.shape), np.ones(image.shape)])

    monkeypatch.setattr(challenge, "predict", remember)
    code, said, _ = evaluate()
    assert code == 0
    assert seen == 3 * [("isbi2012", 7)]
    assert "isbi2012.safetensors, base width 16, trained on 17 images of isbi2012" in said
    assert "mean of 7 rotations" in said


@pytest.mark.parametrize("most", [1, 255, 65535])
def test_predictions_in_a_file(evaluate, tmp_path, most):
    certainty = np.where(squares(0) > 0, 0.93, 0.35) * most
    dtype = {1: np.float32, 255: np.uint8, 65535: np.uint16}[most]
    tifffile.imwrite(tmp_path / "p.tif", certainty.astype(dtype), photometric="minisblack")
    code, said, _ = evaluate("--predictions", tmp_path / "p.tif", "--out", tmp_path / "s.json")
    assert code == 0
    assert f"predictions: {tmp_path / 'p.tif'}\n" in said
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["all"]["pixel_error"] == 0
    assert row(said, "here")["warping_error"] == "0.000000"


def test_predictions_of_other_slices(evaluate, tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.ones((2, 64, 64), np.float32))
    code, _, err = evaluate("--predictions", tmp_path / "p.tif")
    assert code == 2
    assert "p.tif: (2, 64, 64), the test slices are (3, 64, 64)" in err


def test_what_can_be_said_of_the_labels(evaluate, archive, network):
    _, said, err = evaluate("--weights", network, "--rotations", 1)
    assert "right in shape, type and values; more cannot be checked, as no hash" in said
    assert f"SHA-256 {entry(squares(0))['pixels_sha256'][:12]}..." in said
    assert err == ""


@pytest.mark.parametrize("change", [lambda a: a // 255, lambda a: a > 0, lambda a: a.astype(np.uint16) * 257])
def test_labels_of_other_types(evaluate, archive, network, change):
    relabel(archive, change)
    assert evaluate("--weights", network, "--rotations", 1)[::2] == (0, "")


@pytest.mark.parametrize(
    ("change", "told"),
    [(lambda a: a[:2], "(2, 64, 64), the test slices are (3, 64, 64); use test-labels.tif of https://"),
     (lambda a: a[:, :, :63], "(3, 64, 63), the test slices are"),
     (lambda a: np.where(np.eye(64) > 0, 128, a).astype(np.uint8), "uint8 with the values [  0 128 255]; labels are"),
     (lambda a: (a / 255).astype(np.float32), "float32 with the values [0. 1.]; labels are integers"),
     (lambda a: a // 255 + 1, "uint8 with the values [1 2]; labels are"),
     (lambda a: a * 0, "uint8 with the values [0]; labels are"),
     (lambda a: np.arange(3 * 64 * 64).reshape(SIZE).astype(np.uint16), "[0 1 2 3] and others; labels are"),
     (lambda a: 255 - a, "% are not 0, of this tissue about 78 % are cell; invert the labels"),
     (lambda a: squares(5), "the labels of the training slices; use test-labels.tif"),
     (lambda a: squares(5) // 255, "the labels of the training slices; use test-labels.tif")],
)  # fmt: skip
def test_what_cannot_be_the_labels(evaluate, archive, monkeypatch, change, told):
    monkeypatch.setattr(challenge, "predicted", lambda _: pytest.fail("it predicted"))
    relabel(archive, change)
    code, _, err = evaluate()
    assert code == 2
    assert "test-labels.tif: " in err
    assert told in err


def test_no_labels_at_all(run, archive):
    assert run("evaluate", "--test-labels", archive / "none.tif")[::2] == (
        2, f"unet-edu: {archive / 'none.tif'}: no such file")  # fmt: skip


def test_slices_must_be_there_and_as_published(evaluate, archive, network):
    tifffile.imwrite(archive / "test-volume.tif", np.zeros(SIZE, np.uint8), photometric="minisblack")
    code, _, err = evaluate("--weights", network)
    assert code == 2
    assert "test-volume.tif was altered" in err
    (archive / "test-volume.tif").unlink()
    code, _, err = evaluate("--weights", network)
    assert code == 2
    assert "test-volume.tif is missing; run: unet-edu data fetch isbi2012" in err


def test_specks_are_pieces_of_up_to_three_pixels_of_either_kind():
    cells = np.ones((2, 20, 20), bool)
    assert challenge.specks(cells) == 0  # what is not there is no small piece
    cells[:, :, 9] = False
    assert challenge.specks(cells) == 0
    cells[0, 3, 3:6] = False  # three pixels of membrane
    assert challenge.specks(cells) == 0.5
    cells[1, 3, 3:7] = False  # four are no speck
    assert challenge.specks(cells) == 0.5
    cells[1, 10, 10] = False  # hangs on to the wall by its corner
    assert challenge.specks(cells) == 0.5
    cells[:, 12:20, 12:20] = False
    cells[1, 15, 15] = True  # of cell
    assert challenge.specks(cells) == 1


@pytest.mark.parametrize(("count", "warned"), [(3, False), (4, True)])
def test_labels_with_specks_are_told(evaluate, archive, network, count, warned):
    def specked(labels):
        for y in range(count):
            labels[0, 16 * y + 6, 6] = 0
        return labels

    relabel(archive, specked)
    code, _, err = evaluate("--weights", network, "--rotations", 1)
    assert code == 0
    assert (f"{count / 3:.1f} specks of up to 3 pixels a slice; labels drawn by people" in err) == warned
    assert ("looks like a network's output" in err) == warned


def test_people_draw_no_specks_and_networks_do(isbi2012):
    """Where the limit comes from; the network is the best that is here, on the quieter slices, averaged."""
    people = challenge.specks(isbi2012.classes > 0)
    model = UNet.load(challenge.data_path(challenge.KEPT))
    cell = np.stack([tiling.predict(model, isbi2012.images[i], rotations=3)[1] for i in (11, 13)])
    drawn = challenge.specks(cell > 0.5)
    assert people == pytest.approx(0.1)
    assert 10 * people <= challenge.SPECKS < drawn / 2


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--labels", "l"], "--labels l: has no meaning beside --test-labels"),
     (["--unknown", 0], "--unknown 0: has no meaning beside --test-labels"),
     (["--metrics", "cells"], "--metrics cells: the test labels of the EM challenge have the scores em"),
     (["--predictions", "p", "--weights", "w"], "--weights w: has no meaning beside --predictions"),
     (["--predictions", "p", "--rotations", 7], "--rotations 7: has no meaning beside --predictions"),
     (["--predictions", "p", "--device", "cpu"], "--device cpu: has no meaning beside --predictions"),
     (["--predictions", "p"], "p: must end in .tif"), (["--weights", "w"], "w")],
)  # fmt: skip
def test_contradictions(evaluate, more, told):
    code, _, err = evaluate(*more)
    assert code == 2
    assert err.startswith("unet-edu: ")
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "name --predictions and --labels; or, for Table 1 of the paper, --test-labels"),
     (["--predictions", "p"], "name --predictions and --labels"), (["--labels", "l"], "name --predictions and"),
     (["--weights", "w"], "name --predictions and --labels"),
     (["--predictions", "p", "--labels", "l", "--weights", "w"], "--weights w: only with --test-labels"),
     (["--predictions", "p", "--labels", "l", "--rotations", 3], "--rotations 3: only with --test-labels"),
     (["--predictions", "p", "--labels", "l", "--device", "cpu"], "--device cpu: only with --test-labels")],
)  # fmt: skip
def test_without_test_labels(run, arguments, told):
    code, _, err = run("evaluate", *arguments)
    assert code == 2
    assert err.startswith(f"unet-edu: {told}")


def test_the_row_is_that_of_the_paper():
    assert challenge.DECIMALS.keys() == paper.TABLE1["u-net"].keys() | {"v_rand", "v_info"}
