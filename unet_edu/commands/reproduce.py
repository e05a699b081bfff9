"""unet-edu reproduce: the queue of experiments behind the tables."""

import time
from fnmatch import fnmatch
from pathlib import Path

from unet_edu import commands, reproduce
from unet_edu.progress import clock

OUT = {"smoke": "_build/smoke-results"}  # nobody wants to keep these; the others: data/results


def run(options):
    """Do the jobs that are missing, or list them all; exit code 1 if a training diverged."""
    folder = Path(options.out or OUT.get(options.profile, "data/results"))
    jobs = [job for job in reproduce.queue(options.experiment, options.profile) if fnmatch(job.name, options.only)]
    if not jobs:
        raise ValueError(f"--only {options.only}: no job is called so; --list shows their names")
    missing = [job for job in jobs if not reproduce.finished(job, folder)]
    if options.list:
        for job in jobs:
            print(f"{'missing' if job in missing else 'done':8} {job.name}")
    done = f"{len(jobs) - len(missing)} of {len(jobs)} jobs in {folder}"
    print(f"{options.experiment}, profile {options.profile}: {done}", flush=True)
    return 0 if options.list else work(missing, folder, options)


def work(jobs, folder, options):
    """Run jobs until all are done or the time is up; one that diverges does not cost the others."""
    device = commands.device(options.device)
    started, longest, failed = time.monotonic(), 0.0, []
    for number, job in enumerate(jobs, start=1):
        begun = time.monotonic()
        left = 60 * options.minutes - (begun - started)
        if left < longest:
            commands.note(f"{clock(left)} left, and a job took {clock(longest)}: {len(jobs) - number + 1} jobs remain")
            break
        try:
            paths = reproduce.run(job, folder, device=device, keep_weights=options.keep_weights)
        except ArithmeticError as error:
            failed.append(job.name)
            commands.note(f"{job.name}: {error}")
            continue
        took = time.monotonic() - begun
        longest = max(longest, took)
        print(f"{number}/{len(jobs)} {job.name}: {clock(took)}, {', '.join(map(str, paths))}", flush=True)
    return 1 if failed else 0
