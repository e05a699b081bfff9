"""How long the challenge's metrics take: python -m benchmarks.metrics

All five with every threshold, on one slice of 512 x 512 and on a stack of 30, one thread, after the kernels
are compiled. Writes data/results/time/metrics-cpu.json.
"""

import time

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from benchmarks.components import side_by_side
from unet_edu import results, synthetic
from unet_edu.metrics import em_scores, thin


def stack(slices):
    """Labels, and a prediction that is blurred and noisy: about as many breaks as a small network leaves."""
    _, instances = synthetic.membranes(slices=slices, size=512, seed=0)
    cells, rng = instances > 0, np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal(cells.shape), (0, 2, 2)) * 2
    return cells, (ndimage.gaussian_filter(cells.astype(np.float32), (0, 1, 1)) + noise).clip(0, 1)


def seconds(labels, probability, repetitions):
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        scores = em_scores(labels, probability)
        times.append(time.perf_counter() - started)
    return {"seconds": float(np.median(times)), "lowest": min(times), "highest": max(times),
            "repetitions": repetitions, "scores": scores}  # fmt: skip


def main():
    labels, probability = stack(30)
    em_scores(labels[:1, :64, :64], probability[:1, :64, :64])  # compile
    rows = [
        {"name": "five metrics, all thresholds, 512 x 512", "aim_s": 0.5, **seconds(labels[:1], probability[:1], 7)},
        {"name": "five metrics, all thresholds, 30 x 512 x 512", "aim_s": 15, **seconds(labels, probability, 3)},
    ]
    for row in rows:
        print(f"{row['seconds']:.2f} s (aim {row['aim_s']})  {row['name']}  {row['scores']}")
    cells = probability[0] > 0.5
    marked = ndimage.label(cells)[0]
    peer = side_by_side(lambda: thin(cells), lambda: watershed(np.zeros_like(marked), marked, watershed_line=True), 7)
    print(f"{peer['ratio']:.1f} times  thinning, 512 x 512, against scikit-image's watershed with lines")
    rows.append({"name": "thinning, 512 x 512, against scikit-image's watershed with lines", **peer})
    print(results.write("time", "metrics-cpu", {"profile": "cpu", "rows": rows}))


if __name__ == "__main__":
    main()
