"""Training as in Sec. 3: one large tile a step, stochastic gradient descent with momentum 0.99."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from unet_edu import geometry, metrics
from unet_edu.augmentation import Augmentation, random_grey, random_positions, sample
from unet_edu.losses import weighted_cross_entropy
from unet_edu.model import UNet
from unet_edu.progress import Progress
from unet_edu.tiling import predict


@dataclass(frozen=True)
class TrainingConfig:
    """Everything a training run depends on besides the data; the same values give the same run."""

    steps: int = 4000
    output_tile: int = 388  # side of the logits in pixels (Fig. 1)
    base_channels: int = 64
    depth: int = 4
    dropout: float = 0.5
    learning_rate: float = 5e-3  # the paper gives none
    momentum: float = 0.99  # (Sec. 3)
    clip_norm: float | None = 0.3  # largest norm of the gradient; the paper names none: None
    warmup: int = 200  # steps over which the rate rises from 0
    decay: float = 0.3  # last part of the steps, over which the rate falls to 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    fold: int | None = 0  # which part of the groups is held out; None trains on everything
    folds: int = 3
    score_every: int = 0  # steps between scores of the held-out images; 0: only at the end
    seed: int = 0
    device: str | None = None  # None: CUDA where there is one
    precision: str = "auto"  # "float32", "bfloat16", or "auto": bfloat16 where the device has it


# What two laptop cores train in under ten minutes: a quarter of the width, a smaller tile.
LAPTOP = TrainingConfig(steps=5000, output_tile=196, base_channels=16)


@dataclass
class Result:
    """A trained network and how it came about."""

    model: UNet
    config: TrainingConfig
    losses: np.ndarray  # (steps,) loss of each step's tile, before the step
    scores: list[dict]  # {"step": ..., "pixel_error": ...} of the held-out images
    train: list[int]
    held_out: list[int]
    seconds: float  # of training alone, scoring left out


class Divergence(ArithmeticError):
    """The loss became infinite or not a number."""


CHECK_EVERY = 25  # steps between looks at the loss: each look waits for the device


def train(config, dataset, *, progress=True):
    """Train a U-Net on random tiles of a dataset and score it on the images held out.

    Parameters
    ----------
    config : TrainingConfig
    dataset : Dataset, see `datasets.load`
    progress : show a progress line with loss, rate and time left

    Returns
    -------
    Result, its model in eval mode on the device of the training

    Raises
    ------
    ValueError : a tile that is no output size, a fold that leaves nothing to train on
    Divergence : the loss is no longer finite
    """
    tile = geometry.input_size(geometry.checked_tile(config.output_tile, config.depth), config.depth)
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    indices, held_out = dataset.split(config.fold, config.folds)
    images = [_float(dataset.images[i], device) for i in indices]
    classes = [torch.as_tensor(dataset.classes[i], device=device) for i in indices]
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng():  # weights and drop-out draw from the global generator
        torch.manual_seed(config.seed)
        model = UNet(images[0].shape[0], dataset.num_classes, base_channels=config.base_channels,
                     depth=config.depth, dropout=config.dropout)  # fmt: skip
        model.to(device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(model.parameters(), config.learning_rate, momentum=config.momentum)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, config))
        losses = torch.zeros(config.steps, device=device)
        scores, scoring = [], 0.0
        started = time.perf_counter()
        for step in (line := Progress(range(config.steps), "training", "steps", show=progress)):
            image, target = random_tile(images, classes, tile, config, generator)
            loss = _loss(model, image, target, config.precision)
            losses[step] = loss.detach()
            optimizer.zero_grad()
            loss.backward()
            if config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            if step % CHECK_EVERY == CHECK_EVERY - 1 or step == config.steps - 1:
                line.note = f"loss {_finite_mean(losses[max(0, step - 99) : step + 1], step, config):.3f}"
            due = config.score_every and (step + 1) % config.score_every == 0
            if held_out and due and step + 1 < config.steps:
                before = time.perf_counter()
                scores.append({"step": step + 1, **score(model, dataset, held_out)})
                scoring += time.perf_counter() - before
        seconds = time.perf_counter() - started - scoring
        if held_out:
            scores.append({"step": config.steps, **score(model, dataset, held_out)})
    return Result(model.eval(), config, losses.cpu().numpy(), scores, indices, held_out, seconds)


def random_tile(images, classes, tile, config, generator):
    """One augmented training tile: image (1, C, tile, tile), target (1, output_tile, output_tile)."""
    i = int(torch.randint(len(images), (), generator=generator))
    device = images[i].device
    positions = random_positions(images[i].shape[-2:], tile, config.augmentation, generator, device)
    image = random_grey(sample(images[i], positions), config.augmentation, generator)
    inside = slice((tile - config.output_tile) // 2, (tile + config.output_tile) // 2)
    target = sample(classes[i], positions[:, inside, inside], mode="nearest")
    return image[None].contiguous(memory_format=torch.channels_last), target[None]


def rate_factor(step, config):
    """Part of the learning rate in force at this step: linear rise, plateau, linear fall to 0."""
    rise = (step + 1) / max(config.warmup, 1)
    fall = (config.steps - step) / max(config.decay * config.steps, 1)
    return min(1.0, rise, fall)


def score(model, dataset, indices):
    """Pixel error of the images at `indices`, pooled as one stack."""
    autocast = torch.bfloat16 if use_bfloat16("auto", next(model.parameters()).device) else None
    probability = np.stack([predict(model, dataset.images[i], autocast=autocast)[1] for i in indices])
    return {"pixel_error": metrics.pixel_error(np.stack([dataset.classes[i] for i in indices]), probability)}


def use_bfloat16(precision, device):
    """Whether to compute in bfloat16: if asked for, or for "auto" if the device does it natively."""
    if precision not in ("auto", "bfloat16", "float32"):
        raise ValueError(f"precision={precision!r}: must be 'auto', 'bfloat16' or 'float32'")
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _loss(model, image, target, precision):
    bfloat16 = use_bfloat16(precision, image.device)
    with torch.autocast(image.device.type, torch.bfloat16, enabled=bfloat16):
        logits = model(image)
    return weighted_cross_entropy(logits, target)


def _finite_mean(losses, step, config):
    if not torch.isfinite(losses).all():
        raise Divergence(
            f"the loss is not finite by step {step + 1} with learning_rate={config.learning_rate} and "
            f"momentum={config.momentum}; lower learning_rate, or set clip_norm (now {config.clip_norm})"
        )
    return losses.mean().item()


def _float(image, device):
    """(C, H, W) float32 tensor; integers are divided by 255."""
    array = np.asarray(image)
    scaled = array / 255.0 if np.issubdtype(array.dtype, np.integer) else array
    return torch.as_tensor(scaled.reshape(-1, *array.shape[-2:]), dtype=torch.float32, device=device)
