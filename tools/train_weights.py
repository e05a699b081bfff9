"""Train the small networks that chapters load, and record how: python -m tools.train_weights isbi2012

Writes data/weights/NAME.safetensors (half precision) and data/results/preview/NAME-laptop-foldF-seedS.json.
"""

import argparse
from dataclasses import asdict, replace

import numpy as np
import torch

from unet_edu import datasets, results
from unet_edu.resources import data_path
from unet_edu.training import LAPTOP, train


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=datasets.NAMES)
    parser.add_argument("--steps", type=int, default=LAPTOP.steps)
    parser.add_argument("--fold", type=int, default=LAPTOP.fold)
    parser.add_argument("--seed", type=int, default=LAPTOP.seed)
    parser.add_argument("--learning-rate", type=float, default=LAPTOP.learning_rate)
    parser.add_argument("--clip-norm", type=float, default=LAPTOP.clip_norm, help="0: none")
    parser.add_argument("--weighting", default=LAPTOP.weighting, choices=["none", "balance", "full"])
    parser.add_argument("--job", help="name of the record; only a run without one keeps its network")
    options = parser.parse_args()
    config = replace(LAPTOP, steps=options.steps, fold=options.fold, seed=options.seed, score_every=500,
                     learning_rate=options.learning_rate, clip_norm=options.clip_norm or None,
                     weighting=options.weighting)  # fmt: skip
    dataset = datasets.load(options.name)
    result = train(config, dataset)
    job = options.job or f"{options.name}-laptop-fold{config.fold}-seed{config.seed}"
    path = results.write("preview", job, record(dataset, result))
    print(path, path.read_text(encoding="utf-8"))
    if options.job is None:
        result.model.half().save(data_path("weights") / f"{options.name}.safetensors", **card(dataset, result))


def record(dataset, result):
    """What the run itself knows of a result, in the format of data/results."""
    blocks = np.array_split(result.losses, 120)
    return {
        "profile": "cpu", "variant": "paper", "rotations": 1, "fold": result.config.fold, "seed": result.config.seed,
        "data": {"name": dataset.name, "pixels_sha256": dataset.pixels_sha256, "train": result.train,
                 "held_out": result.held_out},
        "metrics": {"pixel_error": result.scores[-1]["pixel_error"]},
        "config": asdict(result.config), "steps": result.config.steps, "seconds": result.seconds,
        "scores": result.scores, "losses": [round(float(block.mean()), 5) for block in blocks],
    }  # fmt: skip


def card(dataset, result):
    """What a reader must know of a trained network, kept in its file."""
    config, score = result.config, result.scores[-1]["pixel_error"]
    cores = torch.get_num_threads()
    took = f"{result.seconds / 60:.1f} minutes on {cores} CPU core{'s' if cores > 1 else ''}"
    return {
        "summary": (
            f"base width {config.base_channels}, trained on {len(result.train)} images of {dataset.name} for "
            f"{config.steps} steps ({took}); pixel error on the {len(result.held_out)} images held out "
            f"(fold {config.fold} of {config.folds}): {score:.4f}"
        ),
        "data": dataset.name, "fold": config.fold, "folds": config.folds, "seed": config.seed, "train": result.train,
        "held_out": result.held_out, "pixel_error": score, "terms": dataset.terms, "config": asdict(config),
    }  # fmt: skip


if __name__ == "__main__":
    main()
