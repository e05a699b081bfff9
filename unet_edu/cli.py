"""The command `unet-edu`: what can be asked; what is done stands in `commands` and is imported only then."""

import argparse
import sys
from importlib import import_module

DESCRIPTION = "U-Net as its paper describes it: data, training, prediction, scores."
REAL = "isbi2012, phc-u373 or dic-hela"  # written out: the manifest is not read for --help
USERS = ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError


def main(arguments=None):
    """Run the command; exit code 0 done, 1 failed, 2 bad input."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except USERS as error:
        return _failed(error, 2)
    except (OSError, ArithmeticError) as error:  # no network, no room, no permission; a training that diverged
        return _failed(error, 1)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in repr(error).lower():
            raise
        return _failed(f"out of memory: use a smaller --output-tile or --base-channels, or --device cpu ({error})", 1)
    except KeyboardInterrupt:
        return _failed("interrupted", 1)


def _failed(why, code):
    print(f"unet-edu: {why}", file=sys.stderr)
    return code


def _parser():
    parser = _Parser("unet-edu", description=DESCRIPTION, epilog="example: unet-edu data fetch isbi2012")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _data(_added(commands, "data", "fetch or verify a data set", "data verify isbi2012"))
    _train(_added(commands, "train", "train a network on images of your own",
                  "train --images images --labels labels --out trained"))  # fmt: skip
    _predict(_added(commands, "predict", "find the cells of images by a trained network",
                    "predict images --weights trained/weights.safetensors --out found"))  # fmt: skip
    _evaluate(_added(commands, "evaluate", "score predictions against labels",
                     "evaluate --predictions found --labels labels\n"
                     "         unet-edu evaluate --test-labels test-labels.tif"))  # fmt: skip
    _reproduce(_added(commands, "reproduce", "run the experiments behind the paper's tables",
                      "reproduce table1 --profile cpu"))  # fmt: skip
    return parser


def _data(parser):
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, about, root, run in (
        ("fetch", "download a data set from its publisher and verify its pixels", "folder to put it in", _fetch),
        ("verify", "compare the pixels on disk with the published ones", "folder that holds it", _verify),
    ):
        action = _added(actions, name, about, f"data {name} isbi2012")
        action.add_argument("name", metavar="NAME", help=REAL)
        action.add_argument("--root", help=f"{root} (default: $UNET_EDU_DATA, else the cache)")
        action.set_defaults(run=run)


def _train(parser):
    add = parser.add_argument
    add("dataset", nargs="?", metavar="DATASET", help=f"{REAL}, synthetic-membranes or synthetic-cells; or instead:")
    add("--images", metavar="DIR", help="folder of gray images: TIFF, PNG or Zarr, 8 or 16 bit, or floats in 0 .. 1")
    add("--labels", metavar="DIR", help="folder of label images of the same names, or with _mask or _labels behind "
                                        "them: 0 = background, one number for each cell; or black and white masks")
    add("--unknown", type=int, metavar="VALUE", help="label of pixels of which the truth is not known")
    add("--out", required=True, metavar="DIR", help="folder for weights.safetensors, config.toml, scores.json; "
                                                    "after an interruption the same command goes on where it was")
    add("--preset", choices=["laptop", "paper"], default="laptop", help="values to begin with (default: laptop)")
    add("--config", metavar="FILE", help="TOML file with settings, such as the config.toml of a training")
    settings = parser.add_argument_group("settings, which override preset and file")
    add = settings.add_argument
    add("--steps", type=int, metavar="N", help="training steps, one tile each")
    add("--base-channels", type=int, metavar="N", help="width of the network; the paper: 64")
    add("--output-tile", type=int, metavar="PIXELS", help="side of what a tile predicts; the paper: 388")
    add("--learning-rate", type=float, metavar="RATE", help="size of a step")
    add("--fold", type=_fold, metavar="K", help="which part is held out for the scores; none: train on everything")
    add("--seed", type=int, metavar="N", help="another seed, another training")
    add("--device", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    add("--weighting", choices=["none", "balance", "full"], help="weights of pixels: all alike, classes balanced, or "
                                                                 "that and a border between touching cells")
    parser.set_defaults(run=_later("train"))


def _predict(parser):
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image files, or folders of them: TIFF, PNG or Zarr, of any size")
    add("--weights", required=True, metavar="FILE", help="weights.safetensors of a training")
    add("--out", required=True, metavar="DIR", help="folder for NAME_probability and NAME_labels")
    add("--format", choices=["tiff", "zarr"], default="tiff", help="of the results (default: tiff)")
    add("--threshold", type=_between(float, 0, 1), default=0.5, metavar="P",
        help="a pixel is cell if its probability is larger (default: 0.5)")  # fmt: skip
    add("--min-size", type=_between(int, 0), default=0, metavar="PIXELS", help="cells smaller than this are left out")
    add("--rotations", type=_between(int, 1), default=1, metavar="N",
        help="mean of the prediction at N angles; the paper: 7; takes N times as long")  # fmt: skip
    add("--precision", choices=["auto", "float32", "bfloat16", "float16"], default="float32",
        help="to compute in; auto: half where the device does it natively, which is faster (default: float32)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=_later("predict"))


def _evaluate(parser):
    add = parser.add_argument
    add("--predictions", metavar="PATH", help="file or folder: NAME_labels, for em NAME_probability")
    add("--labels", metavar="PATH", help="file or folder with the truth, of the same names")
    add("--metrics", choices=["cells", "em"],
        help="SEG and IOU; or the five scores of the EM challenge, for labels that are 0 in membranes (default: cells)")
    add("--unknown", type=int, metavar="VALUE", help="label of pixels that do not count")
    add("--out", metavar="FILE", help="write the scores as JSON")
    challenge = parser.add_argument_group(
        "Table 1 of the paper", "For the EM challenge's test slices, beside the paper's row. Predictions are then\n"
        "one file with the probability of cell of all 30; without it, a network predicts\n"
        "test-volume.tif, which `unet-edu data fetch isbi2012` brings.")  # fmt: skip
    add = challenge.add_argument
    add("--test-labels", metavar="FILE", help="test-labels.tif of the challenge's archive, instead of --labels")
    add("--weights", metavar="FILE", help="of the network (default: a small one, kept with the library)")
    add("--rotations", type=_between(int, 1), metavar="N", help="mean of N angles (default: 7, as the paper)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=lambda options: _later("challenge" if options.test_labels else "evaluate")(options))


def _reproduce(parser):
    add = parser.add_argument
    add("experiment", choices=["table1", "table2", "ablations", "time"], help="what to reproduce")
    add("--profile", choices=["smoke", "cpu", "gpu", "paper"], default="smoke",
        help="smoke: drawn data and three steps, to see that all runs; cpu: base width 16; gpu: full width, one seed; "
             "paper: full width, three seeds (default: smoke)")  # fmt: skip
    add("--list", action="store_true", help="show which jobs are done and which are missing; run none")
    add("--only", metavar="PATTERN", default="*", help="only jobs of this name, such as 'paper-fold*'")
    add("--minutes", type=_between(float, 0), default=float("inf"), metavar="M",
        help="begin no job that would not end within M minutes, by the time the longest before it took")
    add("--out", metavar="DIR", help="folder for EXPERIMENT/JOB.json; what is there is not done again "
                                     "(default: data/results; smoke: _build/smoke-results)")  # fmt: skip
    add("--keep-weights", metavar="DIR", help="folder for the trained networks, in half precision")
    add("--device", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.set_defaults(run=_later("reproduce"))


class _Parser(argparse.ArgumentParser):
    """Help that leaves the lines of its example as they are, and options that must be written in full."""

    def __init__(self, *arguments, **options):
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(*arguments, formatter_class=form, allow_abbrev=False, **options)


def _added(commands, name, about, example):
    return commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.",
                               epilog=f"example: unet-edu {example}")  # fmt: skip


def _later(name):
    """The command of this name, imported when it is run."""
    return lambda options: import_module(f"unet_edu.commands.{name}").run(options)


def _fold(text):
    return text if text == "none" else _between(int, 0)(text)


def _between(kind, least, most=float("inf")):
    """A number as an option's type; argparse tells what it must be."""

    def number(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text}: must be {least} or more" + f", {most} at most" * (most < 1e9))
        return value

    number.__name__ = "whole number" if kind is int else "number"
    return number


def _fetch(options):
    from unet_edu import datasets
    from unet_edu.fetch import fetch

    folder = fetch(options.name, options.root)
    print(f"{options.name}: verified in {folder}")
    print(f"terms: {datasets.REAL[options.name]['terms']}")
    return 0


def _verify(options):
    from unet_edu.fetch import problems

    found = problems(options.name, options.root and f"{options.root}/{options.name}")
    for problem in found:
        print(f"unet-edu: {problem}", file=sys.stderr)
    if not found:
        print(f"{options.name}: every pixel as published")
    return 2 if found else 0
