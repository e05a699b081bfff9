"""unet-edu train: a network for images of one's own, or for a data set of the paper."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from unet_edu import commands, configuration, datasets, metrics, training
from unet_edu.instances import from_probability, of_cell
from unet_edu.tiling import predict

OPTIONS = ("steps", "base_channels", "output_tile", "learning_rate", "fold", "seed", "device", "weighting")
DEAD = 0.01  # probabilities that differ less than this from pixel to pixel: units are dying, or dead
# On a laptop too with the whole of Eq. 2: without its borders, cells that touch become one.
PRESETS = {"laptop": replace(training.LAPTOP, weighting="full"), "paper": training.TrainingConfig()}


def run(options):
    """Train, score the images held out, and write weights.safetensors, config.toml and scores.json.

    The checkpoint is there only as long as the training is not finished.
    """
    out = Path(options.out)
    weights, checkpoint = out / "weights.safetensors", out / "checkpoint.pt"
    if weights.exists():
        raise ValueError(f"{weights}: there is a finished training; use another --out, or delete it")
    config, dataset = configured(options), chosen(options)
    commands.device(config.device)
    if config.fold is not None and len(np.unique(dataset.groups)) == 1:
        commands.note("there is one image, so none is held out and there will be no scores")
        config = replace(config, fold=None)
    print(described(dataset), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        commands.note(f"going on from {checkpoint}")
    try:
        result = training.train(config, dataset, resume=checkpoint)
    except KeyboardInterrupt:
        if checkpoint.exists():
            commands.note(f"the same command goes on from {checkpoint}")
        raise
    found = card(dataset, result)
    commands.write_text(out / "config.toml", configuration.text(result.config))
    commands.write_json(out / "scores.json", {**found, "curve": result.scores, "seconds": result.seconds})
    result.model.save(weights, **found)  # the last: where it is, everything is
    checkpoint.unlink(missing_ok=True)
    print(found["summary"])
    print(f"next: unet-edu predict IMAGES --weights {weights} --out PREDICTIONS")
    return 0


def configured(options):
    """TrainingConfig from the preset, over it the TOML file, over it the options."""
    config = PRESETS[options.preset]
    if options.config:
        config = configuration.read(options.config, config)
    given = {name: getattr(options, name) for name in OPTIONS}
    return configuration.changed(config, {name: value for name, value in given.items() if value is not None})


def chosen(options):
    """The data set named, or that of two folders."""
    folders = options.images, options.labels
    if bool(options.dataset) == any(folders) or (any(folders) and not all(folders)):
        raise ValueError("name either a data set, or --images DIR and --labels DIR")
    if options.dataset:
        if options.unknown is not None:
            raise ValueError(f"--unknown {options.unknown}: only for labels of your own; leave it out")
        return datasets.load(options.dataset)
    return datasets.from_folder(*folders, unknown=options.unknown)


def described(dataset):
    """What is in a data set, so that a wrong reading of the files shows before the training."""
    about = datasets.card(dataset)
    sizes = ", ".join(f"{height} x {width}" for height, width in about["sizes"][:3])
    more = " and others" if len(about["sizes"]) > 3 else ""
    lowest, highest = about["cells"]["min"], about["cells"]["max"]
    return (
        f"{dataset.origin}\n{sizes}{more} pixels, gray values up to about {dataset.offset + dataset.scale:g};"
        f" {lowest} to {highest} cells an image, {1 - about['class_frequencies'][0]:.0%} of the known pixels are cell,"
        f" {about['unknown']:.0%} are unknown"
    )


def card(dataset, result):
    """What a user must know of a trained network, kept in its file."""
    names = dataset.files or range(len(dataset.images))
    train, held_out = ([names[i] for i in indices] for indices in (result.train, result.held_out))
    scores = scored(dataset, result)
    config = result.config
    summary = f"base width {config.base_channels}, {config.steps} steps on {len(train)} images of {dataset.name}"
    if held_out:
        values = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        summary += f"; {', '.join(map(str, held_out))} held out: {values}"
    return {
        "summary": summary, "data": dataset.name, "origin": dataset.origin, "pixels_sha256": dataset.pixels_sha256,
        "train": train, "held_out": held_out, "scores": scores, "terms": dataset.terms,
    }  # fmt: skip


def scored(dataset, result):
    """Scores of the images held out; a note if the network tells nothing apart, there or in those trained on."""
    shown = result.held_out or result.train
    probability = [of_cell(predict(result.model, dataset.images[i])) for i in shown]
    predicted = [from_probability(image) for image in probability]
    found = np.concatenate([np.ravel(image) > 0 for image in predicted])
    classes = np.concatenate([np.ravel(dataset.classes[i]) for i in shown])
    if one_class(classes, found):
        commands.note(
            f"the network calls {'nearly ' if found.any() and not found.all() else ''}every pixel"
            f" {'cell' if found.mean() > 0.5 else 'background'}: {remedy(probability, result.config)}"
        )
    if not result.held_out:
        return {}
    return {
        "pixel_error": result.scores[-1]["pixel_error"],
        "iou": metrics.iou(classes > 0, found, classes >= 0),
        "seg": metrics.seg([np.asarray(dataset.instances[i]) for i in shown], predicted),
    }


def remedy(probability, config):
    """What to do about a network that sees but one class."""
    if max(float(np.ptp(image)) for image in probability) < DEAD:
        return (
            "it has gone blind, its units pass nothing on, and more steps do not help; use another --seed, or a smaller"
            f" --learning-rate than {config.learning_rate:g}"
        )
    balanced = ", or let both classes count alike (--weighting balance)" if config.weighting == "none" else ""
    return f"train longer (--steps), check that the labels belong to the images{balanced}"


def one_class(classes, found):
    """Whether a prediction shows less than a hundredth of the background or of the cells that there are."""
    true, predicted = ([np.mean(part > 0), np.mean(part <= 0)] for part in (classes[classes >= 0], found))
    return bool(np.any(np.less(predicted, np.divide(true, 100))))
