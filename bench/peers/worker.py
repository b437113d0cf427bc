"""What every worker of the benchmark does: one JSON request per line on stdin, one JSON reply per line on stdout.

    {"cmd": "choose", "work": W, "threads": N}    {"variant": V, "variants_us": {variant: us}, "extra_us": {...}}
    {"cmd": "setup", "work": W, "threads": N, "variant": V}    {"parameters": N, "version": "2.15.0"}
    {"cmd": "steps", "count": K}    {"times_us": [...]}
    {"cmd": "memory"}    {"peak_bytes": N, "import_bytes": N}
    {"cmd": "exit"}    (no reply)

Works that need one get "file" in the first two: pictures, sentences, a model. Every reply has "ok"; where it is false,
"error" says why. "choose" times all variants and so uses more memory than any of them: the runner asks one process to
choose and measures in a fresh one. "peak_bytes" is the process's largest resident size so far, "import_bytes" its
resident size right after the peer was imported.
"""

import json
import sys
import time


def resident_bytes(field):
    """A size from /proc/self/status: VmRSS (now) or VmHWM (the largest so far)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def timed_steps(work, count):
    times = []
    prepare = getattr(work, "prepare", lambda: None)
    for _ in range(count):
        prepare()
        start = time.perf_counter_ns()
        work.step()
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


class Worker:
    """Made right after the imports. A subclass knows the names of its works, chooses a variant and creates a work, which
    has `step()` and `parameters`, and perhaps `prepare()`, which runs before each step and is not timed."""

    works = ()
    version = ""

    def __init__(self):
        self.import_bytes = resident_bytes("VmRSS")
        self.work = None

    def reply(self, request):
        command = request.get("cmd")
        if command in ("choose", "setup") and request["work"] not in self.works:
            raise ValueError(f"unknown work '{request['work']}'; known: {', '.join(self.works)}")
        if command == "choose":
            return self.choose(request)
        if command == "setup":
            self.work = self.create(request)
            return {"parameters": self.work.parameters, "version": self.version}
        if command == "steps":
            if self.work is None:
                raise ValueError("'steps' before 'setup'")
            return {"times_us": timed_steps(self.work, request["count"])}
        if command == "memory":
            return {"peak_bytes": resident_bytes("VmHWM"), "import_bytes": self.import_bytes}
        raise ValueError(f"unknown command '{command}'; known: choose, setup, steps, memory, exit")

    def serve(self):
        """Answers requests until "exit" or the end."""
        for line in sys.stdin:
            try:
                request = json.loads(line)
                if request.get("cmd") == "exit":
                    return
                reply = {"ok": True, **self.reply(request)}
            except Exception as error:  # every failure travels to the runner, which decides
                reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)
