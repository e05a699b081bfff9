"""The thresholds at which the EM challenge cuts a probability map into cell and membrane."""

from itertools import accumulate, repeat

# Added up in double precision, as the challenge does: the last one is 0.9999999999999999, so that a
# pixel of probability exactly 1 is a cell at every threshold.
THRESHOLDS = tuple(accumulate(repeat(0.1, 10), initial=0.0))
WARPING_THRESHOLDS = THRESHOLDS[:-1]
