import numpy as np
import pytest
from numba import njit
from scipy import ndimage

from unet_edu.metrics import thin
from unet_edu.metrics.compiled import compiled


def drawn(rows):
    return np.array([[c != "." for c in row] for row in rows.split()])


def test_two_cells_meet_in_a_line():
    """Three pixels of membrane: the outer two go to the cells, the middle one stays."""
    assert thin(drawn("##...## ##...## ##...##")).tolist() == [[1, 1, 1, 0, 2, 2, 2]] * 3


def test_of_two_pixels_of_membrane_one_stays():
    """The left one is queued first and goes to the left cell; the right one then sees both."""
    assert thin(drawn("#..#")).tolist() == [[1, 1, 0, 2]]
    assert thin(drawn("# . . #")).ravel().tolist() == [1, 1, 0, 2]


def test_a_touching_pixel_is_a_dam_at_once():
    assert thin(drawn("#.#")).tolist() == [[1, 0, 2]]


def test_behind_a_dam_membrane_stays():
    """The pixel between both cells is a dam; the one below it sees only the dam."""
    assert thin(drawn("#.# ... ...")).tolist() == [[1, 0, 2], [1, 0, 2], [1, 0, 2]]


def test_diagonal_cells_are_two():
    assert len(np.unique(thin(drawn("#. .#")))) == 3


def test_ties_go_by_column():
    """By column (0, 1) is grown before (1, 1), which then sees two cells; by row (1, 2) would close it off."""
    assert thin(drawn("..# ... .#.")).tolist() == [[0, 2, 2], [1, 0, 2], [1, 1, 0]]
    assert thin(drawn("..# ... .#.").T).T.tolist() == [[1, 1, 1], [0, 0, 1], [2, 2, 0]]


def test_ids_count_by_column():
    assert thin(drawn("..# #..")).tolist()[1][0] == 1


def test_no_cell_is_one_segment():
    assert thin(np.zeros((2, 3), bool)).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert thin(np.ones((2, 3), bool)).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_keeps_cells_and_leaves_no_thick_border(seed):
    cells = ndimage.gaussian_filter(np.random.default_rng(seed).random((40, 50)), 2) > 0.5
    segments = thin(cells)
    assert (segments[cells] > 0).all()
    assert segments.max() == ndimage.label(cells)[1]
    for k in range(1, segments.max() + 1):
        assert ndimage.label(segments == k)[1] == 1


def test_a_stack_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\): must be \(H, W\); thin the slices of a stack one by one"):
        thin(np.ones((2, 3, 4), bool))


def test_compiled_where_nothing_may_be_written():
    """As in a container whose library and home are read-only. Code without a file has no place to be kept either."""
    names = {}
    exec("def twice(x): return 2 * x", names)
    with pytest.raises(RuntimeError, match="no locator available"):
        njit(cache=True)(names["twice"])
    assert compiled(names["twice"])(4) == 8
