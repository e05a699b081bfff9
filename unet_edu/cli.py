"""The command `unet-edu`."""

import argparse
import sys

DESCRIPTION = "U-Net as its paper describes it: data, training, prediction, scores."
REAL = "isbi2012, phc-u373 or dic-hela"  # written out: the manifest is not read for --help


def main(arguments=None):
    """Run the command; exit code 0 done, 1 failed, 2 bad input."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, FileNotFoundError) as error:
        print(f"unet-edu: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # no network, no room, no permission
        print(f"unet-edu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("unet-edu: interrupted", file=sys.stderr)
        return 1


def _parser():
    example = "example: unet-edu data fetch isbi2012"
    parser = argparse.ArgumentParser("unet-edu", description=DESCRIPTION, epilog=example)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser(
        "data", help="fetch or verify a data set", epilog="example: unet-edu data verify isbi2012"
    ).add_subparsers(required=True, metavar="ACTION")
    fetch = data.add_parser(
        "fetch", help="download a data set from its publisher and verify its pixels",
        epilog="example: unet-edu data fetch isbi2012",
    )  # fmt: skip
    fetch.add_argument("name", metavar="NAME", help=REAL)
    fetch.add_argument("--root", help="folder to put it in (default: $UNET_EDU_DATA, else the cache)")
    fetch.set_defaults(run=_fetch)
    verify = data.add_parser(
        "verify", help="compare the pixels on disk with the published ones",
        epilog="example: unet-edu data verify isbi2012",
    )  # fmt: skip
    verify.add_argument("name", metavar="NAME", help=REAL)
    verify.add_argument("--root", help="folder that holds it (default: $UNET_EDU_DATA, else the cache)")
    verify.set_defaults(run=_verify)
    return parser


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
