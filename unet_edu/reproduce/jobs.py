"""One job of the queue: train, score, write what came of it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

from unet_edu import datasets, files, results
from unet_edu.instances import of_cell
from unet_edu.reproduce import memory, pictures, scores, timing
from unet_edu.tiling import predict
from unet_edu.training import TrainingConfig, autocast_dtype, train

KEPT_LOSSES = 120  # a curve of the loss has this many points at most


@dataclass(frozen=True)
class Job:
    """A training and the ways to score it, or a measurement of time.

    Attributes
    ----------
    experiment, profile, variant, group : as in the results; group is the question that an ablation belongs to
    name : of its files, without what `stem` adds
    data : name of the data set
    config : what is trained; its fold None predicts the test stack instead of scoring
    rotations : one result for each, see `tiling.predict`
    task : "train", or "step", "image" or "level" of `timing`
    """

    experiment: str
    name: str
    profile: str
    data: str
    variant: str
    config: TrainingConfig
    rotations: tuple[int, ...] = (1,)
    group: str = ""
    task: str = "train"

    def stems(self):
        """Names of the results by the number of rotations; those of the profile "paper" are the plain ones."""
        ending = "" if self.profile == "paper" else f"-{self.profile}"
        several = len(self.rotations) > 1
        return {n: f"{self.name}-rot{n}{ending}" if several else f"{self.name}{ending}" for n in self.rotations}


def finished(job, folder):
    """Whether every result of a job is written."""
    return all((Path(folder) / job.experiment / f"{stem}.json").exists() for stem in job.stems().values())


def run(job, folder, *, device=None, keep_weights=None, progress=True):
    """Do what is missing of a job and write its results; a training that was cut off goes on where it was.

    Parameters
    ----------
    job : Job
    folder : where to write EXPERIMENT/JOB.json, and beside it a picture of the best and worst held-out tile,
        or of a training on everything the prediction of the test stack (uint8 TIFF, 255 = cell)
    device : where to compute; None: CUDA where there is one
    keep_weights : folder for the trained network in half precision (4 MB at base width 16, 62 MB at 64)
    progress : show progress lines

    Returns
    -------
    list of the paths of its JSON files

    Raises
    ------
    FileNotFoundError : the data set is not here; Divergence, ValueError : as `training.train`
    """
    folder = Path(folder)
    if job.task != "train":
        (stem,) = job.stems().values()
        return [results.write(job.experiment, stem, timing.measure(job, device, progress), folder)]
    dataset = datasets.load(job.data)
    checkpoint = folder / job.experiment / f".{job.name}-{job.profile}.checkpoint"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    config = replace(job.config, device=device, checkpoint_every=max(1, job.config.steps // 4))
    memory.forget_peak()
    result = train(config, dataset, resume=checkpoint, progress=progress)
    known = {**about(job, dataset, result), "peak_memory_bytes": memory.peak()}
    judge = judged if result.held_out else untold
    paths = []
    for rotations, stem in job.stems().items():
        found = judge(result, dataset, rotations, folder / job.experiment / stem)
        known.setdefault("metrics", found["metrics"])  # of the first, which the card of the network tells
        paths.append(results.write(job.experiment, stem, {**known, "rotations": rotations, **found}, folder))
    if keep_weights is not None:
        Path(keep_weights).mkdir(parents=True, exist_ok=True)
        path = Path(keep_weights) / f"{job.name}.safetensors"
        result.model.half().save(path, **card(dataset, result, known))
    checkpoint.unlink()
    return paths


def about(job, dataset, result):
    """What a result says of its training, in the format of data/results."""
    blocks = np.array_split(result.losses, min(KEPT_LOSSES, len(result.losses)))
    return {
        "profile": job.profile, "variant": job.variant, **({"group": job.group} if job.group else {}),
        "fold": result.config.fold, "seed": result.config.seed,
        "data": {"name": dataset.name, "pixels_sha256": dataset.pixels_sha256, "train": result.train,
                 "held_out": result.held_out},
        "config": asdict(result.config), "steps": result.config.steps, "seconds": result.seconds,
        "scores": result.scores, "losses": [round(float(block.mean()), 5) for block in blocks],
    }  # fmt: skip


def judged(result, dataset, rotations, path):
    """Scores of the held-out images, and a picture of the best and the worst of them."""
    probability = predicted(result, [dataset.images[i] for i in result.held_out], rotations)
    metrics, each = scores.scores(dataset, result.held_out, probability)
    pictures.write(path.with_name(f"{path.name}.webp"), dataset, result.held_out, probability)
    return {"metrics": metrics, "images": each}


def untold(result, dataset, rotations, path):
    """The prediction of the images whose truth is not here: for `unet-edu evaluate --test-labels`."""
    stack = np.stack(predicted(result, datasets.challenge_stack(dataset.name), rotations))
    stack = np.round(255 * stack).astype(np.uint8)
    with files.whole(path.with_name(f"{path.name}.tif")) as unfinished:
        tifffile.imwrite(unfinished, stack, compression="zlib", photometric="minisblack")
    return {"metrics": {}, "prediction": f"{path.name}.tif"}


def predicted(result, images, rotations):
    """Probability of cell of every image, a list of (H, W)."""
    device = next(result.model.parameters()).device
    autocast = autocast_dtype(result.config.precision, device)
    return [of_cell(predict(result.model, image, rotations=rotations, autocast=autocast)) for image in images]


def card(dataset, result, known):
    """What a reader must know of a trained network, kept in its file."""
    config, scores = result.config, ", ".join(f"{name} {value:.4f}" for name, value in known["metrics"].items())
    held_out = f"the {len(result.held_out)} held out (fold {config.fold} of {config.folds}): {scores}"
    return {
        "summary": f"base width {config.base_channels}, {config.steps} steps on {len(result.train)} images of"
                   f" {dataset.name}; on {held_out if result.held_out else 'none held out, so it has no score'}",
        "data": dataset.name, "terms": dataset.terms, "folds": config.folds, "train": result.train,
        "held_out": result.held_out, "config": asdict(config),
        **{name: known[name] for name in ("fold", "seed", "steps", "profile", "variant", "metrics")},
    }  # fmt: skip
