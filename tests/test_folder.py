from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from unet_edu import datasets, folder, synthetic, training
from unet_edu.tiling import predict

IDS = np.zeros((12, 14), np.uint16)
IDS[1:4, 1:4], IDS[1:4, 4:7], IDS[7:10, 2:9] = 3, 5, 400
BOXES = np.zeros((12, 14), np.uint8)
BOXES[1:4, 1:4], BOXES[4:6, 4:6], BOXES[8:10, 2:9] = 1, 1, 1  # the first two share a corner


def written(path, pixels):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels)
    return path


@pytest.fixture
def own(tmp_path):
    """Three 16-bit images of 12 bits, and labels by ids."""
    rng = np.random.default_rng(0)
    for k, height in enumerate((12, 12, 9)):
        written(tmp_path / "images" / f"c{k}.tif", rng.integers(100, 3000 + 300 * k, (height, 14), dtype=np.uint16))
        written(tmp_path / "labels" / f"c{k}_mask.tif", IDS[:height])
    return tmp_path


def load(place, **options):
    return datasets.from_folder(place / "images", place / "labels", **options)


@pytest.mark.parametrize(
    ("file", "name"),
    [("cell7.tif", "cell7"), ("a/cell7_mask.png", "cell7"), ("cell7_masks.tif", "cell7"), ("c_label.zarr", "c"),
     ("c_labels.ome.tif", "c"), ("c.1.ome.tif", "c.1"), ("c_cp_masks.png", "c"), ("c_probability.tif", "c"),
     ("c_mask_2.tif", "c_mask_2"), ("unmask.tif", "unmask"), ("_mask.tif", "_mask")],
)  # fmt: skip
def test_name_of_the_image(file, name):
    assert folder.name(file) == name


def test_own_images_as_a_data_set(own):
    data = load(own)
    assert data.name == "folder images"
    assert data.files == ("c0", "c1", "c2")
    assert [image.shape for image in data.images] == [(12, 14), (12, 14), (9, 14)]
    assert np.array_equal(data.instances[0], IDS)
    assert np.array_equal(data.classes[1], IDS > 0)
    assert data.groups.tolist() == [0, 1, 2]
    assert data.folds == 3
    assert data.split(2) == ([0, 1], [2])
    assert data.pixels_sha256 == datasets.pixels_sha256(data.images)
    assert "3 images of the folder images; labels: one number for each cell" in data.origin


def test_images_meet_their_own_labels(own):
    written(own / "labels" / "c1_mask.tif", IDS[::-1].copy())
    data = load(own)
    assert np.array_equal(data.instances[1], IDS[::-1])
    assert np.array_equal(data.instances[0], IDS)


@pytest.mark.parametrize(("count", "folds"), [(1, 1), (2, 2), (5, 5), (7, 5)])
def test_folds_leave_one_out_up_to_five(tmp_path, count, folds):
    for k in range(count):
        written(tmp_path / "images" / f"{k}.png", 90 + BOXES)
        written(tmp_path / "labels" / f"{k}.png", BOXES)
    assert load(tmp_path).folds == folds


def test_the_mean_is_seen_as_0_and_what_is_bright_in_the_brightest_image_as_1(own):
    data = load(own)
    levels = [np.percentile(image, 99.9) for image in data.images]
    assert data.offset == pytest.approx(np.concatenate([np.ravel(image) for image in data.images]).mean())
    assert data.offset != pytest.approx(np.mean([image.mean() for image in data.images]))  # every pixel counts alike
    assert data.offset + data.scale == pytest.approx(levels[2])
    assert 2000 < levels[2] == max(levels) < 4096
    seen = [(image - data.offset) / data.scale for image in data.images]
    assert max(image.max() for image in seen) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("hot", [0, 1])
def test_images_without_contrast_are_refused(tmp_path, hot):
    for k in range(2):
        image = np.full((60, 60), 90, np.uint16)
        image[3, 5] += 30000 * hot
        written(tmp_path / "images" / f"{k}.tif", image)
        written(tmp_path / "labels" / f"{k}.tif", np.eye(60, dtype=np.uint8))
    found = r"no contrast: gray values up to about 90, on average 9\d.*; check exposure and export"
    with pytest.raises(ValueError, match=f"images: {found}"):
        load(tmp_path)
    image[:20] += 1
    written(tmp_path / "images" / "1.tif", image)
    if not hot:  # the faintest contrast will do
        assert load(tmp_path).scale == pytest.approx(1 - 1 / 6)


def test_images_of_low_contrast_are_learned(tmp_path):
    """Drawn cells, gray as in phase contrast: what is bright is a quarter above the mean. Divided alone, they kill."""
    for k, (image, cells) in enumerate(zip(*synthetic.cells(frames=3, size=160, seed=4), strict=True)):
        written(tmp_path / "images" / f"{k}.tif", image)
        written(tmp_path / "labels" / f"{k}.tif", cells.astype(np.uint16))
    data = load(tmp_path)
    config = training.TrainingConfig(steps=200, output_tile=68, base_channels=8, depth=3, dropout=0, warmup=50,
                                     weighting="none", precision="float32", device="cpu")  # fmt: skip

    def cell(**gray_range):
        result = training.train(replace(config, **gray_range), data, progress=False)
        return 1 - predict(result.model, data.images[0])[0]

    assert np.ptp(cell(offset=0.0, scale=data.offset + data.scale)) < 0.1  # the reason for the offset, kept alive
    centered = cell()
    assert np.ptp(centered) > 0.5
    assert np.corrcoef(centered.ravel(), data.classes[0].ravel())[0, 1] > 0.5


def test_type_is_one_for_all(own):
    written(own / "images" / "c1.tif", np.full((12, 14), 90, np.uint8))
    with pytest.raises(ValueError, match=r"c1.tif: uint8, \S*c0.tif: uint16; save all in one type"):
        load(own)


def test_black_and_white_is_no_image(own):
    for k in range(3):
        written(own / "images" / f"c{k}.tif", np.ones((12 if k < 2 else 9, 14), bool))
    with pytest.raises(ValueError, match="c0.tif: of type bool, a mask rather than an image"):
        load(own)


def test_floats_must_be_about_one(own):
    def replaced(factor):
        for k in range(3):
            path = own / "images" / f"c{k}.tif"
            written(path, np.full((12 if k < 2 else 9, 14), factor, np.float32))
        return load(own)

    assert replaced(0.8).images[0].dtype == np.float32
    assert (load(own).offset, load(own).scale) == (0, pytest.approx(0.8))  # and taken as they are
    with pytest.raises(ValueError, match="images: gray values reach 3000, the network expects about 1; floats are not"):
        replaced(3000)
    with pytest.raises(ValueError, match="images: all gray values are 0"):
        replaced(0)


@pytest.mark.parametrize("white", [1, 255, 7])
def test_masks_are_cut_into_what_hangs_together(own, white):
    for k in range(3):
        written(own / "labels" / f"c{k}_mask.tif", BOXES[: 12 if k < 2 else 9] * np.uint8(white))
    data = load(own)
    assert data.instances[0].max() == 3  # corners do not hang together
    assert data.instances[2].max() == 3
    assert np.array_equal(data.instances[0] > 0, BOXES > 0)
    assert "masks" in data.origin


def test_masks_may_differ_in_what_white_is(own):
    written(own / "labels" / "c0_mask.tif", BOXES)
    written(own / "labels" / "c1_mask.tif", BOXES * np.uint8(255))
    written(own / "labels" / "c2_mask.tif", BOXES[:9] > 0)
    assert [image.max() for image in load(own).instances] == [3, 3, 3]


def test_a_single_id_among_images_of_many_is_no_mask(own):
    written(own / "labels" / "c0_mask.tif", BOXES)
    assert load(own).instances[0].max() == 1


@pytest.mark.parametrize("white", [np.uint8(255), np.uint16(255), np.uint16(65535), True])
def test_a_black_and_white_mask_among_numbers_is_refused(own, white):
    written(own / "labels" / "c1_mask.tif", BOXES * white if white is not True else BOXES > 0)
    shown = 255 if white is True else white
    with pytest.raises(ValueError, match=rf"c1_mask.tif: a mask, {shown} on 3 pieces, but \S*c0_mask.tif has a number"):
        load(own)


def test_white_in_one_piece_is_one_cell_either_way(own):
    written(own / "labels" / "c1_mask.tif", np.where(IDS == 400, 255, 0).astype(np.uint8))
    assert load(own).instances[1].max() == 255


def test_white_is_a_number_like_others_where_there_are_others(own):
    written(own / "labels" / "c1_mask.tif", np.where(IDS == 400, 255, IDS).astype(np.uint16))
    assert len(np.unique(load(own).instances[1])) == 4


def test_a_mask_among_numbers_may_be_a_prediction(tmp_path):
    paths = [written(tmp_path / f"{k}.tif", image) for k, image in enumerate((BOXES * np.uint8(255), IDS))]
    assert folder.read_labels(paths, strict=False).instances[0].max() == 255


def test_unknown_pixels(own):
    data = load(own, unknown=400)
    assert np.array_equal(data.classes[0], np.select([IDS == 400, IDS > 0], [-1, 1], 0))
    assert np.array_equal(data.instances[0], np.where(IDS == 400, 0, IDS))
    assert (load(own).classes[0] >= 0).all()


def test_unknown_does_not_make_ids_of_a_mask(own):
    for k in range(3):
        mask = BOXES[: 12 if k < 2 else 9] * np.uint8(255)
        mask[0] = 128
        written(own / "labels" / f"c{k}_mask.tif", mask)
    data = load(own, unknown=128)
    assert data.instances[0].max() == 3
    assert (data.classes[0][0] == -1).all()
    assert load(own).instances[0].max() == 255


def test_unknown_may_be_negative(own):
    for k in range(3):
        labels = IDS[: 12 if k < 2 else 9].astype(np.int16)
        labels[0, 0] = -1
        written(own / "labels" / f"c{k}_mask.tif", labels)
    assert load(own, unknown=-1).classes[0][0, 0] == -1
    with pytest.raises(ValueError, match=r"c0_mask.tif: holds negative labels \(-1\); if they mean unknown"):
        load(own)


def test_names_without_partner_are_listed(own):
    (own / "labels" / "c1_mask.tif").rename(own / "labels" / "d_mask.tif")
    with pytest.raises(ValueError, match="no labels for c1; no image for d; name them alike, or move them"):
        load(own)
    (own / "labels" / "d_mask.tif").unlink()
    with pytest.raises(ValueError, match="no labels for c1; no image for none"):
        load(own)
    written(own / "labels" / "c1_mask.tif", IDS)
    (own / "images" / "c0.tif").unlink()
    with pytest.raises(ValueError, match="no labels for none; no image for c0"):
        load(own)


def test_no_pair_at_all(own):
    for k in range(3):
        (own / "labels" / f"c{k}_mask.tif").rename(own / "labels" / f"c{k}-truth.tif")
    with pytest.raises(ValueError, match=r"no file in .*images \(c0, c1, c2\) has the name of one in .*c0-truth"):
        load(own)


def test_two_files_of_one_name(own):
    written(own / "labels" / "c1.png", BOXES)
    with pytest.raises(ValueError, match=r"c1.png and .*c1_mask.tif: both have the name c1; rename one"):
        load(own)


def test_images_are_not_their_own_labels(own):
    with pytest.raises(ValueError, match="c0.tif: given as image and as labels"):
        datasets.from_folder(own / "images", own / "images")


def test_two_files_need_no_common_name(own):
    data = datasets.from_folder(own / "images" / "c0.tif", own / "labels" / "c1_mask.tif")
    assert data.files == ("c0",)
    with pytest.raises(ValueError, match="no labels for c1, c2; no image for none"):
        datasets.from_folder(own / "images", own / "labels" / "c0_mask.tif")


def test_sizes_must_agree(own):
    written(own / "labels" / "c1_mask.tif", IDS[:11])
    with pytest.raises(ValueError, match=r"c1.tif: \(12, 14\), its labels are \(11, 14\); height and width"):
        load(own)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros((12, 14), np.uint8), "shows no cell, all labels are 0"),
     (IDS.astype(np.float32), "holds float32; labels are integers"),
     (np.stack([IDS, IDS]), "holds images of shape"),
     (np.random.default_rng(0).integers(0, 9, (12, 14, 3), dtype=np.uint8), "3 channels of color")],
)  # fmt: skip
def test_labels_that_are_none(own, labels, message):
    written(own / "labels" / "c1_mask.tif", labels)
    with pytest.raises(ValueError, match=f"c1_mask.tif: {message}"):
        load(own)


def test_a_set_without_background_is_refused(own):
    for k in range(3):
        written(own / "labels" / f"c{k}_mask.tif", BOXES[: 12 if k < 2 else 9] + 1)
    with pytest.raises(ValueError, match="c0_mask.tif: no label is 0, smallest: 1; 0 must be background"):
        load(own)
    written(own / "labels" / "c1_mask.tif", BOXES)
    load(own)


def test_predictions_may_be_empty(tmp_path):
    empty, full = (written(tmp_path / f"{k}.tif", np.full((4, 5), k, np.uint8)) for k in (0, 1))
    assert not folder.read_labels([empty], strict=False).instances[0].any()
    assert (folder.read_labels([empty, full], strict=False).instances[1] == 1).all()


def test_ids_of_any_size(tmp_path):
    path = written(tmp_path / "a.tif", np.array([[0, 2**32 - 1, 5]], np.uint32))
    assert folder.read_labels([path]).instances[0].tolist() == [[0, 2**32 - 1, 5]]


@pytest.mark.parametrize(("names", "text"), [([], "none"), ("ba", "a, b"), ("abcde", "a, b, c, d, e"),
                                         ("abcdefg", "a, b, c, d, e and 2 more")])  # fmt: skip
def test_long_lists_are_cut(names, text):
    assert folder.few(names) == text


def test_many_images_keep_no_file_open(own, monkeypatch):
    assert not any(isinstance(image, np.memmap) for image in load(own).images)
