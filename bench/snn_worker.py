"""The worker of one library of spiking networks: `snn_worker.py snntorch`, `spikingjelly` or `norse`.

Requests and replies are those of torch_worker.py; "choose" and "setup" name the file of pictures as "file";
for the event-driven works that is the folder with the trained network and the pictures.
"import_bytes" is the resident size right after the library, and with it PyTorch, was imported.
"""

import importlib
import importlib.metadata
import sys
import warnings

with warnings.catch_warnings():
    # torch.jit.script, which two of the libraries use, announces its deprecation.
    warnings.simplefilter("ignore")
    PEER = sys.argv[1]
    importlib.import_module({"spikingjelly": "spikingjelly.activation_based.neuron"}.get(PEER, PEER))

from torch_worker import configure, quiet_times, resident_bytes, serve, timed_steps

IMPORT_BYTES = resident_bytes("VmRSS")

import snn_works


def variants(name):
    return ["multi-step"] if name.startswith("events-") else snn_works.variants(name)


def work(name, variant, file):
    if name.startswith("events-"):
        import event_works

        return event_works.Work(file)
    return snn_works.Work(name, PEER, variant, file)


class Worker:
    def __init__(self):
        self.work = None

    def reply(self, request):
        command = request.get("cmd")
        if command in ("choose", "setup"):
            name = request["work"]
            if name not in snn_works.WORKS and not name.startswith("events-"):
                raise ValueError(f"unknown work '{name}'; known: {', '.join(snn_works.WORKS)}")
            configure(request["threads"])
            if command == "choose":
                if len(variants(name)) == 1:
                    return {"variant": variants(name)[0], "variants_us": {}}
                quiet = quiet_times({v: work(name, v, request["file"]) for v in variants(name)})
                return {"variant": min(quiet, key=quiet.get), "variants_us": quiet}
            self.work = work(name, request["variant"], request["file"])
            return {"parameters": self.work.parameters, "version": importlib.metadata.version(PEER)}
        if command == "steps":
            if self.work is None:
                raise ValueError("'steps' before 'setup'")
            return {"times_us": timed_steps(self.work, request["count"])}
        if command == "memory":
            return {"peak_bytes": resident_bytes("VmHWM"), "import_bytes": IMPORT_BYTES}
        raise ValueError(f"unknown command '{command}'; known: choose, setup, steps, memory, exit")


if __name__ == "__main__":
    serve(Worker())
