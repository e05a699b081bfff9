import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from unet_edu import cli, datasets, metrics, reproduce
from unet_edu.ablations import NAMES
from unet_edu.instances import from_probability
from unet_edu.model import UNet
from unet_edu.reproduce import jobs, plans, scores
from unet_edu.tiling import predict
from unet_edu.training import Divergence, train


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `unet-edu reproduce ...` in an empty folder; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(["reproduce", *map(str, arguments), "--device", "cpu"])
        return code, *capsys.readouterr()

    return run


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("experiment", reproduce.EXPERIMENTS)
@pytest.mark.parametrize("profile", reproduce.PROFILES)
def test_every_job_has_files_of_its_own(experiment, profile):
    stems = [stem for job in reproduce.queue(experiment, profile) for stem in job.stems().values()]
    assert len(set(stems)) == len(stems) > 0
    assert all(stem.endswith(f"-{profile}") for stem in stems) or profile == "paper"


@pytest.mark.parametrize("profile", ["cpu", "paper"])
def test_table_1_holds_out_every_slice_once_and_then_trains_on_all(profile):
    dataset = datasets.load("synthetic-membranes")
    queue = [job for job in reproduce.queue("table1", profile) if (job.variant, job.config.seed) == ("paper", 0)]
    assert {job.data for job in queue} == {"isbi2012"}
    assert [job.config.fold for job in queue] == [0, 1, 2, None]
    held_out = [i for job in queue for i in dataset.split(job.config.fold, 3)[1]]
    assert sorted(held_out) == list(range(12))
    assert {job.rotations for job in queue} == {(1, 7)}


def test_table_2_holds_out_either_sequence_of_either_set():
    queue = [job for job in reproduce.queue("table2", "paper") if (job.variant, job.config.seed) == ("paper", 0)]
    assert [(job.data, job.config.fold) for job in queue] == [
        ("dic-hela", 0), ("dic-hela", 1), ("phc-u373", 0), ("phc-u373", 1)
    ]  # fmt: skip


def test_the_paper_profile_is_the_papers_recipe():
    """Full width, tiles of 572, Eq. 2, momentum 0.99, three seeds."""
    for experiment in ("table1", "table2"):
        paper = [job for job in reproduce.queue(experiment, "paper") if job.variant == "paper"]
        assert {job.config.seed for job in paper} == {0, 1, 2}
        for config in (job.config for job in paper):
            assert (config.base_channels, config.depth, config.output_tile, config.batch) == (64, 4, 388, 1)
            assert (config.optimizer, config.momentum, config.weighting) == ("sgd", 0.99, "full")
            assert (config.network, config.averaging, config.images) == ("paper", 0, None)


@pytest.mark.parametrize("profile", ["cpu", "gpu", "paper"])
def test_an_ablation_changes_one_thing_at_equal_steps(profile):
    together = {"momentum-0.9": {"momentum", "learning_rate"}, "batch-4-small": {"batch", "output_tile"},
                "adam": {"optimizer", "learning_rate"}, "centered": {"offset", "scale"}}  # fmt: skip
    queue = reproduce.queue("ablations", profile)
    base = {(job.data, job.config.seed): job.config for job in queue if job.variant == "paper"}
    for job in queue:
        paper = base[job.data, job.config.seed]
        changed = {name for name, value in vars(job.config).items() if value != getattr(paper, name)}
        assert changed == together.get(job.variant, changed)
        assert len(changed) == (0 if job.variant == "paper" else len(together.get(job.variant, "1"))), job.name
    assert {seed for _, seed in base} == {0, 1, 2}
    assert len(queue) == 3 * len({(job.data, job.variant) for job in queue})


def test_ablations_of_the_paper_profile_cover_what_the_book_discusses():
    groups = {job.group for job in reproduce.queue("ablations", "paper")}
    assert groups == {
        "paper", "padding", "skips", "initialization", "augmentation", "images", "weight map", "single augmentations",
        "momentum", "batch", "optimizer", "dropout", "normalization", "more images", "depth", "width", "input",
    }  # fmt: skip
    networks = {job.config.network for job in reproduce.queue("ablations", "paper")}
    assert networks == set(NAMES) - {"release"}  # which differs by one layer of 1024 parts


def test_a_constant_gradient_moves_the_weights_as_far_with_either_momentum():
    queue = {job.variant: job.config for job in reproduce.queue("ablations", "paper")}
    effective = [c.learning_rate / (1 - c.momentum) for c in (queue["paper"], queue["momentum-0.9"])]
    assert effective[0] == pytest.approx(effective[1])


@pytest.mark.parametrize("profile", ["cpu", "gpu", "paper"])
def test_four_small_tiles_have_the_pixels_of_a_large_one(profile):
    queue = {job.variant: job.config for job in plans.queue("ablations", "paper")}
    large, small = queue["paper"], queue["batch-4-small"]
    assert small.batch * small.output_tile**2 == pytest.approx(large.output_tile**2, rel=0.05)


@pytest.mark.parametrize("experiment", ["table1", "table2", "ablations", "time"])
def test_the_whole_queue_runs_on_drawn_data(command, tmp_path, experiment):
    code, shown, _ = command(experiment, "--profile", "smoke")
    folder = tmp_path / "_build/smoke-results"
    assert code == 0
    queue = reproduce.queue(experiment, "smoke")
    assert f"0 of {len(queue)} jobs in _build/smoke-results" in shown
    for job in queue:
        for rotations, stem in job.stems().items():
            result = read(folder / experiment / f"{stem}.json")
            assert result["complete"]
            assert (result["experiment"], result["job"], result["profile"]) == (experiment, stem, "smoke")
            assert result["variant"] == job.variant
            assert {"config", "steps", "seconds", "device", "versions", "commit", "date"} <= result.keys()
            assert result["peak_memory_bytes"] is None or result["peak_memory_bytes"] > 1e5
            if job.task == "train":
                assert result["rotations"] == rotations
                assert result["config"]["seed"] == result["seed"] == job.config.seed
                if job.config.fold is not None:
                    assert set(result["metrics"]) == (
                        {"seg", "iou"} if job.data == "synthetic-cells"
                        else {"pixel_error", "rand_error", "warping_error", "v_rand", "v_info"}
                    )  # fmt: skip
                    assert len(result["images"]) == len(result["data"]["held_out"])
                    assert Image.open(folder / experiment / f"{stem}.webp").size == (520, 256)
    written = sorted(folder.rglob("*"))
    times = [path.stat().st_mtime_ns for path in written]
    code, shown, _ = command(experiment)
    assert (code, f"{len(queue)} of {len(queue)} jobs" in shown) == (0, True)
    assert sorted(folder.rglob("*")) == written  # no checkpoint is left, nothing is done twice
    assert [path.stat().st_mtime_ns for path in written] == times


JOB = replace(plans.queue("table1", "smoke")[0], rotations=(1,))


def test_scores_are_those_of_the_network_on_the_held_out_stack(tmp_path):
    (path,) = jobs.run(JOB, tmp_path, device="cpu", keep_weights=tmp_path / "kept", progress=False)
    result, dataset = read(path), datasets.load(JOB.data)
    trained = train(replace(JOB.config, device="cpu"), dataset, progress=False)
    held_out = dataset.split(0)[1]
    assert result["data"]["held_out"] == held_out
    assert result["losses"] == [round(float(loss), 5) for loss in trained.losses]
    found = jobs.predicted(trained, [dataset.images[i] for i in held_out], 1)
    truth = np.stack([dataset.classes[i] for i in held_out]) > 0
    assert result["metrics"] == pytest.approx(metrics.em_scores(truth, np.stack(found)))
    assert [one["image"] for one in result["images"]] == held_out
    assert result["images"][1]["mistakes"] == (metrics.mistakes(truth[1], found[1]) > 0).sum()
    kept = UNet.load(tmp_path / "kept" / f"{JOB.name}.safetensors")
    assert (kept.card["held_out"], kept.card["metrics"]) == (held_out, result["metrics"])
    assert "3 steps on 5 images of synthetic-membranes; on the 4 held out (fold 0 of 3)" in kept.card["summary"]
    assert np.allclose(predict(kept, dataset.images[0]), predict(trained.model, dataset.images[0]), atol=5e-3)


def test_rotations_are_those_asked_for(tmp_path, monkeypatch):
    seen = []
    original = jobs.predict
    monkeypatch.setattr(jobs, "predict", lambda *a, **o: seen.append(o["rotations"]) or original(*a, **o))
    one, two = jobs.run(replace(JOB, rotations=(1, 2)), tmp_path, device="cpu", progress=False)
    assert seen == [1] * 4 + [2] * 4
    assert (read(one)["rotations"], read(two)["rotations"]) == (1, 2)
    assert read(one)["metrics"] != read(two)["metrics"]


def test_scores_of_cells_are_pooled_over_the_sequence_and_leave_unknown_pixels_out():
    dataset = datasets.load("synthetic-cells")
    unknown = [np.array(classes) for classes in dataset.classes]
    probability = [np.where(np.asarray(i) > 0, 0.9, 0.1) for i in dataset.instances[:2]]
    probability[0][:40] = 0.9  # called cell, where nothing is known
    unknown[0][:40] = -1
    found, each = scores.scores(replace(dataset, classes=unknown), [0, 1], probability)
    assert found["iou"] == 1
    merged = [from_probability(image) for image in probability]
    assert found["seg"] == metrics.seg(list(dataset.instances[:2]), merged) < 1
    assert [one["seg"] for one in each] == [metrics.seg(dataset.instances[i], merged[i]) for i in (0, 1)]
    assert [one["cells"] for one in each] == [len(np.unique(dataset.instances[i])) - 1 for i in (0, 1)]


def test_training_on_everything_predicts_the_challenges_stack(tmp_path):
    job = next(job for job in plans.queue("table1", "smoke") if job.config.fold is None)
    paths = jobs.run(replace(job, rotations=(1,)), tmp_path, device="cpu", progress=False)
    result = read(paths[0])
    assert (result["metrics"], result["data"]["held_out"], len(result["data"]["train"])) == ({}, [], 12)
    stack = tifffile.imread(paths[0].parent / result["prediction"])
    trained = train(replace(job.config, device="cpu"), datasets.load(job.data), progress=False)
    expected = np.stack(jobs.predicted(trained, datasets.challenge_stack(job.data), 1))
    assert np.abs(stack / 255 - expected).max() < 0.51 / 255


def test_a_job_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = jobs.run(JOB, tmp_path / "whole", device="cpu", progress=False)

    def cut(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scores, "scores", cut)
        with pytest.raises(KeyboardInterrupt):
            jobs.run(JOB, tmp_path / "cut", device="cpu", progress=False)
    assert not reproduce.finished(JOB, tmp_path / "cut")
    steps = []
    advance = jobs.train.__globals__["_Run"].advance
    monkeypatch.setattr(jobs.train.__globals__["_Run"], "advance", lambda *a: steps.append(1) or advance(*a))
    again = jobs.run(JOB, tmp_path / "cut", device="cpu", progress=False)
    assert not steps  # only the scores were missing
    assert read(again[0])["metrics"] == read(whole[0])["metrics"]
    assert reproduce.finished(JOB, tmp_path / "cut")


def test_list_shows_what_is_missing(command, tmp_path):
    assert command("table2", "--only", "*-paper-fold0-*")[0] == 0
    code, shown, _ = command("table2", "--list")
    assert (code, shown.count("missing  "), shown.count("done     ")) == (0, 3, 1)
    assert "done     synthetic-cells-paper-fold0-seed0" in shown
    assert "1 of 4 jobs" in shown


def test_no_job_is_begun_that_would_not_end_in_time(command, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def take_a_minute(job, *_, **__):
        now[0] += 60
        return []

    monkeypatch.setattr(reproduce, "run", take_a_minute)
    code, shown, notes = command("table2", "--minutes", 2.5)
    assert code == 0
    assert shown.count("1:00") == 2
    assert "0:30 left, and a job took 1:00: 2 jobs remain" in notes


def test_a_diverged_training_does_not_cost_the_others(command, monkeypatch):
    run = reproduce.run

    def diverge(job, *arguments, **options):
        if job.config.fold == 0:
            raise Divergence("the loss is not finite")
        return run(job, *arguments, **options)

    monkeypatch.setattr(reproduce, "run", diverge)
    code, shown, notes = command("table2", "--only", "*-paper-*")
    assert code == 1
    assert "synthetic-cells-paper-fold0-seed0: the loss is not finite" in notes
    assert "2/2 synthetic-cells-paper-fold1-seed0" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table1", "--only", "nothing"), "--only nothing: no job is called so; --list shows their names"),
        (("table1", "--only", "paper-fold0*", "--profile", "cpu"), "isbi2012 is not in"),
    ],
)
def test_what_cannot_be_run_is_said(command, monkeypatch, tmp_path, arguments, message):
    monkeypatch.delenv("UNET_EDU_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, _, notes = command(*arguments)
    assert (code, message in notes) == (2, True)


@pytest.mark.parametrize("bad", [("table3", "cpu"), ("table1", "laptop")])
def test_unknown_names(bad):
    with pytest.raises(ValueError, match="must be one of"):
        reproduce.queue(*bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_runs_the_queue(tmp_path):
    paths = jobs.run(
        replace(JOB, config=replace(JOB.config, precision="auto")), tmp_path, device="cuda", progress=False
    )
    assert read(paths[0])["peak_memory_bytes"] < 1e9
