"""How fast the components are, side by side with peers, in one run: python -m benchmarks.components

Every ratio is the median over interleaved repetitions, so that a machine that slows down slows both
sides; its spread stands beside it. Writes data/results/time/components-DEVICE.json.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from unet_edu import UNet, results, training
from unet_edu.augmentation import elastic_displacement, warp
from unet_edu.datasets import load
from unet_edu.losses import weighted_cross_entropy
from unet_edu.weight_map import border_weights


def side_by_side(ours, theirs, repetitions, scale=1.0, wait=lambda: None):
    """Times of both, in turn; the ratio is theirs over ours, times `scale`."""
    times = {"ours": [], "theirs": []}
    for side in (ours, theirs):
        side()  # warm up
    for _ in range(repetitions):
        for name, side in (("ours", ours), ("theirs", theirs)):
            wait()
            started = time.perf_counter()
            side()
            wait()
            times[name].append(time.perf_counter() - started)
    ratios = sorted(scale * t / o for o, t in zip(times["ours"], times["theirs"], strict=True))
    return {
        "ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1],
        "ours_s": statistics.median(times["ours"]), "theirs_s": scale * statistics.median(times["theirs"]),
        "repetitions": repetitions,
    }  # fmt: skip


def waiting(device):
    """What makes the host wait for the device, so that the time measured is the time it took."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def naive_border_weights(instances, w0=10.0, sigma=5.0):
    """One distance transform per cell over the whole image, sorted."""
    ids = np.unique(instances[instances > 0])
    d1, d2 = np.sort([ndimage.distance_transform_edt(instances != i) for i in ids], axis=0)[:2]
    return w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def many_cells(size=2048, rows=16, columns=8, radius=40):
    """A field of 128 disks, most of them apart."""
    y, x = np.indices((size, size))
    row, column = y * rows // size, x * columns // size
    middle = (row + 0.5) * size / rows, (column + 0.5) * size / columns
    inside = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
    return np.where(inside, 1 + row * columns + column, 0)


def hela_frames():
    """Annotated DIC-HeLa frames where the data is at hand, else as many touching cells made of Voronoi regions."""
    folder = Path(os.environ.get("UNET_EDU_DATA", "")) / "dic-hela"
    if folder.is_dir():
        import tifffile

        files = sorted(folder.glob("0?_GT/SEG/man_seg*.tif"))[:4]
        return "DIC-HeLa frames", [tifffile.imread(file).astype(int) for file in files]
    rng = np.random.default_rng(0)
    seeds = rng.random((12, 2)) * 512
    distance = np.linalg.norm(np.indices((512, 512))[:, None] - seeds.T[:, :, None, None], axis=0)
    return "Voronoi cells", [np.where(distance.min(0) < 80, 1 + distance.argmin(0), 0)]


def weight_maps(repetitions):
    name, frames = hela_frames()
    yield f"border_weights, {name} 512 x 512", 5, side_by_side(
        lambda: [border_weights(frame) for frame in frames],
        lambda: [naive_border_weights(frame) for frame in frames], repetitions,
    )  # fmt: skip
    large, sample = many_cells(), 4

    # All 128 distance transforms take minutes and each costs the same, so a few are timed and multiplied.
    # Sorting them and the exponential are left out, in favor of the naive version.
    def few_transforms():
        return [ndimage.distance_transform_edt(large != i) for i in range(1, 1 + sample)]

    name = f"border_weights, 2048 x 2048, 128 cells, against {sample} distance transforms times {128 // sample}"
    yield name, 200, side_by_side(
        lambda: border_weights(large), few_transforms, repetitions, scale=128 / sample,
    )  # fmt: skip


def augmentations(repetitions, device):
    rng = np.random.default_rng(0)
    image, labels = rng.random((572, 572), dtype=np.float32), rng.integers(0, 2, (572, 572), dtype=np.int32)
    image_here, labels_here = (torch.from_numpy(a).to(device) for a in (image, labels))

    def ours():
        displacement = elastic_displacement((572, 572), device=device)
        warp(image_here, displacement), warp(labels_here, displacement, mode="nearest")

    try:
        import elasticdeform
    except ImportError as error:
        print(f"elasticdeform left out: {error}")
    else:
        yield "elastic deformation, 572 x 572 with labels, against elasticdeform (linear)", 5, side_by_side(
            ours,
            lambda: elasticdeform.deform_random_grid([image, labels], sigma=10, points=3, order=[1, 0], mode="mirror"),
            repetitions, wait=waiting(device),
        )  # fmt: skip
    try:
        from monai.transforms import Rand2DElasticd
    except ImportError as error:
        print(f"MONAI left out: {error}")
    else:
        peer = Rand2DElasticd(keys=["image", "labels"], spacing=(286, 286), magnitude_range=(10, 10), prob=1.0,
                              mode=["bilinear", "nearest"], padding_mode="reflection", device=device)  # fmt: skip
        pair = {"image": image_here[None], "labels": labels_here[None].float()}
        yield "elastic deformation, 572 x 572 with labels, against MONAI (linear)", 5, side_by_side(
            ours, lambda: peer(pair), repetitions, wait=waiting(device)
        )


def training_step(repetitions, device, base_channels):
    """The library's step against a plain float32 loop on a ready tile, both at the paper's tile of 572."""
    config = training.TrainingConfig(base_channels=base_channels, device=device.type, steps=10_000)
    dataset = load("synthetic-membranes")
    material = training._material(dataset, range(4), config, device)
    run = training._Run(config, 1, 2, device)
    plain = UNet(base_channels=base_channels).to(device).train()
    optimizer = torch.optim.SGD(plain.parameters(), 1e-4, momentum=0.99)
    x, target, weight = training.random_tile(*material, 572, config, run.draw)
    x = x.contiguous(memory_format=torch.contiguous_format)

    def plain_step():
        optimizer.zero_grad()
        weighted_cross_entropy(plain(x), target, weight).backward()
        optimizer.step()

    def our_step():
        run.advance(*training.random_tile(*material, 572, config, run.draw))

    step = side_by_side(our_step, plain_step, repetitions, wait=waiting(device))
    yield f"training step at 572, width {base_channels}, against a plain float32 loop", 2, step

    def our_augmentation():
        training.random_tile(*material, 572, config, run.draw)

    share = side_by_side(our_augmentation, our_step, repetitions, wait=waiting(device))
    yield "training step over its augmentation (10: a tenth of the step)", 10, share


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--base-channels", type=int, default=64)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    print(f"{'ratio':>8} {'lowest':>8} {'highest':>8} {'aim':>5}  what")
    for part in (weight_maps(options.repetitions), augmentations(options.repetitions, device),
                 training_step(options.repetitions, device, options.base_channels)):  # fmt: skip
        for name, aim, row in part:
            rows.append({"name": name, "aim": aim, **row})
            verdict = "" if row["ratio"] >= aim else "  MISSED"
            numbers = f"{row['ratio']:8.1f} {row['lowest']:8.1f} {row['highest']:8.1f} {aim:5}"
            print(f"{numbers}  {name}{verdict}", flush=True)
    print(results.write("time", f"components-{device.type}", {"profile": "paper" if device.type == "cuda" else "cpu",
                                                              "rows": rows}))  # fmt: skip


if __name__ == "__main__":
    main()
