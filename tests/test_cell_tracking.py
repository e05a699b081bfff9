import numpy as np
import pytest
import tifffile
from scipy import ndimage

from unet_edu import cell_tracking, datasets
from unet_edu.weight_map import touching_pairs

EIGHT = np.ones((3, 3))


def frame(**squares):
    """A frame of 20 x 24 pixels with squares, id_7=(rows, columns)."""
    made = np.zeros((20, 24), np.uint16)
    for name, (rows, columns) in squares.items():
        made[slice(*rows), slice(*columns)] = int(name.split("_")[1])
    return made


@pytest.fixture
def narrow(monkeypatch):
    """A band of two pixels, so that small frames will do."""
    monkeypatch.setattr(cell_tracking, "EDGE", 2)


def test_images_among_the_files():
    files = ["01/t067.tif", "01_GT/SEG/man_seg067.tif", "01_GT/TRA/man_track067.tif", "02/t003.tif"]
    assert cell_tracking.frames(files) == [("01", "067"), ("02", "003")]


def test_fifty_pixels_along_the_edge_are_unknown_unless_labeled():
    instances = np.zeros((120, 130), int)
    instances[40:60, 5:60] = 3
    (classes,) = cell_tracking.classes([instances], [instances * 0], [instances * 0])
    assert classes.dtype == np.int8
    expected = np.full((120, 130), -1)
    expected[50:70, 50:80] = 0
    expected[40:60, 5:60] = 1
    assert np.array_equal(classes, expected)


@pytest.mark.usefixtures("narrow")
def test_a_frame_within_the_band_is_unknown():
    instances = frame(id_1=((1, 3), (1, 3)))[:4]
    (classes,) = cell_tracking.classes([instances], [instances * 0], [instances * 0])
    assert np.array_equal(classes, np.where(instances > 0, 1, -1))


@pytest.mark.parametrize(("covered", "labeled"), [(0, False), (5, False), (6, True), (10, True)])
def test_a_mask_is_the_cells_if_it_covers_more_than_half_of_the_marker(covered, labeled):
    markers = frame(id_4=((8, 9), (6, 16)))
    masks = frame(id_9=((4, 12), (0, 6 + covered)))
    assert cell_tracking.unlabeled(masks, markers) == ([] if labeled else [4])


def test_two_masks_do_not_add_up():
    markers = frame(id_4=((8, 9), (6, 16)))
    assert cell_tracking.unlabeled(frame(id_1=((8, 9), (6, 11)), id_2=((8, 9), (11, 16))), markers) == [4]


def test_every_marker_is_looked_at():
    markers = frame(id_3=((4, 6), (4, 6)), id_5=((4, 6), (8, 10)), id_8=((9, 12), (9, 12)))
    assert cell_tracking.unlabeled(frame(id_3=((3, 7), (7, 11))), markers) == [3, 8]  # 5 is under mask 3


@pytest.mark.usefixtures("narrow")
def test_an_unlabeled_cell_is_unknown_where_the_silver_truth_shows_it():
    instances = frame(id_7=((4, 10), (4, 9)))
    markers = frame(id_1=((6, 8), (5, 7)), id_2=((6, 8), (11, 15)))
    silver = frame(id_1=((3, 10), (3, 9)), id_6=((5, 12), (7, 14)), id_8=((14, 16), (14, 16)))
    (classes,) = cell_tracking.classes([instances], [markers], [silver])
    inner = np.zeros((20, 24), int)
    inner[5:12, 7:14] = -1  # id 6, though its marker is 2
    inner[6:8, 11:15] = -1  # and the marker itself, which is cell for certain
    inner[4:10, 4:9] = 1  # what is labeled is known
    assert np.array_equal(classes[2:-2, 2:-2], inner[2:-2, 2:-2])


@pytest.mark.usefixtures("narrow")
def test_a_disk_of_the_sets_median_radius_where_the_silver_truth_shows_nothing():
    """Areas 4, 9 and 36 over two frames: the median cell has 9 pixels, so a radius of 1.69."""
    first = frame(id_1=((3, 5), (3, 5)), id_2=((3, 6), (6, 9)))
    second = frame(id_6=((10, 16), (10, 16)))
    markers = frame(id_5=((12, 13), (4, 7)))
    silver = frame(id_3=((12, 13), (6, 7)))  # covers a third of the marker
    classes = cell_tracking.classes([first, second], [markers, markers], [silver, silver])
    disk = np.zeros((20, 24), bool)
    disk[11:14, 4:7] = True  # all at most sqrt(2) from (12, 5)
    for image, instances in zip(classes, (first, second), strict=True):
        inner = np.where(instances > 0, 1, np.where(disk, -1, 0))[2:-2, 2:-2]
        assert np.array_equal(image[2:-2, 2:-2], inner)


def test_small_folder(tiny_cells):
    data = datasets.load("dic-hela", tiny_cells)
    folder = tiny_cells / "dic-hela"
    files = [("01", "003"), ("01", "010"), ("02", "003")]
    for i, (sequence, number) in enumerate(files):
        labels = tifffile.imread(folder / f"{sequence}_GT/SEG/man_seg{number}.tif")
        assert np.array_equal(data.images[i], tifffile.imread(folder / f"{sequence}/t{number}.tif"))
        assert np.array_equal(data.instances[i], labels)
        assert (data.images[i].dtype, data.instances[i].dtype, data.classes[i].dtype) == (np.uint8, np.int32, np.int8)
        expected = np.full((130, 140), -1)
        expected[50:-50, 50:-50] = 0
        expected[60:75, 74:85] = -1
        expected[labels > 0] = 1
        assert np.array_equal(data.classes[i], expected)
    assert data.instances[1].max() == 300
    assert data.groups.tolist() == [0, 0, 1]
    assert (data.folds, data.gap, data.num_classes) == (2, 0, 2)
    assert data.split(0) == ([2], [0, 1])
    assert data.split(1) == ([0, 1], [2])
    assert data.pixels_sha256 == datasets.pixels_sha256(data.images)
    assert "permission" in data.terms


@pytest.mark.parametrize("part", ["01/t003.tif", "01_GT/SEG/man_seg010.tif", "02_GT/TRA/man_track003.tif",
                                  "02_ST/SEG/man_seg003.tif"])  # fmt: skip
def test_every_file_is_verified_and_the_remedy_names_the_set(tiny_cells, part):
    path = tiny_cells / "dic-hela" / part
    pixels = tifffile.imread(path)
    tifffile.imwrite(path, pixels[::-1])
    with pytest.raises(ValueError, match=f"{part} was altered: .*; run: unet-edu data fetch dic-hela$"):
        datasets.load("dic-hela", tiny_cells)
    tifffile.imwrite(path, pixels[:-1])
    with pytest.raises(ValueError, match=r"\(129, 140\), published: .*; run: unet-edu data fetch dic-hela$"):
        datasets.load("dic-hela", tiny_cells)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{part} cannot be read.*; run: unet-edu data fetch dic-hela$"):
        datasets.load("dic-hela", tiny_cells)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing; run: unet-edu data fetch dic-hela$"):
        datasets.load("dic-hela", tiny_cells)


def raw(data):
    """Sequence, frame number, masks, markers and silver truth of every frame of a real set, from its files."""
    folder = datasets.find(data.name)
    for path in sorted(folder.glob("0[12]/t*.tif")):
        sequence, number = path.parent.name, path.stem[1:]
        files = (f"{sequence}_{part}{number}.tif" for part in ("GT/SEG/man_seg", "GT/TRA/man_track", "ST/SEG/man_seg"))
        yield sequence, number, *(tifffile.imread(folder / file) for file in files)


def ids(labels):
    return [i for i in np.unique(labels) if i]


@pytest.fixture(params=["phc_u373", "dic_hela"])
def cells(request):
    return request.getfixturevalue(request.param)


def test_real_frames(phc_u373, dic_hela):
    for data, shape, counts in ((phc_u373, (520, 696), [15, 19]), (dic_hela, (512, 512), [9, 9])):
        assert {image.shape for image in (*data.images, *data.classes, *data.instances)} == {shape}
        assert {image.dtype for image in data.images} == {np.dtype(np.uint8)}
        assert np.bincount(data.groups).tolist() == counts
        assert data.split(0) == (list(range(counts[0], sum(counts))), list(range(counts[0])))


def test_masks_are_those_of_the_files(cells):
    frames = list(raw(cells))
    assert len(frames) == len(cells.instances)
    for instances, (_, _, masks, *_) in zip(cells.instances, frames, strict=True):
        assert instances.dtype == np.int32
        assert np.array_equal(instances, masks)


def test_annotated_and_tracked_cells(phc_u373, dic_hela):
    counts = {}
    for data in (phc_u373, dic_hela):
        for sequence, number, masks, markers, _ in raw(data):
            here = np.array([len(ids(masks)), len(ids(markers))])
            counts[data.name, sequence] = counts.get((data.name, sequence), 0) + here
            if (data.name, sequence, number) == ("dic-hela", "01", "067"):
                assert here.tolist() == [3, 18]
    assert {key: count.tolist() for key, count in counts.items()} == {
        ("phc-u373", "01"): [100, 100], ("phc-u373", "02"): [110, 115],
        ("dic-hela", "01"): [98, 115], ("dic-hela", "02"): [97, 103],
    }  # fmt: skip


def test_28_cells_are_not_labeled_and_6_not_even_in_the_silver_truth(phc_u373, dic_hela):
    without_mask, without_silver = {}, {}
    for data in (phc_u373, dic_hela):
        for _, _, masks, markers, silver in raw(data):
            cells = cell_tracking.unlabeled(masks, markers)
            without_mask[data.name] = without_mask.get(data.name, 0) + len(cells)
            missing = sum(not (silver == i).any() for i in cells)
            without_silver[data.name] = without_silver.get(data.name, 0) + missing
    assert without_mask == {"phc-u373": 5, "dic-hela": 23}
    assert without_silver == {"phc-u373": 0, "dic-hela": 6}


def test_touching_pairs_of_the_real_frames(phc_u373, dic_hela):
    """The published counts are of pixels that share a side or a corner."""
    for data, eight, four in ((phc_u373, 8, 8), (dic_hela, 100, 93)):
        assert sum(len(touching_pairs(instances)) for instances in data.instances) == eight
        assert sum(len(touching_pairs(instances, diagonal=False)) for instances in data.instances) == four


def test_nine_objects_are_in_several_pieces(phc_u373, dic_hela):
    for data, expected in ((phc_u373, 2), (dic_hela, 7)):
        pieces = [ndimage.label(frame == i, EIGHT)[1] for frame in data.instances for i in ids(frame)]
        assert sum(count > 1 for count in pieces) == expected


def test_unknown_pixels_of_the_real_frames(cells):
    """The band, and of each cell without a mask the marker and the silver mask, which has its id, or a disk."""
    radius = {"phc-u373": 32.51, "dic-hela": 58.51}[cells.name]
    inside = np.zeros(cells.images[0].shape, bool)
    inside[50:-50, 50:-50] = True
    rows, columns = np.indices(inside.shape)
    hidden = 0
    for classes, (_, _, masks, markers, silver) in zip(cells.classes, raw(cells), strict=True):
        expected = ~inside
        for i in ids(markers):
            marker = markers == i
            if max((np.mean(masks[marker] == m) for m in ids(masks)), default=0) > 0.5:
                continue
            y, x = np.argwhere(marker).mean(0)
            near = np.hypot(rows - y, columns - x) <= radius
            expected |= marker | (silver == i if (silver == i).any() else near)
        assert np.array_equal(classes == 1, masks > 0)
        assert np.array_equal(classes == -1, expected & (masks == 0))
        hidden += (expected & (masks == 0) & inside).sum()
    assert hidden == {"phc-u373": 2782, "dic-hela": 125147}[cells.name]  # else they passed for background


def test_ids_of_masks_and_markers_differ(dic_hela):
    assert any(not set(ids(masks)) <= set(ids(markers)) for _, _, masks, markers, _ in raw(dic_hela))
