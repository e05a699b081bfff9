"""The drawn cell culture: what its truth guarantees, and why it is neither trivial nor hopeless."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from unet_edu.synthetic import cells
from unet_edu.synthetic.culture import local, seeded

# Small fields are the hard ones: a frame may hold one cell, or only slivers. With seeds 38 and 49, cells
# are cut into pieces that meet at a corner.
SIZES_AND_SEEDS = [(32, 0), (32, 7), (33, 57), (64, 1), (128, 1), (256, 3), (256, 38), (256, 49), (301, 4)]


@pytest.fixture(scope="module")
def sequences():
    """The two sequences of the data set "synthetic-cells"."""
    return [cells(frames=6, size=256, seed=seed) for seed in (0, 1)]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def ids(frame):
    return np.unique(frame[frame > 0])


def whole(frame):
    """Ids of the cells that do not reach the rim of the image."""
    return np.setdiff1d(ids(frame), np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]]))


def touching(frame):
    """Pairs of ids that are 4-adjacent somewhere."""
    sides = [(frame[1:], frame[:-1]), (frame[:, 1:], frame[:, :-1])]
    met = [(a[k], b[k]) for a, b in sides for k in [(a != b) & (a > 0) & (b > 0)]]
    return {tuple(sorted(pair)) for a, b in met for pair in zip(a.tolist(), b.tolist(), strict=True)}


def highest_iou(score, truth):
    """Intersection over union at the best threshold, cells above or below it."""
    thresholds = np.quantile(score, np.linspace(0, 1, 30))
    found = [mask for t in thresholds for mask in (score >= t, score < t)]
    return max((truth & mask).sum() / (truth | mask).sum() for mask in found)


@pytest.mark.parametrize(("frames", "size"), [(1, 32), (2, 33), (3, 100), (12, 256)])
def test_shapes_and_types(frames, size):
    images, instances = cells(frames, size)
    assert images.shape == instances.shape == (frames, size, size)
    assert images.dtype == np.uint8
    assert instances.dtype == np.int32
    assert instances.min() == 0


def test_defaults_are_twelve_frames_of_256():
    assert cells()[0].shape == (12, 256, 256)


def test_the_seed_alone_decides(sequences):
    before = np.random.get_state()[1].copy()    # noqa: NPY002
    again = cells(frames=6, size=256, seed=1)
    np.testing.assert_array_equal(sequences[1][0], again[0])
    np.testing.assert_array_equal(sequences[1][1], again[1])
    np.testing.assert_array_equal(before, np.random.get_state()[1])     # noqa: NPY002  left alone


def test_another_seed_is_another_culture(sequences):
    (a, truth_a), (b, truth_b) = sequences
    assert abs(correlation(a[0], b[0])) < 0.1
    assert abs(correlation(truth_a[0] > 0, truth_b[0] > 0)) < 0.5
    grain_a, grain_b = (image - ndimage.gaussian_filter(image, 1.0) for image in (a[0] / 1.0, b[0] / 1.0))
    background = (truth_a[0] == 0) & (truth_b[0] == 0)
    assert abs(correlation(grain_a[background], grain_b[background])) < 0.1     # nor is its noise the same


@pytest.mark.parametrize(("size", "seed"), SIZES_AND_SEEDS)
def test_an_id_is_one_4_connected_component(size, seed):
    for frame in cells(3, size, seed)[1]:
        for cell in ids(frame):
            assert ndimage.label(frame == cell)[1] == 1
            assert (frame == cell).sum() >= min(120, size**2 // 100)     # no specks


def test_cells_touch(sequences):
    """As in the real masks: no background between neighbors, and background elsewhere."""
    for _, instances in sequences:
        assert np.mean([len(touching(frame)) for frame in instances]) >= 3
        for frame in instances:
            in_touch = {cell for pair in touching(frame) for cell in pair}
            assert len(in_touch) >= len(ids(frame)) / 2


@pytest.mark.parametrize("seed", range(8))
def test_as_many_cells_of_the_same_size_as_in_real_frames(seed):
    frame = cells(1, 256, seed)[1][0]
    diameter = 2 * np.sqrt(np.bincount(frame.ravel())[whole(frame)] / np.pi)
    assert 50 < np.median(diameter) < 80
    assert 7 <= len(ids(frame)) <= 18
    assert 0.3 < (frame > 0).mean() < 0.7       # DIC-HeLa: 0.39 to 0.61, where all cells are marked


def test_cells_creep(sequences):
    """An id is one cell for the whole sequence: from frame to frame it overlaps itself, but moves."""
    for _, instances in sequences:
        for before, after in pairwise(instances):
            common = np.intersect1d(ids(before), ids(after))
            assert len(common) >= 0.8 * len(ids(before))
            for cell in common:
                a, b = before == cell, after == cell
                assert (a & b).sum() > 0.5 * min(a.sum(), b.sum())
        followed = np.intersect1d(whole(instances[0]), whole(instances[5]))
        first, last = (np.array(ndimage.center_of_mass(f > 0, f, followed)) for f in instances[[0, 5]])
        assert 5 < np.median(np.linalg.norm(last - first, axis=1)) < 30      # px in five frames


def test_cells_turn():
    culture = seeded(np.random.default_rng(0), 64)
    culture = culture._replace(step=0 * culture.step)
    point = np.full((1, 1), 10 + 20j, np.complex64)
    first, fifth = (local(culture, 3, point, t).item() for t in (0, 5))
    assert np.angle(first / fifth) == pytest.approx(5 * culture.turn[3], abs=1e-5)


def test_cells_leave_and_enter():
    instances = cells(frames=12, seed=0)[1]
    first, last = set(ids(instances[0])), set(ids(instances[-1]))
    later = {cell for frame in instances[1:] for cell in ids(frame)}
    assert first - last
    assert later - first


def test_the_picture_moves_with_the_cells(sequences):
    blurred = ndimage.gaussian_filter(sequences[0][0].astype(float), (0, 1, 1))
    near = [correlation(a, b) for a, b in pairwise(blurred)]
    assert min(near) > 0.2
    assert max(near) < 0.95                              # but it is not the same picture again
    assert np.mean(near) > correlation(blurred[0], blurred[5]) + 0.1


@pytest.mark.parametrize("sigma", [0, 1, 2, 4, 8])
def test_a_threshold_does_not_solve_it(sequences, sigma):
    for images, instances in sequences:
        images, truth = images[::3], instances[::3] > 0
        assert highest_iou(truth * 200, truth) == 1          # the truth itself
        smoothed = ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma))
        assert highest_iou(smoothed, truth) < 0.65           # everything cell: 0.58
        rough = ndimage.gaussian_filter((images - images.mean()) ** 2, (0, sigma, sigma))
        assert highest_iou(rough, truth) < 0.85              # nor does a threshold on local contrast


def test_cells_are_rough_where_the_truth_says(sequences):
    for images, instances in sequences:
        gray = images - np.median(images).astype(float)
        assert gray[instances > 0].std() > 1.5 * gray[instances == 0].std()
        rough = ndimage.gaussian_filter(np.abs(gray), (0, 2, 2))
        shifts = (0, 4), (0, -4), (4, 0), (-4, 0)           # a truth moved by 4 px fits less well
        moved = [correlation(rough, np.roll(instances > 0, shift, (1, 2))) for shift in shifts]
        assert correlation(rough, instances > 0) > np.mean(moved) + 0.01


def test_some_borders_are_seen_and_some_are_not(sequences):
    """A border between cells is a bright line, but not everywhere."""
    bright = []
    for images, instances in sequences:
        for image, frame in zip(images, instances, strict=True):
            below = (frame[1:] != frame[:-1]) & (frame[1:] > 0) & (frame[:-1] > 0)
            bright.append(ndimage.gaussian_filter(image.astype(float), 0.8)[1:][below] - np.median(image))
    bright = np.concatenate(bright)
    assert np.mean(bright > 8) > 0.15
    assert np.mean(bright < 3) > 0.15


def test_light_falls_from_one_side(sequences):
    """Relief: the rims that rise toward the lower right are brighter than those that fall."""
    for images, instances in sequences:
        rise = sum(np.gradient(ndimage.gaussian_filter((instances > 0).astype(float), (0, 2, 2)), axis=(1, 2)))
        lit = [image[up > 0.15].mean() for image, up in zip(images, rise, strict=True)]
        shade = [image[up < -0.15].mean() for image, up in zip(images, rise, strict=True)]
        assert np.min(np.subtract(lit, shade)) > 3


@pytest.mark.parametrize(("arguments", "message"), [
    ({"frames": 0}, "frames=0: must be at least 1; use 1 or more"),
    ({"size": 31}, "size=31: must be at least 32; use 32 or more"),
    ({"seed": -1}, "seed=-1: must be at least 0; use 0 or more"),
])
def test_value_errors_name_value_rule_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        cells(**arguments)


@pytest.mark.parametrize("arguments", [{"frames": 2.0}, {"size": "64"}, {"seed": None}, {"frames": True}])
def test_only_integers(arguments):
    with pytest.raises(TypeError, match="must be an integer"):
        cells(**arguments)


def test_numpy_integers_are_integers():
    np.testing.assert_array_equal(cells(np.int64(1), np.int32(32), np.uint8(5))[0], cells(1, 32, 5)[0])
    np.testing.assert_array_equal(cells(np.uint8(1), np.uint8(200))[0], cells(1, 200)[0])  # 200 + a margin is over 255
