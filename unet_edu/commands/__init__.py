"""What the command line does, one module a command; `cli` reads what is wanted and imports the one that does it."""

import json
import sys

from unet_edu.files import whole


def note(text):
    """Tell what went wrong or is unusual, without mixing it with results."""
    print(f"unet-edu: {text}", file=sys.stderr, flush=True)


def write_text(path, text):
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, values):
    write_text(path, json.dumps(values, indent=1) + "\n")


def device(name):
    """The device of this name as torch knows it, None: CUDA where there is one; ValueError if it is not here."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r}: not on this computer ({str(error).splitlines()[0]}); use cpu") from error
    return name
