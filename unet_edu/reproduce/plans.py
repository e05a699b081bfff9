"""Which jobs stand in the queue, most telling first: Tables 1 and 2, ablations, time."""

from dataclasses import replace

from unet_edu.augmentation import NONE, Augmentation
from unet_edu.reproduce.jobs import Job
from unet_edu.training import LAPTOP, TrainingConfig

PAPER = TrainingConfig()
SMOKE = TrainingConfig(steps=3, output_tile=36, base_channels=2, warmup=1)
CPU = replace(LAPTOP, weighting="full")  # as the paper, but for the size of the network and of the tile

# Steps of a job: full width at 572 is planned for less than 9 minutes on a data-centre GPU, scores included.
PROFILES = {
    "smoke": {"table1": replace(SMOKE), "table2": replace(SMOKE), "ablations": replace(SMOKE), "time": SMOKE},
    "cpu": {
        "table1": replace(CPU, steps=5000), "table2": replace(CPU, steps=3000),
        "ablations": replace(CPU, steps=800), "time": replace(CPU, steps=2500),
    },
    "gpu": {
        "table1": replace(PAPER, steps=6000), "table2": replace(PAPER, steps=6000),
        "ablations": replace(PAPER, steps=2000), "time": replace(PAPER, steps=3000),
    },
    "paper": {
        "table1": replace(PAPER, steps=20_000), "table2": replace(PAPER, steps=20_000),
        "ablations": replace(PAPER, steps=4000), "time": replace(PAPER, steps=4000),
    },
}  # fmt: skip
SEEDS = {  # of Tables 1 and 2; ablations have three, in the smoke profile one
    "smoke": 1, "cpu": 1, "gpu": 1, "paper": 3,
}  # fmt: skip
CPU_ABLATIONS = "padding", "skips", "initialization", "weight map", "augmentation", "images"

# What the paper did not know or did not say: Adam, a running mean of the weights, larger gray-value changes.
MODERN = {"optimizer": "adam", "learning_rate": 1e-3, "averaging": 0.999,
          "augmentation": Augmentation(contrast=0.3, brightness=0.15)}  # fmt: skip
MODERN_CELLS = {**MODERN, "w0": 50.0}  # as in the scripts that the authors released later


def table1(profile, config):
    """Table 1: three folds of the training stack with and without rotations; then all slices, for the test stack."""
    data = "synthetic-membranes" if profile == "smoke" else "isbi2012"
    for seed in range(SEEDS[profile]):
        for variant, changes in (("paper", {}), ("modern", MODERN)):
            for fold in (0, 1, 2, None):
                part = "all" if fold is None else f"fold{fold}"
                yield Job("table1", f"{variant}-{part}-seed{seed}", profile, data, variant,
                          replace(config, fold=fold, seed=seed, score_every=_tenth(config), **changes),
                          rotations=(1, 7))  # fmt: skip


def table2(profile, config):
    """Table 2: each sequence of either set held out once."""
    sets = ("synthetic-cells",) if profile == "smoke" else ("dic-hela", "phc-u373")
    for seed in range(SEEDS[profile]):
        for variant, changes in (("paper", {}), ("modern", MODERN_CELLS)):
            for data in sets:
                for fold in (0, 1):
                    yield Job("table2", f"{data}-{variant}-fold{fold}-seed{seed}", profile, data, variant,
                              replace(config, fold=fold, seed=seed, score_every=_tenth(config), **changes))  # fmt: skip


def ablations(profile, config):
    """One thing changed at a time, at equal steps, the same three seeds for all."""
    em, cells = ("synthetic-membranes", "synthetic-cells") if profile == "smoke" else ("isbi2012", "dic-hela")
    seeds = range(1 if profile == "smoke" else 3)
    protocol = {em: {"fold": 0}, cells: {"fold": 1, "steps": 4 * config.steps}}  # cells that touch come apart late
    for group, data, variants in _changes(em, cells, config):
        if profile == "cpu" and group not in ("paper", *CPU_ABLATIONS):
            continue
        for variant, changes in variants.items():
            for seed in seeds:
                yield Job("ablations", f"{data}-{variant}-seed{seed}", profile, data, variant,
                          replace(config, seed=seed, **protocol[data], **changes), group=group)  # fmt: skip


def _changes(em, cells, config):
    """Group, data set, and the changed settings of every variant; the first of each set is the paper's recipe."""
    width, small = config.base_channels, {36: 20, 196: 100, 388: 196}[config.output_tile]
    quarter = {"batch": 4, "output_tile": small}  # the sizes of valid convolutions do not halve exactly
    yield "paper", em, {"paper": {}}
    yield "padding", em, {"same-padding": {"network": "same-padding"}}
    yield "skips", em, {"no-skip": {"network": "no-skip"}, "pad-to-skip": {"network": "pad-to-skip"}}
    yield "initialization", em, {name: {"network": name} for name in ("xavier", "pytorch-default")}
    yield "augmentation", em, {"augmentation-none": {"augmentation": NONE}}
    yield "images", em, {f"images-{count}": {"images": count} for count in (1, 2)}
    yield "paper", cells, {"paper": {}}
    yield "weight map", cells, {f"weights-{name}": {"weighting": name} for name in ("none", "balance")}
    yield "weight map", em, {f"weights-{name}": {"weighting": name} for name in ("none", "balance")}
    yield "single augmentations", em, {
        "augmentation-rotation": {"augmentation": replace(NONE, rotation=180.0)},
        "augmentation-elastic": {"augmentation": replace(NONE, elastic_sigma=10.0)},
        "augmentation-gray": {"augmentation": replace(NONE, contrast=0.2, brightness=0.1)},
    }  # fmt: skip
    # The distance that a constant gradient moves the weights is learning_rate / (1 - momentum).
    yield "momentum", em, {"momentum-0.9": {"momentum": 0.9, "learning_rate": config.learning_rate * 10}}
    yield "batch", em, {"batch-4-small": quarter, "batch-1-small": {"output_tile": small}}
    yield "optimizer", em, {"adam": {"optimizer": "adam", "learning_rate": 1e-3}}
    yield "input", em, {"centered": {"offset": 126.0, "scale": 176.0}}  # mean 0, standard deviation 1/4
    yield "dropout", em, {name: {"network": name} for name in ("no-dropout", "dropout-everywhere")}
    yield "normalization", em, {"batch-norm": {"network": "batch-norm"}}
    yield "more images", em, {f"images-{count}": {"images": count} for count in ((3, 4) if width == 2 else (5, 10))}
    yield "depth", em, {f"depth-{depth}": {"depth": depth} for depth in (2, 3, 5)}
    narrower = [part for part in (width // 8, width // 4, width // 2) if part]
    yield "width", em, {f"width-{part}": {"base_channels": part} for part in narrower}


def time(profile, config):
    """How fast, how much memory, and how long until the paper's pixel error."""
    data = "synthetic-membranes" if profile == "smoke" else "isbi2012"
    yield Job("time", "step", profile, data, "paper", config, task="step")
    yield Job("time", "image", profile, data, "paper", config, task="image")
    config = replace(config, fold=0, score_every=_tenth(config))
    yield Job("time", "level", profile, data, "paper", config, task="level")


def _tenth(config):
    """Steps between the points of a learning curve."""
    return max(1, config.steps // 10)


EXPERIMENTS = {"table1": table1, "table2": table2, "ablations": ablations, "time": time}


def queue(experiment, profile):
    """The jobs of an experiment in the order in which they are best run.

    Parameters
    ----------
    experiment : "table1", "table2", "ablations" or "time"
    profile : "smoke" (drawn data, three steps: does everything run?), "cpu" (base width 16), "gpu" (full width,
        one seed) or "paper" (full width, three seeds)

    Returns
    -------
    list of Job

    Raises
    ------
    ValueError : an unknown experiment or profile
    """
    for name, value, known in (("experiment", experiment, EXPERIMENTS), ("profile", profile, PROFILES)):
        if value not in known:
            raise ValueError(f"{name}={value!r}: must be one of {', '.join(known)}")
    return list(EXPERIMENTS[experiment](profile, PROFILES[profile][experiment]))
