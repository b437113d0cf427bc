"""The PyTorch worker of the benchmark: one JSON request per line on stdin, one JSON reply per line on stdout.

    {"cmd": "choose", "work": W, "threads": N}    {"variant": V, "variants_us": {variant: us}, "extra_us": {...}}
    {"cmd": "setup", "work": W, "threads": N, "variant": V}    {"parameters": N, "version": "2.15.0"}
    {"cmd": "steps", "count": K}    {"times_us": [...]}
    {"cmd": "memory"}    {"peak_bytes": N, "import_bytes": N}
    {"cmd": "exit"}    (no reply)

Every reply has "ok"; where it is false, "error" says why. "choose" times all variants and so uses more memory
than any of them: the runner asks one process to choose and measures in a fresh one. "peak_bytes" is the
process's largest resident size so far, "import_bytes" its resident size right after `import torch`.
"""

import json
import statistics
import sys
import time
import warnings

import torch

from torch_works import WORKS, Work, extra_variants, variants


def resident_bytes(field):
    """A size from /proc/self/status: VmRSS (now) or VmHWM (the largest so far)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


IMPORT_BYTES = resident_bytes("VmRSS")


def configure(threads):
    # Before the first parallel region: threads made later inherit the flag. Overfitted gradients underflow,
    # and denormal arithmetic would slow PyTorch down for a reason that has nothing to do with its speed.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def timed_steps(work, count):
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        work.step()
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


def quiet_times(candidates, rounds=3, seconds=0.4):
    """The 10th percentile of each variant's step times in microseconds, the variants taking turns.

    A low percentile, since other load on the machine would otherwise decide which variant looks fastest.
    """
    counts, times = {}, {name: [] for name in candidates}
    for name, candidate in candidates.items():
        timed_steps(candidate, 5)
        one_step_us = statistics.median(timed_steps(candidate, 5))
        counts[name] = max(5, min(2000, int(seconds * 1e6 / one_step_us)))
    for _ in range(rounds):
        for name, candidate in candidates.items():
            times[name] += timed_steps(candidate, counts[name])
    return {name: round(sorted(values)[len(values) // 10], 1) for name, values in times.items()}


class Worker:
    def __init__(self):
        self.work = None

    def reply(self, request):
        command = request.get("cmd")
        if command in ("choose", "setup") and request["work"] not in WORKS:
            raise ValueError(f"unknown work '{request['work']}'; known: {', '.join(WORKS)}")
        if command == "choose":
            configure(request["threads"])
            name = request["work"]
            quiet = quiet_times({variant: Work(name, variant) for variant in variants(name)})
            with warnings.catch_warnings():
                # TorchScript announces its deprecation on every use; its times are only a side note here.
                warnings.simplefilter("ignore")
                extra = quiet_times({variant: Work(name, variant) for variant in extra_variants(name)})
            return {"variant": min(quiet, key=quiet.get), "variants_us": quiet, "extra_us": extra}
        if command == "setup":
            configure(request["threads"])
            self.work = Work(request["work"], request["variant"])
            return {"parameters": self.work.parameters, "version": torch.__version__}
        if command == "steps":
            if self.work is None:
                raise ValueError("'steps' before 'setup'")
            return {"times_us": timed_steps(self.work, request["count"])}
        if command == "memory":
            return {"peak_bytes": resident_bytes("VmHWM"), "import_bytes": IMPORT_BYTES}
        raise ValueError(f"unknown command '{command}'; known: choose, setup, steps, memory, exit")


def serve(worker):
    """Answers requests on stdin with `worker.reply` until "exit" or the end."""
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request.get("cmd") == "exit":
                return
            reply = {"ok": True, **worker.reply(request)}
        except Exception as error:  # every failure travels to the runner, which decides
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    serve(Worker())
