from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from unet_edu.metrics import Mistake, mistakes, warp, warping_counts, warping_error
from unet_edu.metrics.warping import WARPING_THRESHOLDS, _is_simple

ORACLE = Path(__file__).parent.parent / "oracle"


def drawn(rows):
    return np.array([[c != "." for c in row] for row in rows.split()])


def kinds(labels, probability, threshold=0.5):
    found = mistakes(labels, probability, threshold)
    return {(int(y), int(x)): Mistake(int(found[y, x])).name for y, x in np.argwhere(found)}


@pytest.mark.parametrize("mask", range(512))
def test_simple_points(mask):
    """All 512 patches, against the challenge's code and against the definition: no component appears or vanishes."""
    patch = np.array([mask >> i & 1 for i in range(9)], bool).reshape(3, 3)
    assert _is_simple(patch, 1, 1) == ((ORACLE / "simple_points.txt").read_text()[mask] == "1")
    with_it, without = patch.copy(), patch.copy()
    with_it[1, 1], without[1, 1] = True, False
    cells = ndimage.label(without)[0]
    beside = set(cells[[0, 1, 1, 2], [1, 0, 2, 1]]) - {0}  # components that the pixel would join
    membrane = ndimage.label(~with_it, np.ones((3, 3)))[1]  # all of it lies beside the pixel
    assert _is_simple(patch, 1, 1) == (len(beside) == 1 and membrane == 1)


def test_a_border_may_move():
    assert warping_error(drawn("####..####"), drawn("######.###")) == 0
    assert warp(drawn("####..####"), drawn("######.###")).tolist() == drawn("######.###").tolist()


def test_a_gap_merges():
    labels, leaky = drawn("####.#### ####.#### ####.####"), drawn("####.#### ######### ####.####")
    assert kinds(labels, leaky) == {(1, 4): "MERGE"}
    assert warping_error(labels, leaky) == 1 / 27


def test_a_line_splits():
    """One pixel of the line is left; the others are eaten from the sides."""
    labels = drawn("......... .#######. .#######. .#######. .........")
    cut = labels.copy()
    cut[:, 4] = False
    assert list(kinds(labels, cut).values()) == ["SPLIT"]
    assert warping_error(labels, cut) == 1 / 45


def test_holes_and_objects_are_named_and_cost_nothing():
    empty, dot = np.zeros((5, 7), bool), np.zeros((5, 7), bool)
    dot[2, 3] = True
    frame = np.ones((5, 7), bool)
    far = np.pad(np.ones((1, 1), bool), ((0, 4), (0, 6)))  # a cell elsewhere, so that labels are not empty
    assert kinds(frame, frame & ~dot) == {(2, 3): "HOLE_ADDITION"}
    assert kinds(frame & ~dot, frame) == {(2, 3): "HOLE_DELETION"}
    assert kinds(far | dot, far) == {(2, 3): "OBJECT_DELETION"}
    assert kinds(far, far | dot) == {(2, 3): "OBJECT_ADDITION"}
    assert warping_error(frame, frame & ~dot) == warping_error(far, far | dot) == warping_error(frame, empty) == 0


def test_no_prediction_scores_perfectly():
    labels = drawn("####.#### ####.####")
    assert warping_error(labels, np.zeros(labels.shape)) == 0


@pytest.mark.parametrize("hole", [5, 60])
def test_no_prediction_costs_a_cell_around_a_wide_hole(hole):
    """It shrinks to a ring, which cannot vanish: within 20 px of a small one the way round shows, of a wide one not."""
    ring = np.pad(np.zeros((hole, hole), bool), 3, constant_values=True)
    assert (warping_error(ring, np.zeros(ring.shape)) > 0) == (hole == 60)


def test_the_surest_pixel_goes_first():
    """Two cells, a membrane two pixels wide that is predicted as cell: whoever goes first joins its side."""
    labels = drawn("###..###")
    for sure, left in ((3, 4), (4, 3)):
        probability = np.ones((1, 8))
        probability[0, 3:5] = 0.8
        probability[0, sure] = 0.9
        assert kinds(labels, probability) == {(0, left): "MERGE"}


def test_certainties_tie_in_single_precision():
    """The right pixel is surer by less than a float32 can tell, so the left one goes first, by column."""
    labels, probability = drawn("###..###"), np.ones((1, 8))
    probability[0, 3:5] = 0.8, 0.8 + 1e-9
    assert kinds(labels, probability) == {(0, 4): "MERGE"}


def test_ties_go_by_column():
    """Five pixels to flip, all equally sure: by column three are left in the end, by row one would be."""
    labels, probability = np.ones((3, 3)), drawn("##. #.. .#.")
    assert kinds(labels, probability) == dict.fromkeys([(0, 2), (1, 2), (2, 2)], "SPLIT")
    assert kinds(labels.T, probability.T) == {(0, 2): "SPLIT"}


def test_sweeps_go_on_until_nothing_flips():
    """A strip of cell to be eaten from its far end, in the order in which only the last pixel is simple."""
    labels = drawn("......... .#######. .........")
    probability = np.where(labels, np.linspace(0, 0.4, 9), 0)  # surest at its left: flipped from there in one sweep
    assert kinds(labels, probability)  # a single object cannot vanish: one pixel is left
    assert list(kinds(labels, probability).values()) == ["OBJECT_DELETION"]
    assert list(kinds(labels, probability[:, ::-1]).values()) == ["OBJECT_DELETION"]


def test_a_split_must_show_within_20_pixels():
    """A ring 44 wide: cut once it stays one cell, but the way round lies outside the window of 41."""
    def ring(size):
        cell = np.ones((size, size), bool)
        cell[3:-3, 3:-3] = False
        cut = cell.copy()
        cut[:3, size // 2] = False
        return cell, cut

    assert set(kinds(*ring(60)).values()) == {"SPLIT"}
    assert set(kinds(*ring(21)).values()) == {"HOLE_DELETION"}


@pytest.mark.parametrize(("far", "kind"), [(20, "HOLE_DELETION"), (21, "SPLIT")])
@pytest.mark.parametrize("quarters", range(4))
def test_the_window_reaches_as_far_in_every_direction(quarters, far, kind):
    ring = np.zeros((30, 30), bool)
    ring[4 : 5 + far, 10:15] = True
    ring[5 : 4 + far, 11:14] = False
    cut = ring.copy()
    cut[4, 12] = False
    assert list(kinds(np.rot90(ring, quarters), np.rot90(cut, quarters)).values()) == [kind]


def test_a_piece_at_a_corner_is_a_piece():
    """The corner of a small ring, beside the far end of a long way that begins at the same ring."""
    cell = np.zeros((20, 60), bool)
    cell[5:8, 5:8], cell[6, 6] = True, False
    cell[7, 7:51] = cell[1:8, 50] = cell[1, 4:51] = cell[1:5, 4] = True
    cut = cell.copy()
    cut[5, 5] = False
    assert kinds(cell, cut) == {(5, 5): "SPLIT"}


@pytest.mark.parametrize(("height", "kind"), [(17, "HOLE_DELETION"), (18, "SPLIT")])
def test_of_a_low_image_the_whole_is_the_window(height, kind):
    """One whose height or width is less than 20 with its frame: the way round a ring 60 wide then shows."""
    cell = np.pad(np.zeros((height - 6, 54), bool), 3, constant_values=True)
    cut = cell.copy()
    cut[:3, 30] = False
    for turn in (np.asarray, np.transpose):
        assert set(kinds(turn(cell), turn(cut)).values()) == {kind}


def test_thresholds_stop_before_the_last():
    assert len(WARPING_THRESHOLDS) == 10
    assert WARPING_THRESHOLDS[-1] == 0.8999999999999999
    merged_until_the_last = np.array([[1, 1, 0.95, 1, 1]])
    assert warping_error(drawn("##.##"), merged_until_the_last) == 1 / 5


def test_counts_are_summed_over_slices_before_the_least_is_taken():
    labels = np.stack([drawn("##.##"), drawn("##.##")])
    probability = np.array([[[1, 1, 0.65, 1, 1]], [[1, 1, 0.05, 1, 1]]])
    counts = warping_counts(labels, probability)
    assert [c[Mistake.MERGE] for c in counts] == [2, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    probability[1] = [[0.5, 0.5, 0, 0.05, 0.55]]  # from 0.5 on the other slice has lost a cell, not split it
    assert warping_error(labels, probability) == 0


def test_pictures_have_the_shape_of_the_labels():
    labels = np.stack([drawn("##.##"), drawn("#####")])
    assert mistakes(labels, labels / 2).shape == warp(labels, labels / 2).shape == (2, 1, 5)
    assert mistakes(labels[0], labels[0] / 2).shape == (1, 5)


@pytest.mark.parametrize("picture", [mistakes, warp])
def test_thresholds_are_probabilities(picture):
    labels = drawn("##.##")
    for threshold in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=f"threshold={threshold}: must be 0 to 1"):
            picture(labels, labels, threshold)
    assert picture(labels, labels, 0).tolist() == picture(labels, labels).tolist()
    assert picture(labels, labels, 1).shape == (1, 5)


def test_warping_keeps_the_topology():
    rng = np.random.default_rng(3)
    labels = ndimage.gaussian_filter(rng.random((60, 70)), 3) > 0.5
    probability = ndimage.gaussian_filter(rng.random((60, 70)), 2).clip(0.4, 0.6)
    warped = warp(labels, probability)
    assert ndimage.label(warped)[1] == ndimage.label(labels)[1]
    outside = (np.pad(~cells, 1, constant_values=True) for cells in (warped, labels))
    assert len({ndimage.label(membrane, np.ones((3, 3)))[1] for membrane in outside}) == 1
    assert ((warped == labels) | (warped == (probability > 0.5))).all()  # only towards the prediction
