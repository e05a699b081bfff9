"""unet-edu predict: probabilities and cells of images of any size, by a trained network."""

from pathlib import Path

import numpy as np

from unet_edu import ablations, commands, images
from unet_edu.instances import from_probability, of_cell
from unet_edu.streaming import predict_to_zarr
from unet_edu.tiling import gray_range, predict
from unet_edu.training import autocast_dtype


def run(options):
    """Write NAME_probability and NAME_labels of every image; exit code 2 if one of them could not be predicted."""
    paths, out = inputs(options.images, options.out), Path(options.out)
    model = ablations.load(options.weights).to(commands.device(options.device))
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, (name, path) in enumerate(paths.items(), start=1):
        try:
            result = predict_file(model, path, out / name, options)
        except (ValueError, TypeError) as error:  # one bad image does not cost the others
            failed.append(path)
            commands.note(error if str(path) in str(error) else f"{path}: {error}")
        else:
            print(f"{number}/{len(paths)} {name}: {result}", flush=True)
    if failed:
        commands.note(f"{len(failed)} of {len(paths)} images not predicted: {', '.join(map(str, failed))}")
    return 2 if failed else 0


def inputs(given, out):
    """Image files by the names of their results; ValueError if two would have the same, or be found as images."""
    found = {}
    for place in given:
        if Path(place).is_dir() and Path(place).resolve() == Path(out).resolve():
            raise ValueError(f"--out {out}: the folder of the images; use another, or results become images")
        paths, others = images.files(place)
        if others:
            commands.note(f"not an image, left out: {', '.join(map(str, others))}")
        for path in paths:
            name = path.stem.removesuffix(".ome")
            if found.setdefault(name, path) != path:
                raise ValueError(f"{found[name]} and {path}: results of both would be {name}_labels; rename one")
    return found


def predict_file(model, path, stem, options):
    """Predict one image, write both results beside `stem`; returns what was found, in words."""
    image = images.read_gray(path)
    if problem := images.problem(image, *gray_range(model)):
        commands.note(f"warning: {path}: {problem}")
    suffix = {"tiff": ".tif", "zarr": ".zarr"}[options.format]
    probability, labels = (stem.with_name(f"{stem.name}_{part}{suffix}") for part in ("probability", "labels"))
    autocast = autocast_dtype(options.precision, next(model.parameters()).device)
    keep = of_cell if model.num_classes == 2 else lambda classes: classes
    if suffix == ".zarr" and options.rotations == 1:
        kept = predict_to_zarr(model, image, probability, autocast=autocast, keep=keep)[:]
    else:
        classes = predict(model, image, autocast=autocast, rotations=options.rotations, progress=True)
        kept = keep(np.asarray(classes, np.float32))
        images.write(probability, kept)
    cell = kept if kept.ndim == 2 else of_cell(kept)
    cells = from_probability(cell, threshold=options.threshold, min_size=options.min_size)
    count = int(cells.max())
    images.write(labels, cells.astype(np.uint16 if count < 2**16 else np.uint32))
    return f"{count} cells on {(cells > 0).mean():.1%} of the image, in {labels}"
