"""Training as in Sec. 3: one large tile a step, stochastic gradient descent with momentum 0.99."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unet_edu import ablations, geometry, metrics
from unet_edu.augmentation import Augmentation, augment
from unet_edu.datasets import pixels_sha256
from unet_edu.files import whole
from unet_edu.losses import weighted_cross_entropy
from unet_edu.model import center_crop
from unet_edu.progress import Progress
from unet_edu.tiling import predict, scaled
from unet_edu.weight_map import border_weights, class_frequencies, class_weights, separate_touching, touching_pairs

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything a training run depends on besides the data; the same values give the same run."""

    steps: int = 4000
    output_tile: int = 388  # side of the logits in pixels (Fig. 1)
    batch: int = 1  # tiles a step (Sec. 3: one, as large as possible)
    base_channels: int = 64
    depth: int = 4
    dropout: float = 0.5
    network: str = "paper"  # or another of ablations.NAMES
    weighting: str = "full"  # Eq. 2; "balance": its first term, "none": every pixel 1
    w0: float = 10.0
    sigma: float = 5.0
    learning_rate: float = 5e-3  # the paper gives none
    optimizer: str = "sgd"  # (Sec. 3), or "adam", which has momenta of its own
    momentum: float = 0.99  # (Sec. 3)
    clip_norm: float | None = 0.3  # largest norm of the gradient; the paper names none: None
    warmup: int = 200  # steps over which the rate rises from 0
    decay: float = 0.3  # last part of the steps, over which the rate falls to 0
    averaging: float = 0.0  # decay of a running mean of the weights, which is then the result; 0: none, as in Sec. 3
    augmentation: Augmentation = field(default_factory=Augmentation)
    images: int | None = None  # how many of the images to train on, spread over them; None: all that are not held out
    fold: int | None = 0  # which part of the groups is held out; None trains on everything
    folds: int | None = None  # None: as many as the data set is made for; `train` puts their number here
    score_every: int = 0  # steps between scores of the held-out images; 0: only at the end
    checkpoint_every: int = 500  # steps between checkpoints, if `train` is given a place for them
    seed: int = 0
    device: str | None = None  # None: CUDA where there is one
    precision: str = "auto"  # "float32", "bfloat16", "float16"; "auto": half where the device does it natively
    compile: bool = False  # torch.compile: slower to start, faster afterwards
    scale: float | None = None  # integer images become (image - offset) / scale; None: the data set's own; both are
    offset: float | None = None  # kept with the network

    def __post_init__(self):
        smallest = {"steps": 0, "batch": 1, "warmup": 0, "decay": 0, "images": 1, "score_every": 0,
                    "checkpoint_every": 1, "scale": 1e-9}  # fmt: skip
        for name, least in smallest.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: must be {least} or more")
        if self.weighting not in ("none", "balance", "full"):
            raise ValueError(f"weighting={self.weighting!r}: must be 'none', 'balance' or 'full'")
        if self.optimizer not in ("sgd", "adam"):
            raise ValueError(f"optimizer={self.optimizer!r}: must be 'sgd' or 'adam'")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging={self.averaging}: must be 0 (none) or below 1, such as 0.999")
        if self.precision not in ("auto", *PRECISIONS):
            raise ValueError(f"precision={self.precision!r}: must be 'auto', {', '.join(map(repr, PRECISIONS))}")


# What two laptop cores train in under ten minutes: a quarter of the width, a smaller tile.
LAPTOP = TrainingConfig(steps=5000, output_tile=196, base_channels=16, weighting="none")


@dataclass
class Result:
    """A trained network and how it came about."""

    model: torch.nn.Module
    config: TrainingConfig
    losses: np.ndarray  # (steps,) loss of each step's tile, before the step
    scores: list[dict]  # {"step": ..., "pixel_error": ...} of the held-out images
    train: list[int]
    held_out: list[int]
    seconds: float  # of training alone, scoring left out


class Divergence(ArithmeticError):
    """The loss became infinite or not a number."""


CHECK_EVERY = 25  # steps between looks at the loss: each look waits for the device


def train(config, dataset, *, resume=None, progress=True):
    """Train a U-Net on random tiles of a dataset and score it on the images held out.

    Parameters
    ----------
    config : TrainingConfig
    dataset : Dataset, see `datasets.load`
    resume : path of a checkpoint. If the file exists, training goes on from it as if it had never stopped:
        to the bit on the CPU of the same machine, on CUDA up to the order of its sums. It is rewritten
        every `checkpoint_every` steps
    progress : show a progress line with loss, rate and time left

    Returns
    -------
    Result, its model in eval mode on the device of the training

    Raises
    ------
    ValueError : a tile that is no output size, a fold that leaves nothing to train on, classes of another
        size than their image, held-out images without any cell, a checkpoint that cannot be read or is
        of another configuration or data set
    Divergence : the loss is no longer finite
    """
    geometry.checked_tile(config.output_tile, config.depth)
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = settled(config, dataset)
    indices, held_out = dataset.split(config.fold, config.folds)
    indices = spread(indices, config.images)
    _check(dataset, indices, held_out)
    with torch.random.fork_rng():  # weights and drop-out draw from the global generator
        run, batch = prepared(config, dataset, indices, device)
        origin = {"name": dataset.name, "pixels_sha256": dataset.pixels_sha256, "train": indices,
                  "labels_sha256": pixels_sha256([*dataset.classes, *dataset.instances])}  # fmt: skip
        if resume is not None and Path(resume).exists():
            run.restore(resume, origin)
        for step in (line := Progress(range(run.step, config.steps), "training", "steps", show=progress)):
            started = time.perf_counter()
            run.advance(*batch())
            if step % CHECK_EVERY == CHECK_EVERY - 1 or step == config.steps - 1:
                line.note = f"loss {run.recent_loss():.3f}"
            run.seconds += time.perf_counter() - started
            if held_out and config.score_every and run.step % config.score_every == 0 and run.step < config.steps:
                run.scores.append({"step": run.step, **score(run.result, dataset, held_out, run.dtype)})
            if resume is not None and (run.step % config.checkpoint_every == 0 or run.step == config.steps):
                run.recent_loss()  # a diverged run must not replace a good checkpoint
                run.save(resume, origin)
        if held_out:
            run.scores.append({"step": config.steps, **score(run.result, dataset, held_out, run.dtype)})
    return Result(run.result.eval(), config, run.losses.cpu().numpy(), run.scores, indices, held_out, run.seconds)


def settled(config, dataset):
    """The configuration with the data set's own values for those it leaves open: results must say which."""
    own = {name: getattr(dataset, name) for name in ("folds", "scale", "offset") if getattr(config, name) is None}
    return replace(config, **own)


def prepared(config, dataset, indices, device):
    """A training before its first step, and a function that draws the batch of a step from the images at `indices`."""
    tile = geometry.input_size(config.output_tile, config.depth)
    material = _material(dataset, indices, config, device)
    run = _Run(config, material[0][0].shape[0], dataset.num_classes, device)
    return run, lambda: random_batch(*material, tile, config, run.draw)


class _Run:
    """All that changes in the course of a training: what a checkpoint must hold."""

    def __init__(self, config, in_channels, num_classes, device):
        torch.manual_seed(config.seed)
        self.config, self.device, self.step, self.seconds, self.scores = config, device, 0, 0.0, []
        self.draw = torch.Generator().manual_seed(config.seed)
        model = ablations.build(config.network, in_channels=in_channels, num_classes=num_classes,
                                base_channels=config.base_channels, depth=config.depth,
                                dropout=config.dropout)  # fmt: skip
        model.scale, model.offset = config.scale, config.offset
        self.model = model.to(device, memory_format=torch.channels_last).train()
        self.forward = torch.compile(self.model) if config.compile else self.model
        self.averaged = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(config.averaging), use_buffers=True
        ) if config.averaging else None  # fmt: skip
        kind = {"sgd": partial(torch.optim.SGD, momentum=config.momentum), "adam": torch.optim.Adam}[config.optimizer]
        # The fused form is the one that a gradient scaler can skip without asking the device.
        self.optimizer = kind(model.parameters(), config.learning_rate, fused=device.type == "cuda")
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: rate_factor(step, config))
        self.dtype = autocast_dtype(config.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.losses = torch.zeros(config.steps, device=device)

    @property
    def result(self):
        """The network that this training is for."""
        return self.averaged.module if self.averaged else self.model

    def advance(self, x, target, weight):
        """One step: loss of the tiles, gradient, clipping, momentum."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            logits = self.forward(x)
        loss = weighted_cross_entropy(logits, target, weight)
        self.losses[self.step] = loss.detach()
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.config.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.averaged:
            self.averaged.update_parameters(self.model)
        self.step += 1

    def recent_loss(self):
        """Mean loss of the last hundred steps; Divergence if one of them is not finite."""
        recent = self.losses[max(0, self.step - 100) : self.step]
        if not torch.isfinite(recent).all():
            raise Divergence(
                f"the loss is not finite by step {self.step} with learning_rate={self.config.learning_rate} and "
                f"momentum={self.config.momentum}; lower learning_rate, or set clip_norm (now {self.config.clip_norm})"
            )
        return recent.mean().item()

    def save(self, path, origin):
        """Write a checkpoint; it appears under its name only when it is complete."""
        parts = {part: read() for part, (read, _) in self._parts().items()}
        with whole(path) as unfinished:
            torch.save({"config": asdict(self.config), "data": origin, **parts}, unfinished)

    def restore(self, path, origin):
        """Take up the state of a checkpoint of the same configuration and data."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            config, data = state["config"], state["data"]
        except Exception as error:
            raise ValueError(f"{path}: not a readable checkpoint; delete it to begin anew") from error
        wanted = asdict(self.config)
        if other := [name for name in wanted if wanted[name] != config.get(name)]:
            different = ", ".join(f"{name}={config.get(name)} instead of {wanted[name]}" for name in other)
            raise ValueError(f"{path}: a checkpoint of another configuration ({different}); use another file for it")
        if data != origin:
            raise ValueError(
                f"{path}: a checkpoint of a training on other images or labels ({data['name']}); use another file"
            )
        for part, (_, write) in self._parts().items():
            write(state[part])

    def _parts(self):
        """Name of every changing part, how to read it and how to write it."""

        def set_plain(values):
            self.step, self.seconds, self.scores = values
            self.schedule.last_epoch = self.step

        cuda = self.device.type == "cuda"
        return {
            "plain": (lambda: (self.step, self.seconds, self.scores), set_plain),
            "model": (self.model.state_dict, self.model.load_state_dict),
            "optimizer": (self.optimizer.state_dict, self.optimizer.load_state_dict),
            "scaler": (self.scaler.state_dict, self.scaler.load_state_dict),
            "draw": (self.draw.get_state, self.draw.set_state),
            "random": (torch.get_rng_state, torch.set_rng_state),
            "cuda_random": (torch.cuda.get_rng_state, torch.cuda.set_rng_state) if cuda else (list, list),
            "losses": (lambda: self.losses, self.losses.copy_),
            "averaged": (self.averaged.state_dict, self.averaged.load_state_dict) if self.averaged else (dict, dict),
        }


def spread(indices, count):
    """`count` of the indices at equal distances; None: all. ValueError if there are fewer."""
    if count is None:
        return indices
    if count > len(indices):
        raise ValueError(f"images={count}: only {len(indices)} are not held out; use {len(indices)} at most")
    return [indices[(2 * i + 1) * len(indices) // (2 * count)] for i in range(count)]


def random_batch(images, classes, weights, tile, config, generator):
    """As many random tiles as a step takes, along the first axis; see `random_tile`."""
    tiles = [random_tile(images, classes, weights, tile, config, generator) for _ in range(config.batch)]
    if config.batch == 1:
        return tiles[0]
    x, target, weight = zip(*tiles, strict=True)
    x = torch.cat(x).contiguous(memory_format=torch.channels_last)
    return x, torch.cat(target), None if weights is None else torch.cat(weight)


def random_tile(images, classes, weights, tile, config, generator):
    """One augmented training tile.

    Returns image (1, C, tile, tile), target (1, output_tile, output_tile) and its weights, or None.
    """
    i = int(torch.randint(len(images), (), generator=generator))
    image, target, weight = augment(
        images[i][None], classes[i][None], None if weights is None else weights[i][None],
        tile=tile, augmentation=config.augmentation, generator=generator,
    )  # fmt: skip
    middle = (config.output_tile, config.output_tile)  # the logits cover the middle of the tile
    target = center_crop(target, middle)
    weight = None if weight is None else center_crop(weight, middle)
    return image.contiguous(memory_format=torch.channels_last), target, weight


def rate_factor(step, config):
    """Part of the learning rate in force at this step: linear rise, plateau, linear fall to 0."""
    rise = (step + 1) / max(config.warmup, 1)
    fall = (config.steps - step) / max(config.decay * config.steps, 1)
    return min(1.0, rise, fall)


def score(model, dataset, indices, autocast=None):
    """Pixel error of the images at `indices`, pooled as one stack; unknown pixels are left out.

    Class 0 is membrane or background, every other class counts as cell. Computed in the type `autocast`,
    None: in the model's own.
    """
    truth, cell = [], []
    for i in indices:
        known = np.asarray(dataset.classes[i]) >= 0
        truth.append(np.asarray(dataset.classes[i])[known] > 0)
        cell.append(predict(model, dataset.images[i], autocast=autocast)[1:].sum(0)[known])
    pooled = np.concatenate(truth)[None], np.concatenate(cell)[None].clip(0, 1)
    return {"pixel_error": metrics.pixel_error(*pooled)}


def autocast_dtype(precision, device):
    """The type to compute in: None for float32; for "auto" the half precision that the device does natively."""
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else None


def _material(dataset, indices, config, device):
    """Images, classes and weights of the training set on the device; weights None if every pixel counts 1."""
    images = [_float(dataset.images[i], config, device) for i in indices]
    instances, classes = zip(*(_separated(dataset.instances[i], dataset.classes[i]) for i in indices), strict=True)
    targets = [torch.as_tensor(np.array(image, np.int64), device=device) for image in classes]
    if config.weighting == "none":
        return images, targets, None
    frequencies = class_frequencies(classes, dataset.num_classes)
    weights = [class_weights(image, frequencies) for image in classes]
    if config.weighting == "full":
        for weight, cells, image in zip(weights, instances, classes, strict=True):
            weight += border_weights(cells, config.w0, config.sigma) * (image >= 0)
    return images, targets, [torch.as_tensor(weight, device=device) for weight in weights]


def _separated(instances, classes):
    """Instances and classes with background between the cells, if any share an edge (Sec. 3); else as they are.

    Cells that meet only at a corner are components of their own already, as in the EM sets.
    """
    if not len(touching_pairs(instances, diagonal=False)):
        return instances, classes
    separated = separate_touching(instances)
    ridge = (separated == 0) & (instances > 0) & (classes > 0)
    return separated, np.where(ridge, 0, classes)


def _check(dataset, indices, held_out):
    """ValueError for what would fail only after the training: sizes that do not fit, nothing to score."""
    for i in (*indices, *held_out):
        size, labeled = np.shape(dataset.images[i])[-2:], np.shape(dataset.classes[i])
        if size != labeled:
            raise ValueError(f"image {i} is {size}, its classes are {labeled}: height and width must be the same")
    if held_out and not any((np.asarray(dataset.classes[i]) > 0).any() for i in held_out):
        raise ValueError(f"held-out images {held_out} show no cell, so they have no score; use another fold or None")


def _float(image, config, device):
    """(C, H, W) float32 tensor as the network sees it."""
    return torch.as_tensor(np.array(scaled(image, config.scale, config.offset), np.float32), device=device)
