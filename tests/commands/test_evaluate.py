import json

import numpy as np
import pytest
import tifffile

from unet_edu import images, metrics


@pytest.fixture
def found(own, drawn):
    """Predictions of all three images: exact, without the largest cell, and one cell in all."""
    (own / "found").mkdir()
    largest = np.bincount(drawn[1][1].ravel())[1:].argmax() + 1
    cells = drawn[1][0], np.where(drawn[1][1] == largest, 0, drawn[1][1]), (drawn[1][2] > 0).astype(int)
    rng = np.random.default_rng(0)
    for name, labels in zip("abc", cells, strict=True):
        probability = (0.6 * (labels > 0) + 0.4 * rng.random(labels.shape)).astype(np.float32)
        tifffile.imwrite(own / "found" / f"{name}_labels.tif", labels.astype(np.uint16))
        tifffile.imwrite(own / "found" / f"{name}_probability.tif", probability)
    return own / "found"


def values(table, row):
    names, *rows = (line.split() for line in table.splitlines())
    return dict(zip(names, next(line for line in rows if line[0] == row)[1:], strict=True))


def test_cells(run, own, found, drawn):
    code, out, err = run("evaluate", "--predictions", found, "--labels", own / "labels", "--out", own / "s.json")
    assert (code, err) == (0, "")
    record = json.loads((own / "s.json").read_text())
    scores = record["scores"]
    assert record["metrics"] == "cells"
    assert list(scores) == ["a", "b", "c", "all"]
    predicted = [images.read(found / f"{name}_labels.tif").astype(int) for name in "abc"]
    for i, name in enumerate("abc"):
        assert scores[name]["seg"] == metrics.seg(drawn[1][i], predicted[i])
        assert scores[name]["iou"] == metrics.iou(drawn[1][i], predicted[i])
    assert scores["all"]["seg"] == metrics.seg(list(drawn[1]), predicted)
    assert scores["all"]["iou"] == metrics.iou(drawn[1], np.stack(predicted))
    assert scores["a"]["seg"] == scores["a"]["iou"] == 1
    count = len(np.unique(drawn[1][1])) - 1
    assert (scores["b"]["cells"], scores["b"]["found"]) == (count, count - 1)
    assert values(out, "all")["seg"] == f"{scores['all']['seg']:.4f}"
    assert values(out, "b")["found"] == str(count - 1)


def test_em(run, own, found, drawn):
    arguments = "--predictions", found, "--labels", own / "labels", "--metrics", "em", "--out", own / "s.json"
    code, out, _ = run("evaluate", *arguments)
    assert code == 0
    probability = np.stack([images.read(found / f"{name}_probability.tif") for name in "abc"])
    expected = metrics.em_scores(drawn[1], probability)
    assert json.loads((own / "s.json").read_text()) == {"metrics": "em", "scores": {"all": expected}}
    assert values(out, "all")["v_rand"] == f"{expected['v_rand']:.4f}"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stacks_in_files_and_certainties_in_whole_numbers(run, own, drawn, dtype):
    most = 1 if dtype == np.float32 else np.iinfo(dtype).max
    certainty = np.where(drawn[1] > 0, 0.93, 0.35) * most
    tifffile.imwrite(own / "p.tif", certainty.astype(dtype), photometric="minisblack")
    tifffile.imwrite(own / "l.tif", (drawn[1] > 0).astype(np.uint8) * 255, photometric="minisblack")
    arguments = "--predictions", own / "p.tif", "--labels", own / "l.tif", "--metrics", "em", "--out", own / "s.json"
    assert run("evaluate", *arguments)[0] == 0
    assert json.loads((own / "s.json").read_text())["scores"]["all"]["pixel_error"] == 0


def test_predictions_of_some_images(run, own, found):
    (found / "b_labels.tif").unlink()
    code, out, err = run("evaluate", "--predictions", found, "--labels", own / "labels")
    assert code == 0
    assert err == "unet-edu: labels without a prediction, left out: b"
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["a", "c", "all"]


def test_a_prediction_without_labels(run, own, found):
    (own / "labels" / "b_mask.tif").unlink()
    code, _, err = run("evaluate", "--predictions", found, "--labels", own / "labels")
    assert code == 2
    assert "labels for b; add them" in err


def test_files_without_our_endings(run, own, found):
    (own / "theirs").mkdir()
    for name in "abc":
        (found / f"{name}_labels.tif").rename(own / "theirs" / f"{name}.tif")
    assert run("evaluate", "--predictions", own / "theirs", "--labels", own / "labels")[0] == 0


def test_an_empty_prediction_scores_nothing(run, own, found, drawn):
    tifffile.imwrite(found / "a_labels.tif", np.zeros((96, 96), np.uint16))
    code, out, _ = run("evaluate", "--predictions", found, "--labels", own / "labels")
    assert code == 0
    assert values(out, "a") == {"seg": "0.0000", "iou": "0.0000", "cells": values(out, "a")["cells"], "found": "0"}


def test_unknown_pixels_do_not_count(run, own, drawn):
    largest = np.bincount(drawn[1][0].ravel())[1:].argmax() + 1
    labels = np.where(drawn[1][0] == largest, 999, drawn[1][0])
    tifffile.imwrite(own / "l.tif", labels.astype(np.uint16))
    tifffile.imwrite(own / "p.tif", np.where(labels == 999, 0, labels).astype(np.uint16))
    files = "--predictions", own / "p.tif", "--labels", own / "l.tif"
    assert values(run("evaluate", *files, "--unknown", 999)[1], "all")["iou"] == "1.0000"
    assert values(run("evaluate", *files)[1], "all")["iou"] < "1"
    code, _, err = run("evaluate", *files, "--unknown", 999, "--metrics", "em")
    assert code == 2
    assert "--unknown 999: the EM challenge knows every pixel" in err


@pytest.mark.parametrize("metric", ["cells", "em"])
def test_sizes_must_agree(run, own, found, metric):
    kind = {"cells": "labels", "em": "probability"}[metric]
    path = found / f"b_{kind}.tif"
    tifffile.imwrite(path, tifffile.imread(path)[:90])
    code, _, err = run("evaluate", "--predictions", found, "--labels", own / "labels", "--metrics", metric)
    assert code == 2
    assert str(path) in err
    assert "90, 96" in err
    assert "96, 96" in err


def test_images_of_several_sizes(run, own, found):
    for path in (found / "b_probability.tif", found / "b_labels.tif", own / "labels" / "b_mask.tif"):
        tifffile.imwrite(path, tifffile.imread(path)[:90])
    files = "--predictions", found, "--labels", own / "labels"
    assert run("evaluate", *files)[0] == 0
    code, _, err = run("evaluate", *files, "--metrics", "em")
    assert code == 2
    assert "b_mask.tif: (90, 96), others (96, 96); score each size alone" in err


def test_other_mistakes(run, own, found):
    files = "--labels", own / "labels"
    one = "--predictions", found / "a_probability.tif", "--labels", own / "labels" / "a_mask.tif"
    code, _, err = run("evaluate", *one)
    assert (code, "a_probability.tif: holds float32; labels are integers" in err) == (2, True)
    code, _, err = run("evaluate", "--predictions", own / "nowhere", *files)
    assert (code, err) == (2, f"unet-edu: {own / 'nowhere'}: no such file or folder")
    code, _, err = run("evaluate", "--predictions", own / "labels", *files)
    assert code == 2
    assert "given as image and as labels" in err
    tifffile.imwrite(found / "a_probability.tif", np.full((96, 96), 3.0, np.float32))
    code, _, err = run("evaluate", "--predictions", found, *files, "--metrics", "em")
    assert code == 2
    assert "must be in [0, 1]" in err
    code, _, err = run("evaluate", "--predictions", found, *files, "--out", own / "no" / "s.json")
    assert code == 2
