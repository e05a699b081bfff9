"""The experiments behind the paper's tables, as a queue of small jobs: each a training and its scores.

A finished job is written at once as one file for each way of scoring it, so that short stretches on machines
that may vanish add up; what is written is never computed again.
"""

from unet_edu.reproduce.jobs import Job, finished, run
from unet_edu.reproduce.plans import EXPERIMENTS, PROFILES, queue

__all__ = ["EXPERIMENTS", "PROFILES", "Job", "finished", "queue", "run"]
