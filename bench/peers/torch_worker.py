"""The PyTorch worker of the benchmark; see worker.py for requests and replies."""

import statistics
import warnings

import torch

from worker import Worker, timed_steps


def configure(threads):
    # Before the first parallel region: threads made later inherit the flag. Overfitted gradients underflow,
    # and denormal arithmetic would slow PyTorch down for a reason that has nothing to do with its speed.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    # May be said once only.
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)


def quiet_times(candidates, rounds=3, seconds=0.4):
    """The 10th percentile of each variant's step times in microseconds, the variants taking turns.

    A low percentile, since other load on the machine would otherwise decide which variant looks fastest.
    """
    counts, times = {}, {name: [] for name in candidates}
    for name, candidate in candidates.items():
        # Of steps that take seconds, a few are enough.
        slow = timed_steps(candidate, 2)[-1] > 1e6
        least = 1 if slow else 5
        timed_steps(candidate, least)
        one_step_us = statistics.median(timed_steps(candidate, least))
        counts[name] = max(least, min(2000, int(seconds * 1e6 / one_step_us)))
    for _ in range(rounds):
        for name, candidate in candidates.items():
            times[name] += timed_steps(candidate, counts[name])
    return {name: round(sorted(values)[len(values) // 10], 1) for name, values in times.items()}


class Torch(Worker):
    version = torch.__version__

    def __init__(self):
        super().__init__()
        import torch_works

        self.torch_works = torch_works
        self.works = torch_works.WORKS

    def choose(self, request):
        from torch_works import Work, extra_variants, variants

        configure(request["threads"])
        name = request["work"]
        quiet = quiet_times({variant: Work(name, variant) for variant in variants(name)})
        with warnings.catch_warnings():
            # TorchScript announces its deprecation on every use; its times are only a side note here.
            warnings.simplefilter("ignore")
            extra = quiet_times({variant: Work(name, variant) for variant in extra_variants(name)})
        return {"variant": min(quiet, key=quiet.get), "variants_us": quiet, "extra_us": extra}

    def create(self, request):
        configure(request["threads"])
        return self.torch_works.Work(request["work"], request["variant"])


if __name__ == "__main__":
    Torch().serve()
