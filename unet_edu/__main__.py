"""python -m unet_edu: the command line where the command `unet-edu` is not installed."""

import sys

from unet_edu.cli import main

sys.exit(main())
