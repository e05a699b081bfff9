import hashlib
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from unet_edu import datasets, synthetic


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A real set of two slices in the place of isbi2012, with its own published pixels."""
    rng = np.random.default_rng(0)
    files = {"train-volume.tif": rng.integers(0, 256, (30, 8, 9), dtype=np.uint8),
             "train-labels.tif": 255 * rng.integers(0, 2, (30, 8, 9), dtype=np.uint8),
             "test-volume.tif": rng.integers(0, 256, (30, 8, 9), dtype=np.uint8)}  # fmt: skip
    entry = {**datasets.REAL["isbi2012"], "files": {}}
    folder = tmp_path / "data" / "isbi2012"
    folder.mkdir(parents=True)
    for name, pixels in files.items():
        tifffile.imwrite(folder / name, pixels, compression="zlib")
        entry["files"][name] = {"shape": [30, 8, 9], "dtype": "uint8",
                                "pixels_sha256": datasets.pixels_sha256([pixels])}  # fmt: skip
    monkeypatch.setitem(datasets.REAL, "isbi2012", entry)
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data"


def test_real_stack(isbi2012):
    data = isbi2012
    assert np.shape(data.images) == np.shape(data.classes) == np.shape(data.instances) == (30, 512, 512)
    assert data.images.dtype == np.uint8
    assert data.pixels_sha256 == datasets.REAL["isbi2012"]["files"]["train-volume.tif"]["pixels_sha256"]
    membrane = [(c == 0).mean() for c in data.classes]
    assert 0.165 < min(membrane) < max(membrane) < 0.275
    assert set(np.unique(data.classes)) == {0, 1}


def test_folds_of_the_real_stack(isbi2012):
    """Each fold holds out a contiguous block from both halves, and no training slice touches one."""
    seen = []
    for fold in range(3):
        train, held_out = isbi2012.split(fold)
        assert len(held_out) == 10
        assert sum(i < 15 for i in held_out) == 5
        assert all(abs(t - h) > 1 for t in train for h in held_out)
        assert len(train) >= 16
        seen += held_out
    assert sorted(seen) == list(range(30))


def test_synthetic_set():
    data = datasets.load("synthetic-membranes")
    assert np.shape(data.images) == (12, 256, 256)
    assert data.pixels_sha256 == datasets.load("synthetic-membranes").pixels_sha256
    for classes, instances in zip(data.classes, data.instances, strict=True):
        assert np.array_equal(classes > 0, instances > 0)
        assert ndimage.label(classes)[1] == len(np.unique(instances)) - 1


def test_synthetic_cells():
    data = datasets.load("synthetic-cells")
    assert np.shape(data.images) == np.shape(data.instances) == (12, 256, 256)
    assert np.array_equal(data.classes, np.asarray(data.instances) > 0)  # and nothing is unknown
    assert data.pixels_sha256 == datasets.pixels_sha256([data.images])
    assert datasets.available("synthetic-cells")
    assert data.split(0, 2) == ([6, 7, 8, 9, 10, 11], [0, 1, 2, 3, 4, 5])  # one sequence or the other
    assert np.array_equal(data.images[:6], synthetic.cells(6, 256, seed=0)[0])
    assert np.array_equal(data.instances[6:], synthetic.cells(6, 256, seed=1)[1])


def test_split_none_holds_out_nothing():
    train, held_out = datasets.load("synthetic-membranes").split(None)
    assert (train, held_out) == (list(range(12)), [])


def test_bad_folds():
    data = datasets.load("synthetic-membranes")
    with pytest.raises(ValueError, match="fold=3: must be 0 to 2"):
        data.split(3)
    with pytest.raises(ValueError, match="folds=1: .* 2 or more"):
        data.split(0, 1)
    with pytest.raises(ValueError, match="folds=9: 6 groups"):
        data.split(8, 9)


@pytest.mark.parametrize(("groups", "gap"), [([5, 5, 5, 5], 0), ([0, 0, 1, 1], 2)])
def test_a_fold_that_leaves_nothing_to_train_on(groups, gap):
    """All images of one group, or all that are not held out close to one that is."""
    image = np.zeros((4, 4, 4))
    data = datasets.Dataset("", "", image, image.astype(int), image.astype(int), np.array(groups), "", gap=gap)
    with pytest.raises(ValueError, match=f"folds=2: {len(set(groups))} groups with a gap of {gap} .*; add groups"):
        data.split(0, 2)


def test_groups_may_have_any_names():
    image = np.zeros((6, 4, 4))
    data = datasets.Dataset("", "", image, image.astype(int), image.astype(int), np.array([2, 2, 4, 4, 6, 6]), "")
    assert data.split(0, 2) == ([2, 3], [0, 1, 4, 5])
    assert data.split(1, 2) == ([0, 1, 4, 5], [2, 3])


def test_an_empty_folder_is_no_data_set(tmp_path):
    (tmp_path / "isbi2012").mkdir()
    assert not datasets.available("isbi2012", tmp_path)


def test_instances_are_4_connected_components(tiny):
    data = datasets.load("isbi2012", tiny)
    for labels, instances in zip(data.classes, data.instances, strict=True):
        expected, count = ndimage.label(labels, [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
        assert instances.max() == count
        assert np.array_equal(instances, expected)


def test_places_are_searched_in_order(tiny, monkeypatch, tmp_path):
    assert not datasets.available("isbi2012")
    with pytest.raises(FileNotFoundError, match="unet-edu data fetch isbi2012"):
        datasets.load("isbi2012")
    assert datasets.available("isbi2012", tiny)
    monkeypatch.setenv("UNET_EDU_DATA", str(tiny))
    assert datasets.load("isbi2012").name == "isbi2012"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("UNET_EDU_DATA", str(tmp_path / "elsewhere"))
    assert not datasets.available("isbi2012")
    (tmp_path / "cache" / "unet-edu").mkdir(parents=True)
    (tiny / "isbi2012").rename(tmp_path / "cache" / "unet-edu" / "isbi2012")
    assert datasets.load("isbi2012").name == "isbi2012"


def test_a_misspelt_folder_is_no_reason_for_other_data(monkeypatch, tmp_path):
    monkeypatch.setenv("UNET_EDU_DATA", str(tmp_path / "mispelt"))
    for ask in (datasets.load, datasets.available):
        with pytest.raises(FileNotFoundError, match="mispelt: no such folder; correct it or unset it"):
            ask("isbi2012")


def test_altered_pixels(tiny):
    path = tiny / "isbi2012" / "train-volume.tif"
    pixels = tifffile.imread(path)
    pixels[3, 4, 5] ^= 1
    tifffile.imwrite(path, pixels)
    with pytest.raises(ValueError, match=r"train-volume.tif was altered: .*; run: unet-edu data fetch isbi2012"):
        datasets.load("isbi2012", tiny)


def test_recompressed_pixels_pass(tiny):
    path = tiny / "isbi2012" / "train-volume.tif"
    tifffile.imwrite(path, tifffile.imread(path))
    datasets.load("isbi2012", tiny)


def test_missing_file(tiny):
    (tiny / "isbi2012" / "train-labels.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-labels.tif is missing; run: unet-edu data fetch isbi2012"):
        datasets.load("isbi2012", tiny)


@pytest.mark.parametrize("kept", [0, 4, 100, 1000])
def test_truncated_file(tiny, kept):
    path = tiny / "isbi2012" / "train-volume.tif"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"train-volume.tif .*; run: unet-edu data fetch isbi2012"):
        datasets.load("isbi2012", tiny)


def test_other_shape(tiny):
    tifffile.imwrite(tiny / "isbi2012" / "train-volume.tif", np.zeros((29, 8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"is uint8 \(29, 8, 9\), published: uint8 \[30, 8, 9\]; run"):
        datasets.load("isbi2012", tiny)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'isbi': must be one of isbi2012, phc-u373, dic-hela, synthetic-membranes"):
        datasets.load("isbi")


def test_manifest_is_complete():
    for entry in datasets.REAL.values():
        assert {"title", "archive", "cite", "terms", "files"} <= entry.keys()
        assert all(entry[part] for part in ("title", "archive", "cite", "terms"))
        for file in entry["files"].values():
            assert len(file["pixels_sha256"]) == 64
    frames = {name: sum("/t" in file for file in entry["files"]) for name, entry in datasets.REAL.items()}
    assert frames == {"isbi2012": 0, "phc-u373": 34, "dic-hela": 18}
    assert [len(entry["files"]) for entry in datasets.REAL.values()] == [3, 4 * 34, 4 * 18]


def test_folds_of_the_published_layout(tiny):
    test_folds_of_the_real_stack(datasets.load("isbi2012", tiny))


def test_what_the_files_hold(tiny):
    data = datasets.load("isbi2012", tiny)
    assert np.array_equal(data.images, tifffile.imread(tiny / "isbi2012" / "train-volume.tif"))
    labels = tifffile.imread(tiny / "isbi2012" / "train-labels.tif")
    assert np.array_equal(data.classes, labels == 255)  # white is cell
    assert data.pixels_sha256 == datasets.REAL["isbi2012"]["files"]["train-volume.tif"]["pixels_sha256"]


def test_folds_of_the_synthetic_set():
    assert datasets.load("synthetic-membranes").split(0) == ([3, 4, 9, 10, 11], [0, 1, 6, 7])


def test_other_type(tiny):
    path = tiny / "isbi2012" / "train-volume.tif"
    tifffile.imwrite(path, tifffile.imread(path).view(np.int8))  # the same bytes
    with pytest.raises(ValueError, match=r"is int8 \(30, 8, 9\), published: uint8"):
        datasets.load("isbi2012", tiny)


def test_the_digest_is_of_all_images():
    first, second = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    assert datasets.pixels_sha256([first, second]) != datasets.pixels_sha256([first])
    assert datasets.pixels_sha256([first, second]) == datasets.pixels_sha256([np.stack([first, second])])


def test_the_digest_is_of_the_bytes_row_by_row():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert datasets.pixels_sha256([image.T.copy().T]) == hashlib.sha256(bytes(range(6))).hexdigest()


def test_the_named_folder_comes_before_the_cache(tiny, monkeypatch):
    (datasets.cache_dir() / "isbi2012").mkdir(parents=True)
    (datasets.cache_dir() / "isbi2012" / "train-volume.tif").touch()
    assert datasets.find("isbi2012") == datasets.cache_dir() / "isbi2012"
    monkeypatch.setenv("UNET_EDU_DATA", str(tiny))
    assert datasets.find("isbi2012") == tiny / "isbi2012"


def test_folds_are_the_sets_own_unless_said_otherwise():
    image = np.zeros((4, 4, 4))
    data = datasets.Dataset("", "", image, image.astype(int), image.astype(int), np.arange(4), "", folds=2)
    assert data.split(1) == data.split(1, 2) == ([0, 2], [1, 3])
    assert data.split(1, 4) == ([0, 2, 3], [1])
    with pytest.raises(ValueError, match="fold=2: must be 0 to 1"):
        data.split(2)
    with pytest.raises(ValueError, match="folds=0: "):
        data.split(0, 0)
    assert datasets.load("synthetic-membranes").folds == 3


def test_every_set_states_its_terms(tiny):
    assert datasets.load("isbi2012", tiny).terms == datasets.REAL["isbi2012"]["terms"]
    assert datasets.load("isbi2012", tiny).folds == 3
    assert datasets.load("synthetic-membranes").terms == "Free: drawn by this library."


def test_card_by_hand():
    instances = [np.array([[5, 5, 0, 0], [9, 0, 0, 0], [0, 4, 0, 2]]), np.zeros((2, 4), int), np.full((3, 4), 8)]
    classes = [np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 2, -1, 1]]), np.full((2, 4), -1), np.ones((3, 4), int)]
    images = [np.zeros((3, 4)), np.zeros((3, 2, 4)), np.zeros((3, 4))]  # the second has three channels
    data = datasets.Dataset("", "", images, classes, instances, np.array([7, 3, 7]), "", num_classes=3, terms="mine")
    assert datasets.card(data) == {
        "images": {"count": 3, "by_group": [1, 2]},
        "sizes": [[2, 4], [3, 4]],
        "cells": {"min": 0, "median": 1.0, "max": 4},
        "unknown": 9 / 32,
        "touching_pairs": 2,  # 5 and 9 by a side, 4 and 9 by a corner
        "class_frequencies": [pytest.approx(6 / 23), pytest.approx(16 / 23), pytest.approx(1 / 23)],
        "terms": "mine",
    }


def test_a_card_lists_every_size_once_and_in_order():
    classes = [np.ones(shape, int) for shape in [(9, 4), (30, 1), (2, 70), (9, 4), (9, 3), (1, 8)]]
    data = datasets.Dataset("", "", classes, classes, classes, np.arange(6), "")
    assert datasets.card(data)["sizes"] == [[1, 8], [2, 70], [9, 3], [9, 4], [30, 1]]


@pytest.mark.parametrize("name", datasets.NAMES)
def test_every_set_has_a_card_that_fits_json(name):
    if not datasets.available(name):
        pytest.skip(f"{name} is not here: unet-edu data fetch {name}")
    data = datasets.load(name)
    card = json.loads(json.dumps(datasets.card(data)))
    assert card == datasets.card(data)
    assert card["images"]["count"] == sum(card["images"]["by_group"]) == len(data.images)
    assert sum(card["class_frequencies"]) == pytest.approx(1)


def test_gray_values_of_cells_are_centered():
    """Frames of low contrast become values of mean 0 and standard deviation 1/4; other sets stay as they were."""
    cells = datasets.load("synthetic-cells")
    seen = (np.stack(cells.images) - cells.offset) / cells.scale
    assert abs(seen.mean()) < 0.01
    assert seen.std() == pytest.approx(0.25, rel=0.01)
    membranes = datasets.load("synthetic-membranes")
    assert (membranes.scale, membranes.offset) == (255, 0)


def test_the_challenges_images_without_truth(isbi2012):
    stack = datasets.challenge_stack("isbi2012")
    assert (stack.shape, stack.dtype) == ((30, 512, 512), np.uint8)
    assert not np.array_equal(stack, isbi2012.images)
    drawn = datasets.challenge_stack("synthetic-membranes")
    assert drawn.shape == (4, 256, 256)
    assert not any(np.array_equal(drawn[0], image) for image in datasets.load("synthetic-membranes").images)
    with pytest.raises(ValueError, match="'dic-hela' has no images without truth"):
        datasets.challenge_stack("dic-hela")
