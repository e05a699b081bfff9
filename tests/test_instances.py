import numpy as np
import pytest

from unet_edu import metrics
from unet_edu.instances import from_probability, join_ridge
from unet_edu.weight_map import separate_touching


def drawn(rows):
    return np.array([[c != "." for c in row] for row in rows.split()]).astype(float)


def touching_cells(seed, size=90, count=14):
    """Compact cells that touch: the pixels nearest to each of some centers, within a radius."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, size, (count, 2))
    place = np.stack(np.mgrid[:size, :size], -1)
    distance = np.linalg.norm(place[:, :, None] - centers, axis=-1)
    return np.where(distance.min(-1) < 16, 1 + distance.argmin(-1), 0)


def test_components_by_four_neighbors():
    assert from_probability(drawn("#. .#")).max() == 2


def test_threshold_is_exclusive():
    assert from_probability(np.full((2, 2), 0.5)).tolist() == [[0, 0], [0, 0]]
    assert from_probability(np.full((2, 2), 0.5), threshold=0.4).tolist() == [[1, 1], [1, 1]]
    assert from_probability(np.full((2, 2), 0.501)).tolist() == [[1, 1], [1, 1]]
    assert from_probability(drawn("#."), threshold=0).tolist() == [[1, 0]]
    assert from_probability(drawn("#."), threshold=1).tolist() == [[0, 0]]


@pytest.mark.parametrize("seed", range(4))
def test_undoes_the_separation_of_touching_cells(seed):
    cells = touching_cells(seed)
    separated = separate_touching(cells)
    found = from_probability((separated > 0).astype(np.float32))
    assert metrics.seg(cells, found) > 0.97
    ridge = (cells > 0) & (separated == 0)
    assert (found[ridge] > 0).mean() > 0.9
    assert metrics.iou(cells, found) > 0.97  # notches where three cells or two and the outside meet


def test_without_the_ridge_cells_merge():
    cells = touching_cells(0)
    assert metrics.seg(cells, from_probability((cells > 0).astype(float))) < 0.7


def test_the_ridge_goes_to_the_nearest_cell():
    assert from_probability(drawn("###..####")).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2, 2]]


def test_a_wider_gap_stays():
    assert from_probability(drawn("###...###")).tolist() == [[1, 1, 1, 0, 0, 0, 2, 2, 2]]


def test_the_outline_does_not_grow():
    """Beside a gap of two pixels, only what lies in the gap is filled."""
    cells = drawn(".......... .###..###. .###..###. .###..###. ..........")
    grown = from_probability(cells)
    assert (grown[1:4, 1:9] > 0).all()
    assert not grown[:, [0, 9]].any()
    assert not grown[[0, 4]][:, :3].any()


def test_small_objects_are_dropped_before_the_ridge():
    probability = drawn("####.....#")
    assert from_probability(probability, min_size=2).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]]
    assert from_probability(probability, min_size=1).max() == 2
    assert from_probability(drawn("####..#..."), min_size=2).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]]


def test_ids_have_no_gap():
    cells = from_probability(drawn("#....##....#....###"), min_size=2)
    assert np.unique(cells).tolist() == [0, 1, 2]


def test_nothing_found():
    assert not from_probability(np.zeros((3, 4))).any()
    assert from_probability(np.zeros((3, 4))).dtype == np.int32
    assert not join_ridge(np.zeros((3, 4), int)).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"probability \(2, 3, 3\).*take of_cell"):
        from_probability(np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="apply softmax"):
        from_probability(np.full((2, 2), 1.5))
    with pytest.raises(ValueError, match="apply softmax"):
        from_probability(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="threshold=2"):
        from_probability(np.zeros((2, 2)), threshold=2)
    with pytest.raises(ValueError, match="min_size=-1"):
        from_probability(np.zeros((2, 2)), min_size=-1)
    with pytest.raises(ValueError, match="min_size=nan"):
        from_probability(np.zeros((2, 2)), min_size=np.nan)
    with pytest.raises(ValueError, match=r"probability \(0, 4\): must be \(H, W\), not empty"):
        from_probability(np.zeros((0, 4)))
