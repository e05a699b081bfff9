import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from unet_edu.augmentation import (
    NONE,
    Augmentation,
    augment,
    elastic_displacement,
    random_grey,
    random_positions,
    sample,
    warp,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_displacement_goes_through_the_nodes():
    field = elastic_displacement((21, 41), sigma=10, generator=generator())
    nodes = 10 * torch.randn(2, 3, 3, generator=generator())
    torch.testing.assert_close(field[:, ::10, ::20], nodes, atol=1e-4, rtol=0)


def test_displacement_is_a_cubic_spline_between_nodes():
    """The same field from scipy's spline interpolation with mirrored ends."""
    field = elastic_displacement((33, 65), sigma=10, generator=generator())
    nodes = 10 * torch.randn(2, 3, 3, generator=generator()).numpy()
    grid = np.meshgrid(np.linspace(0, 2, 33), np.linspace(0, 2, 65), indexing="ij")
    expected = [ndimage.map_coordinates(n.astype(float), grid, order=3, mode="mirror") for n in nodes]
    np.testing.assert_allclose(field, expected, atol=1e-4)


def test_standard_deviation_of_the_displacement():
    draw = generator()
    fields = torch.stack([elastic_displacement((64, 64), sigma=10, generator=draw) for _ in range(2000)])
    assert fields.std() == pytest.approx(8.0, abs=0.15)
    assert fields[:, :, 0, 0].std() == pytest.approx(10, abs=0.6)  # at a node
    assert fields.mean().abs() < 0.2


def test_zero_displacement_is_the_identity():
    image = torch.rand(2, 9, 13, generator=generator())
    assert torch.equal(warp(image, torch.zeros(2, 9, 13), mode="nearest"), image)
    torch.testing.assert_close(warp(image, torch.zeros(2, 9, 13)), image, atol=1e-5, rtol=0)


def test_direction_of_the_displacement():
    """out(p) = image(p + d(p)), dy first."""
    image = torch.arange(20.0).reshape(4, 5)
    displacement = torch.zeros(2, 4, 5)
    displacement[0] = 1
    assert torch.equal(warp(image, displacement, mode="nearest")[:3], image[1:])
    torch.testing.assert_close(warp(image, displacement)[:3], image[1:], atol=1e-5, rtol=0)
    displacement[0], displacement[1] = 0, 0.5
    torch.testing.assert_close(warp(image, displacement)[:, :4], image[:, :4] + 0.5, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_outside_is_mirrored_without_repeating_the_edge(mode):
    image = torch.arange(5.0).expand(4, 5)
    shifted = warp(image, torch.tensor([0.0, -8.0]).reshape(2, 1, 1).expand(2, 4, 5), mode=mode)
    assert shifted[0].round(decimals=3).tolist() == [0, 1, 2, 3, 4]  # positions -8 .. -4
    shifted = warp(image, torch.tensor([0.0, 3.0]).reshape(2, 1, 1).expand(2, 4, 5), mode=mode)
    assert shifted[0].round(decimals=3).tolist() == [3, 4, 3, 2, 1]  # positions 3 .. 7


def test_bilinear_equals_scipy():
    image = torch.rand(30, 40, generator=generator())
    displacement = 8 * torch.randn(2, 30, 40, generator=generator(1))
    grid = np.indices((30, 40)) + displacement.numpy()
    expected = ndimage.map_coordinates(image.double().numpy(), grid, order=1, mode="mirror")
    np.testing.assert_allclose(warp(image, displacement), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float64])
def test_labels_keep_values_and_type(dtype):
    labels = torch.tensor([-1, 0, 7, 120], dtype=dtype).repeat(4, 1)
    moved = warp(labels, 3 * torch.randn(2, 4, 4, generator=generator()), mode="nearest")
    assert moved.dtype == dtype
    assert set(moved.flatten().tolist()) <= {-1, 0, 7, 120}


def test_large_ids_survive():
    labels = torch.full((3, 3), 2**24 + 1)  # not a float32 number
    assert torch.equal(warp(labels, torch.rand(2, 3, 3, generator=generator()), mode="nearest"), labels)


def test_a_painted_marker_lands_where_its_label_lands():
    """One bright disk in image and labels, moved by every random transformation at once."""
    y, x = np.indices((200, 200))
    disk = torch.from_numpy((y - 90.0) ** 2 + (x - 120.0) ** 2 < 20**2)
    draw, hits = generator(), 0
    for _ in range(20):
        positions = random_positions((200, 200), 150, Augmentation(), draw)
        bright = sample(disk.float(), positions) > 0.5
        label = sample(disk.to(torch.int16), positions, mode="nearest") > 0
        if label.sum() < 200:
            continue
        hits += 1
        overlap = (bright & label).sum() / (bright | label).sum()
        assert overlap > 0.9
    assert hits > 5


def test_rotation_is_rigid_and_uniform():
    draw = generator()
    turn_only = Augmentation(rotation=180, elastic_sigma=0)
    angles = []
    for _ in range(400):
        positions = random_positions((100, 100), 11, turn_only, draw)
        down, across = positions[:, 1, 0] - positions[:, 0, 0], positions[:, 0, 1] - positions[:, 0, 0]
        assert down.norm() == pytest.approx(1, abs=1e-4)
        assert (down @ across).item() == pytest.approx(0, abs=1e-4)
        assert (down[0] * across[1] - down[1] * across[0]).item() == pytest.approx(1, abs=1e-3)
        angles.append(math.atan2(down[1], down[0]))
    counts, _ = np.histogram(angles, 8, (-math.pi, math.pi))
    assert counts.min() > 25


def test_shift_reaches_the_whole_image():
    draw = generator()
    middles = torch.stack([random_positions((50, 90), 3, NONE, draw)[:, 1, 1] for _ in range(500)])
    assert middles.min(0).values.max() < 2
    assert middles.max(0).values[0] > 47
    assert middles.max(0).values[1] > 87


def test_no_augmentation_only_shifts():
    image = torch.rand(60, 60, generator=generator())
    positions = random_positions((60, 60), 9, NONE, generator())
    expected = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij"))
    torch.testing.assert_close(positions - positions[:, :1, :1], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(random_grey(image, NONE, generator()), image)


def test_grey_values_are_stretched_and_shifted_only():
    image = torch.rand(40, 40, generator=generator())
    draw = generator(1)
    stretches = []
    for _ in range(200):
        changed = random_grey(image, Augmentation(contrast=0.2, brightness=0.1), draw)
        stretches.append((changed.std() / image.std()).item())
        shift = (changed.mean() - image.mean()).item()
        assert abs(shift) <= 0.1
        torch.testing.assert_close(changed, image.mean() + shift + stretches[-1] * (image - image.mean()))
    assert 0.8 <= min(stretches) < 0.85
    assert 1.15 < max(stretches) <= 1.2


def test_same_seed_same_draw():
    first, second = (random_positions((90, 80), 20, Augmentation(), generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, random_positions((90, 80), 20, Augmentation(), generator(6)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="grid=1"):
        elastic_displacement((8, 8), grid=1)
    with pytest.raises(ValueError, match="sigma=-1"):
        elastic_displacement((8, 8), sigma=-1)
    with pytest.raises(ValueError, match=r"must be \(2, H, W\)"):
        warp(torch.zeros(4, 5), torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match="'cubic'"):
        warp(torch.zeros(4, 5), torch.zeros(2, 4, 5), mode="cubic")
    with pytest.raises(TypeError, match="class numbers"):
        warp(torch.zeros(4, 5, dtype=torch.int8), torch.zeros(2, 4, 5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_the_same_field():
    on_gpu = elastic_displacement((90, 70), generator=generator(), device="cuda")
    torch.testing.assert_close(on_gpu.cpu(), elastic_displacement((90, 70), generator=generator()), atol=1e-4, rtol=0)


def test_a_batch_is_moved_entry_by_entry_by_one_map():
    image = torch.rand(3, 1, 80, 80, generator=generator())
    labels = (image[:, 0] > 0.5).to(torch.int16)
    still = Augmentation(contrast=0, brightness=0)
    moved, moved_labels, weights = augment(
        image, labels, image[:, 0], tile=40, augmentation=still, generator=generator(1)
    )
    assert moved.shape == (3, 1, 40, 40)
    assert moved_labels.dtype == torch.int16
    torch.testing.assert_close(moved[:, 0], weights, atol=1e-6, rtol=0)
    draw = generator(1)
    for entry, label, into, into_label in zip(image, labels, moved, moved_labels, strict=True):
        positions = random_positions((80, 80), 40, still, draw)
        torch.testing.assert_close(into, sample(entry, positions), atol=1e-6, rtol=0)
        assert torch.equal(into_label, sample(label, positions, mode="nearest"))


def test_what_is_not_given_is_not_made():
    image = torch.rand(2, 3, 30, 50, generator=generator())
    moved, labels, weights = augment(image, generator=generator())
    assert moved.shape == (2, 3, 30, 30)
    assert labels is None
    assert weights is None


def test_every_entry_has_gray_values_of_its_own():
    image = torch.rand(1, 1, 40, 40, generator=generator()).expand(2, 1, 40, 40)
    shift_only = Augmentation(rotation=0, elastic_sigma=0)
    moved, _, _ = augment(image, augmentation=shift_only, generator=generator())
    assert abs(moved[0].std() / moved[1].std() - 1) > 1e-3


def test_bicubic_is_sharper_than_bilinear_and_goes_through_the_pixels():
    image = torch.rand(40, 40, generator=generator())
    half = torch.full((2, 40, 40), 0.5)
    torch.testing.assert_close(warp(image, 0 * half, mode="bicubic"), image, atol=1e-4, rtol=0)
    assert warp(image, half, mode="bicubic").std() > 1.1 * warp(image, half).std()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_identity_in_every_precision(dtype):
    image = torch.rand(300, 300, generator=generator()).to(dtype)
    same = warp(image, torch.zeros(2, 300, 300))
    assert same.dtype == dtype
    torch.testing.assert_close(same, image, atol=1e-4 if dtype.itemsize > 2 else 4e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool])
def test_labels_of_unsigned_types(dtype):
    labels = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    shift = torch.tensor([1.0, 0.0]).reshape(2, 1, 1).expand(2, 2, 2)
    assert warp(labels, shift, mode="nearest").tolist()[0] == labels.tolist()[1]


def test_grid_of_the_augmentation_is_used():
    fine, coarse = (
        random_positions((99, 99), 60, Augmentation(rotation=0, elastic_grid=grid), generator()) for grid in (9, 3)
    )
    bend = [p.diff(dim=1).std() for p in (fine, coarse)]
    assert bend[0] > 2 * bend[1]


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"labels \(1, 45, 45\): must be \(N, H, W\) = \(1, 90, 90\)"):
        augment(torch.rand(1, 1, 90, 90), torch.zeros(1, 45, 45, dtype=torch.long))


def test_image_labels_and_weights_of_an_entry_share_one_map():
    """Each pixel carries its own position: as grey values, as labels and as weights."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    image = torch.stack([rows, columns]).expand(3, 2, 40, 50)
    labels, weights = rows.to(torch.int16).expand(3, 40, 50), columns.expand(3, 40, 50)
    deform = Augmentation(contrast=0, brightness=0)
    moved, label, weight = augment(image, labels, weights, augmentation=deform, generator=generator())
    assert moved.shape == (3, 2, 40, 40)  # the smaller side
    assert (moved[:, 0] - label).abs().max() < 0.501  # the nearest row
    torch.testing.assert_close(weight, moved[:, 1])
    assert not torch.equal(moved[0], moved[1])
    assert augment(image, tile=9)[1:] == (None, None)


def test_a_map_is_shift_turn_and_elastic_field():
    draw, again = generator(), generator()
    positions = random_positions((60, 80), 21, Augmentation(rotation=0, elastic_sigma=7, elastic_grid=4), draw)
    y, x, _ = torch.rand(3, generator=again)
    field = elastic_displacement((21, 21), grid=4, sigma=7, generator=again)
    pixels = torch.stack(torch.meshgrid(torch.arange(-10.0, 11), torch.arange(-10.0, 11), indexing="ij"))
    middle = torch.stack([59 * y, 79 * x]).reshape(2, 1, 1)
    torch.testing.assert_close(positions, middle + pixels + field, atol=1e-4, rtol=0)
    for _ in range(20):
        turned = random_positions((60, 80), 21, Augmentation(elastic_sigma=0), draw)
        torch.testing.assert_close(turned.mean((1, 2)), turned[:, 10, 10], atol=1e-3, rtol=0)  # about its middle
    middles = torch.stack([random_positions((60, 80), 3, NONE, draw)[:, 1, 1] for _ in range(300)])
    assert abs(torch.corrcoef(middles.T)[0, 1]) < 0.3  # two shifts, not one


def test_grey_values_change_by_default_and_in_both_ways():
    image = torch.full((1, 1, 9, 9), 0.5)
    only_brightness = Augmentation(contrast=0, brightness=0.1)
    shifts = [random_grey(image[0], only_brightness, generator(i)).mean().item() - 0.5 for i in range(100)]
    assert min(shifts) < -0.09
    assert max(shifts) > 0.09
    assert not torch.equal(augment(image, generator=generator())[0], image)
    positions = random_positions((99, 99), 9, Augmentation(), generator())
    image = torch.rand(1, 1, 99, 99, generator=generator())
    torch.testing.assert_close(
        augment(image, tile=9, generator=generator())[0][0],
        random_grey(sample(image[0], positions), Augmentation(), advanced()),
    )


def advanced():
    """A generator after the draws of one map."""
    draw = generator()
    random_positions((99, 99), 9, Augmentation(), draw)
    return draw


def test_labels_are_those_of_the_nearest_pixel():
    image = torch.arange(5).expand(4, 5)
    for shift, expected in ((0.4, [0, 1, 2, 3, 4]), (-0.4, [0, 1, 2, 3, 4]), (0.6, [1, 2, 3, 4, 3])):
        displacement = torch.tensor([0, shift]).reshape(2, 1, 1).expand(2, 4, 5)
        assert warp(image, displacement, mode="nearest")[0].tolist() == expected


def test_bicubic_overshoots_where_bilinear_does_not():
    image = torch.zeros(5, 9)
    image[:, 5:] = 1
    half = torch.tensor([0, 0.5]).reshape(2, 1, 1).expand(2, 5, 9)
    assert warp(image, half).min() == 0
    assert warp(image, half, mode="bicubic").min() < -0.01


def test_images_one_pixel_wide():
    image = torch.arange(4.0).reshape(4, 1)
    for mode in ("nearest", "bilinear"):
        assert warp(image, torch.zeros(2, 4, 1), mode=mode).flatten().tolist() == pytest.approx([0, 1, 2, 3])


def test_unknown_mode_and_empty_shape():
    with pytest.raises(ValueError, match="must be 'bilinear', 'bicubic' or 'nearest'"):
        warp(torch.zeros(4, 5), torch.zeros(2, 4, 5), mode="cubic")
    with pytest.raises(ValueError, match="use sides >= 1"):
        elastic_displacement((0, 8))


def test_rotation_is_in_degrees():
    angles = []
    for seed in range(100):
        positions = random_positions((99, 99), 9, Augmentation(rotation=30, elastic_sigma=0), generator(seed))
        down = positions[:, 1, 0] - positions[:, 0, 0]
        angles.append(math.degrees(math.atan2(down[1], down[0])))
    assert -30.1 < min(angles) < -27
    assert 27 < max(angles) < 30.1
