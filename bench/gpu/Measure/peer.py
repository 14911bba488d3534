"""Times one step of the reference implementation of Equi-normalization (facebookresearch/enorm) with torch.

Arguments: the implementation's file, and a file with what to run:
{"device": 0, "seconds": 10.0, "networks": [{"name": ..., "kind": "linear" | "conv", "shapes": [[out, in, ...], ...]}]}
The last line of standard output is {"torch": version, "device": name, "networks": [{"name", "microseconds", "steps", "error"}]}.
"""
import importlib.util
import json
import statistics
import sys
import time


def load(path):
    spec = importlib.util.spec_from_file_location("peer_enorm", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ENorm


def measure(torch, enorm, network, seconds):
    torch.manual_seed(1)
    device = torch.device("cuda", torch.cuda.current_device())
    params = []
    for n, shape in enumerate(network["shapes"]):
        fan_in = 1
        for extent in shape[1:]:
            fan_in *= extent
        weight = torch.randn(shape, device=device) * (2.0 / fan_in) ** 0.5
        params.append(("layer%d.weight" % n, torch.nn.Parameter(weight)))
    optimizer = torch.optim.SGD([p for _, p in params], lr=0.1, momentum=0)
    with torch.no_grad():
        stepper = enorm(params, optimizer, network["kind"])
        for _ in range(5):
            stepper.step()
        torch.cuda.synchronize()
        begun = time.monotonic()
        stepper.step()
        torch.cuda.synchronize()
        once = max(time.monotonic() - begun, 1e-6)

        # As the other side measures: batches of at least 20 ms between two events, the median of the batches.
        steps = max(1, int(0.02 / once))
        times = []
        deadline = time.monotonic() + seconds
        while len(times) < 15 and (len(times) < 3 or time.monotonic() < deadline):
            start = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            start.record()
            for _ in range(steps):
                stepper.step()
            end.record()
            end.synchronize()
            times.append(1000.0 * start.elapsed_time(end) / steps)
    return {"name": network["name"], "microseconds": statistics.median(times), "steps": steps * len(times)}


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        request = json.load(file)
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no CUDA device")
    torch.cuda.set_device(request["device"])
    enorm = load(sys.argv[1])
    results = []
    for network in request["networks"]:
        try:
            results.append(measure(torch, enorm, network, request["seconds"]))
        except Exception as error:  # one network that does not run must not lose the others
            results.append({"name": network["name"], "error": "%s: %s" % (type(error).__name__, error)})
        torch.cuda.empty_cache()
    print(json.dumps({
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(),
        "networks": results,
    }))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(json.dumps({"error": "%s: %s" % (type(error).__name__, error)}))
        sys.exit(1)
