import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unet_edu import datasets, training
from unet_edu.augmentation import NONE, Augmentation
from unet_edu.losses import weighted_cross_entropy
from unet_edu.metrics import pixel_error
from unet_edu.model import UNet
from unet_edu.tiling import predict
from unet_edu.training import Divergence, TrainingConfig, train
from unet_edu.weight_map import border_weights, class_weights, separate_touching

SMALL = TrainingConfig(
    steps=6, output_tile=20, base_channels=2, depth=2, warmup=2, device="cpu", precision="float32", weighting="none",
    scale=255.0, offset=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def membranes():
    return datasets.load("synthetic-membranes")


def weights(result):
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


def test_it_learns(membranes):
    """Some hundred steps beat every threshold of the grey values, on slices never seen."""
    config = TrainingConfig(steps=800, output_tile=84, base_channels=8, depth=3, warmup=50, learning_rate=2e-2,
                            score_every=400, device="cpu", weighting="none")  # fmt: skip
    result = train(config, membranes, progress=False)
    assert result.losses[-50:].mean() < 0.7 * result.losses[:50].mean()
    images, truth = (np.stack([part[i] for i in result.held_out]) for part in (membranes.images, membranes.classes))
    assert [score["step"] for score in result.scores] == [400, 800]
    assert result.scores[-1]["pixel_error"] < 0.95 * pixel_error(truth, images / 255.0)


def test_same_seed_same_weights(membranes):
    first, again = (train(SMALL, membranes, progress=False) for _ in range(2))
    other = train(replace(SMALL, seed=1), membranes, progress=False)
    assert torch.equal(weights(first), weights(again))
    assert np.array_equal(first.losses, again.losses)
    assert not torch.equal(weights(first), weights(other))


def test_the_callers_random_state_is_left_alone(membranes):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(SMALL, membranes, progress=False)
    assert torch.equal(torch.rand(2), expected)


def test_steps_are_gradient_descent_with_momentum(membranes):
    """Two steps written out: the velocity remembers 0.99 of itself."""
    config = replace(SMALL, steps=2, warmup=0, decay=0, dropout=0, clip_norm=None, fold=None)
    result = train(config, membranes, progress=False)
    torch.manual_seed(config.seed)
    model = UNet(1, 2, base_channels=2, depth=2, dropout=0).to(memory_format=torch.channels_last)
    draw = torch.Generator().manual_seed(config.seed)
    images = [torch.tensor(i[None] / 255.0, dtype=torch.float32) for i in membranes.images]
    classes = [torch.tensor(c) for c in membranes.classes]
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for step in range(2):
        x, target, _ = training.random_tile(images, classes, None, 60, config, draw)
        loss = torch.nn.functional.cross_entropy(model(x), target.long())
        assert loss.item() == pytest.approx(result.losses[step], rel=1e-5)
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        for p, v, g in zip(model.parameters(), velocity, gradient, strict=True):
            v.mul_(0.99).add_(g)
            p.data.sub_(config.learning_rate * v)
    expected = torch.cat([p.flatten() for p in model.parameters()])
    torch.testing.assert_close(weights(result), expected, atol=1e-6, rtol=1e-4)


def test_clipping_bounds_the_step(membranes):
    config = replace(SMALL, steps=1, warmup=0, decay=0, clip_norm=1e-3, learning_rate=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        before = UNet(1, 2, base_channels=2, depth=2)
    after = train(config, membranes, progress=False)
    moved = weights(after) - torch.cat([p.detach().flatten() for p in before.parameters()])
    assert moved.norm() == pytest.approx(1e-3, rel=1e-3)


def test_rate_rises_stays_and_falls():
    config = TrainingConfig(steps=100, warmup=10, decay=0.2)
    factors = [training.rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:80] == [1.0] * 71
    assert factors[90] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.05)


def test_target_lies_under_the_logits():
    """A tile of an image that is its own label: the middle of the image is the target."""
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (90, 90)).astype(np.int8))
    config = replace(SMALL, augmentation=NONE)
    draw = torch.Generator().manual_seed(0)
    x, target, _ = training.random_tile([label[None].float()], [label], None, 60, config, draw)
    assert x.shape == (1, 1, 60, 60)
    assert target.shape == (1, 20, 20)
    middle = x[0, 0, 20:40, 20:40]
    sure = (middle - 0.5).abs() > 0.49  # shifts are fractions of a pixel: not every value is one label's
    assert torch.equal(middle[sure] > 0.5, target[0][sure] > 0)


def test_image_and_label_stay_together_under_all_augmentations():
    y, x = np.indices((160, 160))
    label = torch.from_numpy(((y // 20 + x // 20) % 2).astype(np.int8))
    config = replace(SMALL, output_tile=100, augmentation=Augmentation(contrast=0, brightness=0))
    draw = torch.Generator().manual_seed(0)
    for _ in range(10):
        image, target, _ = training.random_tile([label[None].float()], [label], None, 140, config, draw)
        agreement = ((image[0, 0, 20:120, 20:120] > 0.5) == (target[0] > 0)).float().mean()
        assert agreement > 0.97


def test_divergence_is_noticed_and_explained(membranes):
    config = replace(SMALL, steps=200, learning_rate=1e6, clip_norm=None, warmup=0)
    with pytest.raises(Divergence, match=r"not finite by step 25 .*learning_rate=1000000.0 .* set clip_norm"):
        train(config, membranes, progress=False)


def test_held_out_score_is_that_of_whole_images(membranes):
    result = train(SMALL, membranes, progress=False)
    probability = np.stack([predict(result.model, membranes.images[i])[1] for i in result.held_out])
    truth = np.stack([membranes.classes[i] for i in result.held_out])
    scores = training.score(result.model, membranes, result.held_out)
    assert scores["pixel_error"] == pytest.approx(pixel_error(truth, probability), abs=1e-9)
    assert result.scores == [{"step": 6, **scores}]
    assert not result.model.training


def test_fold_none_trains_on_everything(membranes):
    result = train(replace(SMALL, fold=None), membranes, progress=False)
    assert result.train == list(range(12))
    assert result.scores == []


class Cut(Exception):
    """The machine goes away."""


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_interrupted_and_uninterrupted_runs_end_with_identical_weights(membranes, tmp_path, monkeypatch, cut):
    config = replace(SMALL, steps=8, score_every=3, checkpoint_every=2, weighting="full")
    whole = train(config, membranes, progress=False)
    advance = training._Run.advance

    def cut_off(run, *tile):
        if run.step == cut:
            raise Cut
        advance(run, *tile)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "advance", cut_off)
        with pytest.raises(Cut):
            train(config, membranes, resume=tmp_path / "run.pt", progress=False)
    torch.rand(5)  # what happens in between does not matter
    steps = []
    monkeypatch.setattr(training._Run, "advance", lambda run, *tile: steps.append(run.step) or advance(run, *tile))
    resumed = train(config, membranes, resume=tmp_path / "run.pt", progress=False)
    assert steps == list(range(cut // 2 * 2, 8))  # it did go on from the checkpoint
    assert torch.equal(weights(resumed), weights(whole))
    assert np.array_equal(resumed.losses, whole.losses)
    assert resumed.scores == whole.scores
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_finished_run_is_not_trained_again(membranes, tmp_path):
    first = train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)
    again = train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)
    assert torch.equal(weights(first), weights(again))
    assert again.seconds == first.seconds


def test_a_checkpoint_of_another_configuration_is_refused(membranes, tmp_path):
    train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)
    with pytest.raises(ValueError, match=r"run.pt: .* \(momentum=0.99 instead of 0.9\); use another file"):
        train(replace(SMALL, momentum=0.9), membranes, resume=tmp_path / "run.pt", progress=False)


def test_an_unreadable_checkpoint_is_named(membranes, tmp_path):
    (tmp_path / "run.pt").write_bytes(b"PK cut short")
    with pytest.raises(ValueError, match=r"run.pt: not a readable checkpoint; delete it to begin anew"):
        train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)


@pytest.mark.parametrize("weighting", ["none", "balance", "full"])
def test_weights_of_the_loss(membranes, weighting):
    indices, _ = membranes.split(0)
    config = replace(SMALL, weighting=weighting)
    _, classes, weights = training._material(membranes, indices, config, torch.device("cpu"))
    if weighting == "none":
        assert weights is None
        return
    pixels = torch.stack(weights)
    truth = torch.stack(classes)
    share = [(truth == k).float().mean().item() for k in (0, 1)]
    balance = torch.where(truth == 0, 0.5 / share[0], 0.5 / share[1])
    border = np.stack([border_weights(membranes.instances[i]) for i in indices]) if weighting == "full" else 0
    np.testing.assert_allclose(pixels.numpy(), balance.numpy() + border, rtol=1e-5)


def test_weights_lie_over_their_pixels():
    label = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (90, 90)).astype(np.int8))
    config = replace(SMALL, augmentation=Augmentation(contrast=0, brightness=0))
    x, target, weight = training.random_tile(
        [label[None].float()], [label], [label * 3.0], 60, config, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(weight[0], 3 * x[0, 0, 20:40, 20:40], atol=1e-4, rtol=0)
    assert weight.shape == target.shape


def test_unknown_pixels_are_not_trained_on():
    """The known half is class 1; were the unknown half class 0, the network could not be sure of 1 everywhere."""
    image = np.zeros((1, 64, 64), np.float32)
    classes = np.ones((1, 64, 64), np.int8)
    classes[:, :, 32:] = -1
    data = datasets.Dataset("half", "", image, classes, (classes > 0).astype(int), np.arange(1), "")
    config = replace(SMALL, fold=None, learning_rate=0.1, steps=60, warmup=0, dropout=0)
    result = train(config, data, progress=False)
    assert result.losses[-5:].max() < 0.05


def labeled(images, classes, num_classes=2):
    groups = np.arange(len(images))
    return datasets.Dataset("made", "", images, classes, [c > 0 for c in classes], groups, "", num_classes)


def test_score_leaves_unknown_pixels_out_and_takes_images_of_any_size(monkeypatch):
    rng = np.random.default_rng(0)
    classes = [rng.integers(-1, 3, size).astype(np.int8) for size in ((20, 30), (40, 25))]
    data = labeled([np.where(c < 0, 2, c).astype(float) for c in classes], classes, 3)
    monkeypatch.setattr(training, "predict", lambda _, image, autocast: np.stack([image == k for k in range(3)]) * 1.0)
    assert training.score(None, data, [0, 1]) == {"pixel_error": 0.0}


def test_score_pools_pixels_over_images(monkeypatch):
    classes = [np.array([[1, 1, 1, 0]]), np.array([[1, 0, 0, 0]])]
    data = labeled([np.array([[0.9, 0.9, 0.9, 0.1]]), np.array([[0.1, 0.9, 0.1, 0.1]])], classes)
    monkeypatch.setattr(training, "predict", lambda _, image, autocast: np.stack([1 - image, image]))
    assert training.score(None, data, [0, 1])["pixel_error"] == pytest.approx(0.25)  # 1 - 2*3 / (4+4)
    assert training.score(None, data, [0])["pixel_error"] == 0


def test_what_would_fail_after_the_training_fails_before(monkeypatch):
    monkeypatch.setattr(training._Run, "advance", lambda *_: pytest.fail("it began"))
    image, none = np.zeros((64, 64)), np.zeros((64, 64), int)
    config = replace(SMALL, folds=2)
    with pytest.raises(ValueError, match=r"image 1 is \(64, 64\), its classes are \(32, 32\)"):
        train(config, labeled([image, image], [none, none[:32, :32]]), progress=False)
    with pytest.raises(ValueError, match=r"held-out images \[0\] show no cell"):
        train(config, labeled([image, image], [none, none + 1]), progress=False)


def test_scale_of_the_integers_goes_with_the_network(membranes):
    deep = replace_images(membranes, [image.astype(np.uint16) * 16 for image in membranes.images])
    result = train(replace(SMALL, scale=255.0 * 16), deep, progress=False)
    assert result.model.scale == 255.0 * 16
    np.testing.assert_allclose(result.losses, train(SMALL, membranes, progress=False).losses, rtol=1e-5)


def test_scale_is_that_of_the_data_set_unless_said_otherwise(membranes):
    deep = replace(replace_images(membranes, [image.astype(np.uint16) * 16 for image in membranes.images]), scale=4080)
    result = train(replace(SMALL, scale=None), deep, progress=False)
    assert result.config.scale == result.model.scale == 4080
    np.testing.assert_allclose(result.losses, train(SMALL, membranes, progress=False).losses, rtol=1e-5)
    assert train(replace(SMALL, steps=0, scale=100.0), deep, progress=False).model.scale == 100
    assert train(replace(SMALL, steps=0, scale=None), membranes, progress=False).model.scale == 255


def replace_images(data, images, name="other"):
    return replace(data, images=images, name=name, pixels_sha256=name)


def test_a_checkpoint_of_other_images_is_refused(membranes, tmp_path):
    train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)
    other = replace_images(membranes, membranes.images)
    with pytest.raises(ValueError, match=r"run.pt: .* images or labels \(synthetic-membranes\); use another file"):
        train(SMALL, other, resume=tmp_path / "run.pt", progress=False)


@pytest.mark.parametrize("part", ["classes", "instances"])
def test_a_checkpoint_of_other_labels_is_refused(membranes, tmp_path, part):
    train(SMALL, membranes, resume=tmp_path / "run.pt", progress=False)
    corrected = getattr(membranes, part).copy()
    corrected[5, 100, 100] = 1 - min(corrected[5, 100, 100], 1)
    with pytest.raises(ValueError, match=r"other images or labels"):
        train(SMALL, replace(membranes, **{part: corrected}), resume=tmp_path / "run.pt", progress=False)


def test_a_diverged_run_does_not_replace_its_checkpoint(membranes, tmp_path):
    config = replace(SMALL, steps=20, learning_rate=1e6, clip_norm=None, warmup=0, checkpoint_every=1)
    with pytest.raises(Divergence):
        train(config, membranes, resume=tmp_path / "run.pt", progress=False)
    losses = torch.load(tmp_path / "run.pt")["losses"]
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("bad", [{"steps": -1}, {"checkpoint_every": 0}, {"score_every": -1}, {"scale": 0}])
def test_numbers_that_make_no_sense(bad):
    name, value = next(iter(bad.items()))
    with pytest.raises(ValueError, match=f"{name}={value}: must be"):
        replace(SMALL, **bad)


@pytest.mark.parametrize("network", ["release", "batch-norm", "same-padding"])
def test_other_networks_train_by_the_same_loop(membranes, network):
    result = train(replace(SMALL, network=network), membranes, progress=False)
    assert np.isfinite(result.losses).all()
    assert 0 < result.scores[-1]["pixel_error"] < 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_loss_stays_close(membranes, precision):
    config = replace(SMALL, steps=3, dropout=0)
    exact = train(config, membranes, progress=False)
    half = train(replace(config, precision=precision), membranes, progress=False)
    assert not np.array_equal(exact.losses, half.losses)
    np.testing.assert_allclose(half.losses, exact.losses, rtol=0.02)


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler")
def test_compiled_network_takes_the_same_steps(membranes, monkeypatch):
    config = replace(SMALL, steps=3, dropout=0)
    plain = train(config, membranes, progress=False)
    compile_, calls = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda model: calls.append(model) or compile_(model))
    compiled = train(replace(config, compile=True), membranes, progress=False)
    np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-4)
    assert calls == [compiled.model]


def test_progress_line(membranes, capsys, monkeypatch):
    train(replace(SMALL, steps=30), membranes)
    error = capsys.readouterr().err
    assert "training: 30/30 steps" in error
    assert "loss 0." in error


def test_bad_arguments(membranes):
    with pytest.raises(ValueError, match=r"output_tile=21: .* use 20 or 24"):
        train(replace(SMALL, output_tile=21), membranes, progress=False)
    with pytest.raises(ValueError, match=r"weighting='border': must be 'none', 'balance' or 'full'"):
        train(replace(SMALL, weighting="border"), membranes, progress=False)
    with pytest.raises(ValueError, match="precision='half'"):
        train(replace(SMALL, precision="half"), membranes, progress=False)
    with pytest.raises(ValueError, match="fold=5"):
        train(replace(SMALL, fold=5), membranes, progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_learns_the_same(membranes):
    on_cpu = train(replace(SMALL, dropout=0), membranes, progress=False)
    on_gpu = train(replace(SMALL, dropout=0, device="cuda"), membranes, progress=False)
    np.testing.assert_allclose(on_gpu.losses, on_cpu.losses, rtol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_no_step_waits_for_the_device(membranes, precision):
    device = torch.device("cuda")
    config = replace(SMALL, weighting="full", precision=precision, device="cuda")
    material = training._material(membranes, [0, 1], config, device)
    run = training._Run(config, 1, 2, device)
    run.advance(*training.random_tile(*material, 60, config, run.draw))  # fills the caches
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            run.advance(*training.random_tile(*material, 60, config, run.draw))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_held_out_images_and_their_neighbours_are_not_trained_on(membranes, monkeypatch):
    """They are not numbers here: one step on them and the loss would not be one either."""
    indices, _ = membranes.split(0)
    monkeypatch.setattr(training, "score", lambda *_: {})
    images = membranes.images / 255.0
    images[[i for i in range(12) if i not in indices]] = np.nan
    result = train(replace(SMALL, steps=40), replace(membranes, images=images), progress=False)
    assert result.train == indices
    assert np.isfinite(result.losses).all()


def test_drop_out_acts_in_training(membranes):
    first = [train(replace(SMALL, steps=1, dropout=p), membranes, progress=False).losses[0] for p in (0, 0.9)]
    assert first[0] != first[1]


def test_recorded_loss_is_the_weighted_mean(membranes):
    config = replace(SMALL, weighting="full", w0=20.0, sigma=3.0, dropout=0)
    run = training._Run(config, 1, 2, torch.device("cpu"))
    material = training._material(membranes, [3, 4], config, run.device)
    x, target, weight = training.random_tile(*material, 60, config, run.draw)
    expected = weighted_cross_entropy(run.model(x), target, weight, reduction="mean").item()
    run.advance(x, target, weight)
    assert run.recent_loss() == pytest.approx(expected, rel=1e-5)
    border = border_weights(membranes.instances[3], 20.0, 3.0)
    balance = training._material(membranes, [3, 4], replace(config, weighting="balance"), run.device)[2][0]
    np.testing.assert_allclose(material[2][0].numpy(), balance.numpy() + border, rtol=1e-5)


def test_unknown_pixels_count_in_no_weight(membranes):
    classes = membranes.classes.copy()
    classes[:, :, 100:] = -1
    masked = replace(membranes, classes=classes)
    _, _, weights = training._material(masked, [3], replace(SMALL, weighting="full"), torch.device("cpu"))
    balance = training._material(masked, [3], replace(SMALL, weighting="balance"), torch.device("cpu"))[2]
    assert not weights[0][:, 100:].any()
    assert balance[0][:, :100].mean().item() == pytest.approx(1, rel=1e-5)  # over the known pixels


def test_the_seed_decides_weights_and_draws():
    runs = [training._Run(replace(SMALL, seed=seed), 1, 2, torch.device("cpu")) for seed in (0, 1)]
    first, second = (run.model.head.weight for run in runs)
    assert not torch.equal(first, second)
    assert [run.draw.initial_seed() for run in runs] == [0, 1]


def test_folds_seconds_and_silence(membranes, capsys):
    result = train(replace(SMALL, folds=2, fold=1), membranes, progress=False)
    assert (result.train, result.held_out) == membranes.split(1, 2)
    assert result.seconds > 0
    assert capsys.readouterr() == ("", "")


def test_integer_images_are_scaled_and_float_images_are_not():
    image, device = np.array([[0, 51], [102, 255]], np.uint8), torch.device("cpu")
    assert training._float(image, SMALL, device).flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert training._float(image.astype(float), SMALL, device).flatten().tolist() == [0, 51, 102, 255]


def test_an_infinite_loss_is_divergence():
    run = training._Run(SMALL, 1, 2, torch.device("cpu"))
    run.losses[0], run.step = float("inf"), 1
    with pytest.raises(Divergence):
        run.recent_loss()


def test_float16_is_scaled_and_the_scale_is_kept(tmp_path):
    config = replace(SMALL, precision="float16")
    run, other = (training._Run(config, 1, 2, torch.device("cpu")) for _ in range(2))
    assert run.scaler.is_enabled()
    run.scaler.scale(torch.zeros(1))
    run.scaler.update(8.0)
    run.save(tmp_path / "run.pt", {"name": ""})
    other.restore(tmp_path / "run.pt", {"name": ""})
    assert other.scaler.state_dict()["scale"] == 8
    assert not training._Run(SMALL, 1, 2, torch.device("cpu")).scaler.is_enabled()


def test_score_is_the_pixel_error_of_the_stack(membranes, monkeypatch):
    """Probabilities that one threshold serves slice by slice, and none serves together."""
    model = training._Run(SMALL, 1, 2, torch.device("cpu")).model
    cell = np.stack([0.25 + 0.2 * membranes.classes[0], 0.65 + 0.2 * membranes.classes[1]])
    answers = iter(cell)
    monkeypatch.setattr(training, "predict", lambda *_, **__: np.stack([1 - (p := next(answers)), p]))
    expected = pixel_error(membranes.classes[:2], cell)
    assert expected > 0.01
    assert training.score(model, membranes, [0, 1]) == {"pixel_error": expected}


def test_an_interrupted_checkpoint_leaves_the_old_one(tmp_path, monkeypatch):
    run = training._Run(SMALL, 1, 2, torch.device("cpu"))
    run.save(tmp_path / "run.pt", {"name": ""})
    before = (tmp_path / "run.pt").read_bytes()

    def cut_short(_, path):
        Path(path).write_bytes(b"half")
        raise OSError("cut short")

    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(OSError, match="cut short"):
        run.save(tmp_path / "run.pt", {"name": ""})
    assert (tmp_path / "run.pt").read_bytes() == before


def test_the_rate_in_force_follows_the_schedule(membranes):
    config = replace(SMALL, steps=10, warmup=3, decay=0.4)
    run = training._Run(config, 1, 2, torch.device("cpu"))
    material = training._material(membranes, [0], config, run.device)
    for step in range(10):
        rate = run.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(config.learning_rate * training.rate_factor(step, config))
        run.advance(*training.random_tile(*material, 60, config, run.draw))


def test_divergence_is_noticed_at_the_end_of_a_short_run(membranes):
    nowhere = replace(membranes, images=np.full((12, 256, 256), np.nan, np.float32))
    with pytest.raises(Divergence, match="not finite by step 6"):
        train(replace(SMALL, fold=None), nowhere, progress=False)


def test_tiles_come_from_the_given_generator_alone(membranes):
    material = training._material(membranes, range(12), SMALL, torch.device("cpu"))
    first, second = (training.random_tile(*material, 60, SMALL, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first[0], second[0])


def test_the_network_is_the_one_named():
    run = training._Run(replace(SMALL, network="batch-norm"), 1, 2, torch.device("cpu"))
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in run.model.modules())


def test_precision_by_name_and_by_device(monkeypatch):
    cpu = torch.device("cpu")
    assert training.autocast_dtype("bfloat16", cpu) == torch.bfloat16
    assert training.autocast_dtype("float16", cpu) == torch.float16
    for native, expected in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda native=native: native)
        assert training.autocast_dtype("auto", cpu) == expected


def test_every_image_is_drawn():
    images = [torch.full((1, 90, 90), float(i)) for i in range(3)]
    labels = [torch.zeros(90, 90, dtype=torch.int8)] * 3
    config, draw = replace(SMALL, augmentation=NONE), torch.Generator().manual_seed(0)
    tiles = [training.random_tile(images, labels, None, 60, config, draw)[0] for _ in range(60)]
    counts = np.bincount([round(x.mean().item()) for x in tiles], minlength=3)
    assert counts.min() > 8


def touching():
    """Images of two cells that share a side, meet at a corner, stand apart; the columns on the right are unknown."""
    instances = np.zeros((3, 64, 64), int)
    instances[:, 10:30, 10:30] = 3
    instances[0, 10:30, 30:40] = instances[1, 30:40, 30:40] = instances[2, 10:30, 34:44] = 8
    classes = (instances > 0).astype(np.int8)
    classes[:, :, 60:] = -1
    classes[0, 28:30, 30:40] = -1  # a part of a cell nobody vouches for
    classes[0, 50, 5] = 1  # and a class without an instance
    images = classes * 100 + 100.0
    return datasets.Dataset("made", "", images, classes, instances, np.arange(3), "")


@pytest.mark.parametrize("weighting", ["none", "balance", "full"])
def test_touching_cells_are_trained_with_a_ridge_between_them(weighting):
    data = touching()
    before = data.classes.copy()
    config = replace(SMALL, weighting=weighting)
    _, classes, weights = training._material(data, [0, 1, 2], config, torch.device("cpu"))
    expected = before.copy()
    expected[0, 10:28, 29:31] = 0
    expected[0, 28:30, 29] = 0  # the other half of this ridge is unknown
    assert np.array_equal(np.stack(classes), expected)
    assert np.array_equal(data.classes, before)
    if weighting == "none":
        return
    counts = np.bincount(expected[expected >= 0])
    for i, weight in enumerate(weights):
        cells = separate_touching(data.instances[0]) if i == 0 else data.instances[i]
        border = border_weights(cells) * (expected[i] >= 0) if weighting == "full" else 0
        np.testing.assert_allclose(weight, class_weights(expected[i], counts) + border, rtol=1e-6)


def test_touching_cells_are_scored_against_their_whole_masks(monkeypatch):
    data = touching()
    monkeypatch.setattr(training, "predict", lambda _, image, autocast: np.stack([2 - image / 100, image / 100 - 1]))
    assert training.score(None, data, [0]) == {"pixel_error": 0.0}


@pytest.mark.parametrize("indices", [[0], [2, 5, 7], range(12)])
def test_cells_with_membrane_between_them_are_trained_as_they_are(membranes, indices):
    config = replace(SMALL, weighting="full")
    _, classes, weights = training._material(membranes, indices, config, torch.device("cpu"))
    counts = np.bincount(np.ravel([membranes.classes[i] for i in indices]))
    for i, target, weight in zip(indices, classes, weights, strict=True):
        assert np.array_equal(target, membranes.classes[i])
        border = border_weights(membranes.instances[i])
        assert np.array_equal(weight, class_weights(membranes.classes[i], counts) + border)


def test_gray_values_are_centered_as_the_data_set_says(membranes):
    dim = replace_images(membranes, [(image // 8 + 100).astype(np.uint8) for image in membranes.images])
    centered = replace(dim, offset=100.0, scale=32.0)
    result = train(replace(SMALL, scale=None, offset=None), centered, progress=False)
    assert (result.model.offset, result.config.offset) == (100, 100)
    config = training.settled(replace(SMALL, scale=None, offset=None), centered)
    _, batch = training.prepared(replace(config, augmentation=NONE), centered, [0], torch.device("cpu"))
    x, _, _ = batch()
    assert 0 <= x.min() < x.max() <= 31 / 32
    image = centered.images[0]
    expected = predict(result.model, ((image - 100.0) / 32).astype(np.float32))
    assert np.allclose(predict(result.model, image), expected, atol=1e-5)


def test_folds_are_those_of_the_data_set_and_are_recorded(membranes, tmp_path):
    two = replace(membranes, folds=2)
    result = train(SMALL, two, resume=tmp_path / "run.pt", progress=False)
    assert SMALL.folds is None
    assert result.config.folds == torch.load(tmp_path / "run.pt")["config"]["folds"] == 2
    assert (result.train, result.held_out) == membranes.split(0, 2)
    again = train(replace(SMALL, folds=2), membranes, resume=tmp_path / "run.pt", progress=False)
    assert again.seconds == result.seconds  # the same run
    assert train(replace(SMALL, folds=3), two, progress=False).held_out == membranes.split(0, 3)[1]
    with pytest.raises(ValueError, match="folds=0"):
        train(replace(SMALL, folds=0), membranes, progress=False)


def test_partly_annotated_cells_train(tiny_cells):
    data = datasets.load("dic-hela", tiny_cells)
    result = train(replace(SMALL, weighting="full", fold=1), data, progress=False)
    assert result.config.folds == 2
    assert (result.train, result.held_out) == ([0, 1], [2])
    assert np.isfinite(result.losses).all()


def test_a_step_of_several_tiles_is_the_mean_over_them(membranes):
    """The gradient of a batch of equal tiles without unknown pixels is the mean of theirs."""
    config = replace(SMALL, batch=3, dropout=0.0)
    indices, _ = membranes.split(0)
    run, batch = training.prepared(config, membranes, indices, torch.device("cpu"))
    x, target, weight = batch()
    assert (x.shape, target.shape, weight) == ((3, 1, 60, 60), (3, 20, 20), None)
    assert not torch.equal(x[0], x[1])
    alone = [weighted_cross_entropy(run.model(x[i : i + 1]), target[i : i + 1]) for i in range(3)]
    run.advance(x, target, weight)
    assert run.losses[0].item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)


def test_a_batch_keeps_its_weights_with_their_tiles(membranes):
    """Tile by tile the same as drawn alone from the same generator."""
    config = replace(SMALL, batch=2, weighting="full")
    run, batch = training.prepared(config, membranes, [0, 1], torch.device("cpu"))
    alone, one = training.prepared(replace(config, batch=1), membranes, [0, 1], torch.device("cpu"))
    assert torch.equal(run.draw.get_state(), alone.draw.get_state())
    for together, first, second in zip(batch(), one(), one(), strict=True):
        assert torch.equal(together, torch.cat([first, second]))


def test_the_running_mean_of_the_weights_is_the_result(membranes):
    """After n steps with decay d: mean_n = d mean_(n-1) + (1 - d) w_n, begun at the first weights."""
    steps, seen = 4, []
    config = replace(SMALL, steps=steps, averaging=0.5)
    indices, _ = membranes.split(0)
    with torch.random.fork_rng():
        run, batch = training.prepared(config, membranes, indices, torch.device("cpu"))
        for _ in range(steps):
            run.advance(*batch())
            seen.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    mean = seen[0]
    for after in seen[1:]:
        mean = 0.5 * mean + 0.5 * after
    result = train(config, membranes, progress=False)
    assert torch.allclose(weights(result), mean, atol=1e-6)
    assert not torch.allclose(weights(result), seen[-1], atol=1e-6)
    assert not result.model.training


def test_an_interrupted_running_mean_goes_on(membranes, tmp_path, monkeypatch):
    config = replace(SMALL, averaging=0.9, optimizer="adam", batch=2, checkpoint_every=2)
    whole = train(config, membranes, progress=False)
    advance, taken = training._Run.advance, []

    def cut(run, *batch):
        if len(taken) == 4:
            raise KeyboardInterrupt
        taken.append(1)
        advance(run, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "advance", cut)
        with pytest.raises(KeyboardInterrupt):
            train(config, membranes, resume=tmp_path / "checkpoint", progress=False)
    assert torch.equal(
        weights(train(config, membranes, resume=tmp_path / "checkpoint", progress=False)), weights(whole)
    )


def test_adam_is_adam(membranes):
    """Its first step moves every weight by the rate, whatever the size of the gradient."""
    config = replace(SMALL, optimizer="adam", learning_rate=1e-3, warmup=0, decay=0, clip_norm=None, dropout=0.0)
    run, batch = training.prepared(config, membranes, [0], torch.device("cpu"))
    before = torch.cat([p.detach().flatten().clone() for p in run.model.parameters()])
    run.advance(*batch())
    after = torch.cat([p.detach().flatten() for p in run.model.parameters()])
    gradient = torch.cat([p.grad.flatten() for p in run.model.parameters()])
    large = gradient.abs() > 1e-5  # Adam's epsilon is felt below
    assert torch.allclose((after - before)[large], -1e-3 * gradient.sign()[large], atol=2e-6)


@pytest.mark.parametrize(("count", "expected"), [(None, [3, 5, 7, 8, 9]), (1, [7]), (2, [5, 8]), (5, [3, 5, 7, 8, 9])])
def test_fewer_images_are_spread_over_the_set(count, expected):
    assert training.spread([3, 5, 7, 8, 9], count) == expected


def test_as_many_images_as_there_are(membranes):
    assert len(train(replace(SMALL, steps=1, images=3), membranes, progress=False).train) == 3
    with pytest.raises(ValueError, match="images=99: only 5 are not held out; use 5 at most"):
        train(replace(SMALL, steps=1, images=99), membranes, progress=False)


@pytest.mark.parametrize(
    "bad", [{"batch": 0}, {"images": 0}, {"optimizer": "rmsprop"}, {"averaging": 1.0}, {"averaging": -0.1}]
)
def test_settings_that_make_no_sense(bad):
    name, value = next(iter(bad.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}: must be"):
        replace(SMALL, **bad)
