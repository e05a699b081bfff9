import numpy as np
import pytest
import torch

from unet_edu.losses import REDUCTIONS, weighted_cross_entropy

rng = np.random.default_rng(0)
LOGITS = 3 * rng.standard_normal((2, 4, 5, 6))
TARGET = rng.integers(0, 4, (2, 5, 6))
WEIGHT = rng.random((2, 5, 6)) * 10


def equation_1(logits, target, weight, reduction, ignore_index=-1):
    """Eq. 1 in NumPy, pixel by pixel."""
    total, weights, count = 0.0, 0.0, 0
    for n, y, x in np.ndindex(target.shape):
        if target[n, y, x] == ignore_index:
            continue
        a = logits[n, :, y, x]
        p = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        total -= weight[n, y, x] * np.log(p[target[n, y, x]])
        weights, count = weights + weight[n, y, x], count + 1
    return total / {"sum": 1, "mean": count, "weight-normalized": weights}[reduction]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [0, 7])
def test_equals_equation_1(reduction, ignored):
    target = TARGET.copy()
    target.flat[:ignored] = -1
    loss = weighted_cross_entropy(*map(torch.from_numpy, (LOGITS, target, WEIGHT)), reduction=reduction)
    assert loss.item() == pytest.approx(equation_1(LOGITS, target, WEIGHT, reduction), rel=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_weight_is_weight_one(reduction):
    loss = weighted_cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(TARGET), reduction=reduction)
    assert loss.item() == pytest.approx(equation_1(LOGITS, TARGET, np.ones_like(WEIGHT), reduction), rel=1e-12)


def test_another_ignore_index():
    loss = weighted_cross_entropy(*map(torch.from_numpy, (LOGITS, TARGET, WEIGHT)), ignore_index=2)
    assert loss.item() == pytest.approx(equation_1(LOGITS, TARGET, WEIGHT, "mean", ignore_index=2), rel=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient(reduction):
    logits = torch.tensor(LOGITS[:1, :, :2, :3], requires_grad=True)
    target, weight = torch.tensor(TARGET[:1, :2, :3]), torch.tensor(WEIGHT[:1, :2, :3])
    target[0, 0, 0] = -1
    assert torch.autograd.gradcheck(
        lambda x: weighted_cross_entropy(x, target, weight, reduction=reduction), logits
    )


def test_ignored_pixels_have_no_gradient_even_with_a_nan_weight():
    logits = torch.tensor(LOGITS, requires_grad=True)
    target, weight = torch.tensor(TARGET), torch.tensor(WEIGHT)
    target[0, 0, 0], weight[0, 0, 0] = -1, float("nan")
    weighted_cross_entropy(logits, target, weight).backward()
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0, :, 0, 0].any()
    assert logits.grad[0, :, 0, 1].any()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_everything_ignored_is_zero(reduction):
    target = torch.full(TARGET.shape, -1)
    assert weighted_cross_entropy(torch.from_numpy(LOGITS), target, reduction=reduction).item() == 0


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.zeros(1, 2, 200, 200, dtype=torch.bfloat16)
    loss = weighted_cross_entropy(logits, torch.zeros(1, 200, 200, dtype=torch.long), reduction="sum")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(40_000 * np.log(2), rel=1e-5)  # bfloat16 would stop counting at 256


def test_large_logits_stay_finite():
    logits = torch.tensor([1e4, -1e4]).reshape(1, 2, 1, 1)
    assert weighted_cross_entropy(logits, torch.ones(1, 1, 1, dtype=torch.long)).item() == pytest.approx(2e4)


def test_bad_arguments():
    logits, target, weight = map(torch.from_numpy, (LOGITS, TARGET.copy(), WEIGHT))
    with pytest.raises(ValueError, match="crop the target"):
        weighted_cross_entropy(logits[..., 1:], target)
    with pytest.raises(ValueError, match="target's shape"):
        weighted_cross_entropy(logits, target, weight[:1])
    with pytest.raises(ValueError, match="'none': must be one of sum, mean"):
        weighted_cross_entropy(logits, target, reduction="none")
    for wrong in (4, -2):
        target[1, 2, 3] = wrong
        with pytest.raises(ValueError, match=f"class {wrong}: .* 0 to 3"):
            weighted_cross_entropy(logits, target)


def test_float_classes_are_refused():
    with pytest.raises(TypeError, match=r"float64: classes are integers"):
        weighted_cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(TARGET + 0.9))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int8])
def test_small_integer_types(dtype):
    expected = weighted_cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(TARGET))
    assert weighted_cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(TARGET).to(dtype)) == expected
    if dtype == torch.uint8:
        with pytest.raises(ValueError, match="class 255"):
            weighted_cross_entropy(torch.from_numpy(LOGITS), torch.full(TARGET.shape, 255, dtype=dtype))


def test_a_nan_weight_of_an_ignored_pixel_does_not_reach_the_loss():
    target, weight = torch.zeros(1, 2, 2, dtype=torch.long), torch.ones(1, 2, 2)
    target[0, 0, 0], weight[0, 0, 0] = -1, float("nan")
    assert torch.isfinite(weighted_cross_entropy(torch.zeros(1, 2, 2, 2), target, weight))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
def test_targets_of_any_integer_type(dtype):
    logits, target = torch.rand(1, 2, 3, 3), torch.ones(1, 3, 3)
    assert weighted_cross_entropy(logits, target.to(dtype)) == weighted_cross_entropy(logits, target.long())
