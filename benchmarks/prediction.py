"""How fast prediction is, and how it grows with the image: python -m benchmarks.prediction

Rates and peers side by side in one run, full width; memory and time up to 8192 x 8192 at base width 16, each
size in a process of its own; the time to import. Writes data/results/time/prediction-DEVICE.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.components import side_by_side, waiting
from unet_edu import UNet, geometry, results
from unet_edu.tiling import predict

SIZES = 1024, 2048, 4096, 8192


class Padded(UNet):
    """The same weights as popular code uses them: zero padding in every convolution, as large out as in."""

    def __init__(self, weights):
        super().__init__()
        for layer in self.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.padding = (1, 1)
        self.load_state_dict(weights)

    def check_size(self, height, width):
        """Any multiple of 16."""


def share_of_peak(repetitions, device):
    """One tile of 388 in bf16, its floating-point rate over that of a large matrix product."""
    model, tile = UNet().to(device), np.random.default_rng(0).random((388, 388), dtype=np.float32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 572, 572, device=device))
    side = 4096 if device.type == "cpu" else 16384
    left, right = torch.randn(2, side, side, dtype=torch.bfloat16, device=device)
    row = side_by_side(
        lambda: predict(model, tile, output_tile=388, autocast=torch.bfloat16), lambda: left @ right, repetitions,
        scale=counter.get_total_flops() / (2 * side**3), wait=waiting(device),
    )  # fmt: skip
    flops = counter.get_total_flops()
    yield {"name": "bf16 tile of 388, rate over that of a matrix product", "aim": 0.8, "flops": flops, **row}


def peers(repetitions, device):
    """1024 x 1024 by overlap-tile against MONAI's sliding window with the same weights, padded.

    As its users call it, with the channels in planes; and with channels side by side, as our prediction has them.
    """
    from monai.inferers import sliding_window_inference

    model = UNet().to(device).eval()
    image = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    x = torch.from_numpy(image)[None, None].to(device)
    for precision, layout, roi, overlap, aim in (
        ("bf16", "planes", 512, 0.25, 1.5), ("bf16", "planes", 256, 0, 1), ("bf16", "planes", 512, 0, 1),
        ("bf16", "planes", 1024, 0, 1), ("bf16", "channels last", 1024, 0, None),
        ("fp32", "planes", 512, 0.25, 1.5), ("fp32", "planes", 256, 0, 1),
    ):  # fmt: skip
        memory = torch.channels_last if layout == "channels last" else torch.contiguous_format
        padded = Padded(model.state_dict()).to(device, memory_format=memory).eval()
        autocast = torch.bfloat16 if precision == "bf16" else None

        def theirs(roi=roi, overlap=overlap, padded=padded, autocast=autocast):
            with torch.inference_mode(), torch.autocast(device.type, autocast, autocast is not None):
                sliding_window_inference(x, (roi, roi), 1, padded, overlap=overlap).softmax(1).cpu()

        row = side_by_side(
            lambda autocast=autocast: predict(model, image, autocast=autocast), theirs, repetitions,
            wait=waiting(device),
        )  # fmt: skip
        name = f"1024 x 1024 {precision}, MONAI roi {roi} overlap {overlap}, {layout}"
        yield {"name": name, **({} if aim is None else {"aim": aim}), **row}


def half_precision(device):
    """What bf16 changes in the probabilities of the small trained network."""
    from unet_edu import datasets
    from unet_edu.resources import data_path

    model = UNet.load(data_path("weights/synthetic-membranes.safetensors")).to(device)
    dataset = datasets.load("synthetic-membranes")
    image = dataset.images[model.card["held_out"][0]]
    full, half = predict(model, image)[1], predict(model, image, autocast=torch.bfloat16)[1]
    yield {
        "name": "bf16 against fp32, probability of a held-out drawn slice",
        "largest_difference": float(np.abs(full - half).max()), "mean_difference": float(np.abs(full - half).mean()),
        "pixels_that_change_class": float(np.mean((full > 0.5) != (half > 0.5))),
    }  # fmt: skip


SCALE = """
import json, re, sys, time, tifffile, numpy as np, torch
from unet_edu import UNet, streaming
torch.manual_seed(0)
image, model = tifffile.memmap(sys.argv[1], mode="r"), UNet(base_channels=16)
small = np.zeros((64, 64), np.uint8)
autocast = torch.bfloat16 if sys.argv[3] == "bf16" else None
streaming.predict_to_zarr(model, small, sys.argv[2] + ".warm", autocast=autocast, progress=False)
started = time.perf_counter()
streaming.predict_to_zarr(model, image, sys.argv[2], autocast=autocast, progress=False)
seconds = time.perf_counter() - started
status = open("/proc/self/status").read()  # ru_maxrss would begin with the peak of the process that started this one
print(json.dumps([seconds, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])]))
"""


def scale(precision, repetitions=2):
    """Seconds and peak memory of a memory-mapped TIFF streamed into Zarr, and the fitted exponent of the time."""
    import tifffile

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            image = Path(folder) / f"{size}.tif"
            tifffile.imwrite(image, np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8))
        for _ in range(repetitions):
            for size in SIZES if not rows else SIZES[:-1]:  # the largest once: it is the least noisy
                command = [sys.executable, "-c", SCALE, f"{folder}/{size}.tif", f"{folder}/out.zarr", precision]
                run = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append((size, *json.loads(run.stdout)))
    seconds = {size: statistics.median(s for n, s, _ in rows if n == size) for size in SIZES}
    slope = np.polyfit(np.log([size**2 for size in SIZES]), np.log([seconds[size] for size in SIZES]), 1)[0]
    for size in SIZES:
        yield {"name": f"{size} x {size} into Zarr, width 16, {precision}", "seconds": seconds[size],
               "pixels_per_second": size**2 / seconds[size], "aim_bytes": 2e9,
               "peak_bytes": max(b for n, _, b in rows if n == size)}  # fmt: skip
    yield {"name": f"exponent of time over pixels, {precision}", "exponent": float(slope), "aim": [0.95, 1.05]}


def imports(repetitions):
    """`import unet_edu`, and with the network, against `import torch`."""
    python = lambda code: lambda: subprocess.run([sys.executable, "-c", code], check=True)  # noqa: E731
    for code in ("import unet_edu", "import unet_edu; unet_edu.UNet"):
        row = side_by_side(python("import torch"), python(code), repetitions)
        yield {"name": f"{code}, over import torch", "aim_at_most": 1.3, **row}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--parts", nargs="*", default=["imports", "share_of_peak", "half_precision", "peers", "scale"],
                        help="what to measure; the record keeps what it holds of the others")  # fmt: skip
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    job = f"prediction-{device.type}"
    rows = [row for old in results.read("time") if old["job"] == job for row in old["rows"]
            if row["part"] not in options.parts]  # fmt: skip
    measured = {
        "imports": lambda: imports(options.repetitions),
        "share_of_peak": lambda: share_of_peak(options.repetitions, device),
        "half_precision": lambda: half_precision(device),
        "peers": lambda: peers(options.repetitions, device),
        "scale": lambda: chain(scale("fp32"), scale("bf16")) if device.type == "cpu" else (),
    }
    for part in options.parts:
        for row in measured[part]():
            rows.append({"part": part, **row})
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    content = {"profile": "paper" if device.type == "cuda" else "cpu", "rows": rows, "margin": geometry.margin()}
    print(results.write("time", job, content))


if __name__ == "__main__":
    main()
