"""How fast: one step of training, one image, and the way to the paper's pixel error."""

import statistics
import time
from dataclasses import asdict, replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from unet_edu import datasets, paper, training
from unet_edu.model import UNet
from unet_edu.reproduce import memory, tables
from unet_edu.tiling import predict

LEVEL = paper.TABLE1["u-net"]["pixel_error"]
REPETITIONS = 10
WARM_UP = 3


def measure(job, device, progress):
    """What the task of a job measures, in the format of data/results."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    data = datasets.load(job.data)
    memory.forget_peak()
    started = time.perf_counter()
    found = {"step": _step, "image": _image, "level": _level}[job.task](job.config, data, device, progress)
    return {
        "profile": job.profile, "variant": job.variant, "seed": job.config.seed,
        "data": {"name": data.name, "pixels_sha256": data.pixels_sha256},
        "config": asdict(job.config), "steps": job.config.steps,
        "seconds": time.perf_counter() - started, "peak_memory_bytes": memory.peak(), **found,
    }  # fmt: skip


def _step(config, data, device, progress):
    """Steps per second, and which part of the rate of a large matrix product their arithmetic reaches.

    Both take turns, so that a machine that slows down slows both. The product is computed in the same precision.
    """
    indices, _ = data.split(config.fold)
    config = replace(training.settled(config, data), steps=config.steps + 1000)  # more than are taken here
    run, batch = training.prepared(config, data, indices, device)
    with FlopCounterMode(display=False) as counter:
        run.advance(*batch())
    dtype, side = run.dtype or torch.float32, 8192 if device.type == "cuda" else 2048
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    steps, products = _in_turns(device, lambda: run.advance(*batch()), lambda: left @ right)
    seconds, flops = statistics.median(steps), counter.get_total_flops()
    peak = 2 * side**3 / statistics.median(products)
    return {"metrics": {"steps_per_second": 1 / seconds, "utilization": flops / seconds / peak,
                        "flops_per_step": flops, "matrix_product_flops_per_second": peak}}  # fmt: skip


def _image(config, data, device, progress):
    """Seconds from a 512 x 512 uint8 image in memory to its probabilities there, untrained network."""
    model = UNet(base_channels=config.base_channels, depth=config.depth).to(device)
    image = np.resize(np.asarray(data.images[0]), (512, 512))
    autocast = training.autocast_dtype(config.precision, device)
    (seconds,) = _in_turns(device, lambda: predict(model, image, autocast=autocast))
    return {"metrics": {"seconds_per_image": statistics.median(seconds)}, "slowest": max(seconds)}


def _level(config, data, device, progress):
    """Seconds of training until the held-out pixel error is the paper's, scoring left out; None if it stays above."""
    result = training.train(config, data, progress=progress)
    curve = {"scores": result.scores, "seconds": result.seconds, "steps": config.steps}
    step, seconds = tables.time_to(LEVEL, curve) or (None, None)
    return {"fold": config.fold, "metrics": {"level": LEVEL, "seconds_to_level": seconds, "step": step,
                                             "pixel_error": result.scores[-1]["pixel_error"]},
            "scores": result.scores, "training_seconds": result.seconds}  # fmt: skip


def _in_turns(device, *calls):
    """Seconds of each call, in turns; the first few are not counted."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds = [[] for _ in calls]
    for repetition in range(WARM_UP + REPETITIONS):
        for call, times in zip(calls, seconds, strict=True):
            wait()
            started = time.perf_counter()
            call()
            wait()
            if repetition >= WARM_UP:
                times.append(time.perf_counter() - started)
    return seconds
