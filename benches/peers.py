"""The native peers, on one thread: ONNX Runtime and PyTorch on the same policy and the same work.

    python peers.py four_mode.onnx peers.json
"""

import json
import math
import statistics
import sys
import time

THREADS = 1


def timed(run, times):
    run()
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return [1e3 * s for s in seconds]


class Results:
    def __init__(self):
        self.about, self.results = [], []

    def add(self, name, times):
        times = sorted(times)
        last = len(times) - 1
        row = {
            "id": name,
            "median_ms": statistics.median(times),
            "low_ms": times[round(0.05 * last)],
            "high_ms": times[round(0.95 * last)],
        }
        print(f"{name:55} {row['median_ms']:10.3f} ms", file=sys.stderr)
        self.results.append(row)


def onnx_runtime(path, results):
    try:
        import numpy
        import onnxruntime
    except ImportError as why:
        results.about.append(f"ONNX Runtime: not available ({why})")
        return
    results.about.append(f"ONNX Runtime {onnxruntime.__version__}, {THREADS} thread")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for count, times in [(2_000, 50), (100_000, 9)]:
        # Made beforehand: the peer's time is the network's, not the noise's.
        noise = numpy.random.default_rng(1).standard_normal((5, count), dtype=numpy.float32)

        def run():
            state = numpy.zeros((count, 2), numpy.float32)
            for t in range(5):
                state[:, 1] = t
                (law,) = session.run(None, {"state": state})
                state[:, 0] += law[:, 0] + law[:, 1] * noise[t]

        results.add(f"ONNX Runtime/{count} trajectories", timed(run, times))


def torch_training(results):
    try:
        import torch
    except ImportError as why:
        results.about.append(f"PyTorch: not available ({why})")
        return
    torch.set_num_threads(THREADS)
    results.about.append(f"PyTorch {torch.__version__}, {THREADS} thread")
    batch, steps = 256, 5

    def net():
        return torch.nn.Sequential(
            torch.nn.Linear(2, 64), torch.nn.ELU(), torch.nn.Linear(64, 64), torch.nn.ELU(), torch.nn.Linear(64, 2)
        )

    def log_density(law, action):
        std = 0.1 + 0.9 * torch.sigmoid(law[..., 1])
        z = (action - law[..., 0]) / std
        return -0.5 * z * z - std.log() - 0.5 * math.log(2 * math.pi)

    def log_reward(x):
        var = 0.2
        terms = [-0.5 * (x - m) ** 2 / var - 0.5 * math.log(2 * math.pi * var) for m in (-1.0, 1.0)]
        return torch.logsumexp(torch.stack(terms), 0)

    def fresh(fused):
        forward, backward = net(), net()
        log_z = torch.nn.Parameter(torch.zeros(()))
        groups = [
            {"params": [*forward.parameters(), *backward.parameters()], "lr": 1e-3},
            {"params": [log_z], "lr": 1e-1},
        ]
        return forward, backward, log_z, torch.optim.Adam(groups, fused=fused)

    def step_by_step(forward, backward, log_z, adam):
        """As one writes it first: a network call for every step."""

        def iteration():
            x = torch.zeros(batch)
            log_f, log_b = torch.zeros(batch), torch.zeros(batch)
            for t in range(steps):
                law = forward(torch.stack([x, torch.full_like(x, t)], 1))
                std = 0.1 + 0.9 * torch.sigmoid(law[:, 1])
                action = (law[:, 0] + std * torch.randn(batch)).detach()
                log_f = log_f + log_density(law, action)
                x = x + action
                if t > 0:
                    law = backward(torch.stack([x, torch.full_like(x, t + 1)], 1))
                    log_b = log_b + log_density(law, action)
            loss = ((log_z + log_f - log_reward(x) - log_b) ** 2).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

        return iteration

    def batched(forward, backward, log_z, adam, compile_it):
        """Best effort: rollout without gradient, all steps of the loss at once."""
        t = torch.arange(steps, dtype=torch.float32).repeat_interleave(batch)

        def loss_of(states, actions):
            x = states[:-1].reshape(-1)
            law = forward(torch.stack([x, t], 1))
            log_f = log_density(law, actions.reshape(-1)).reshape(steps, batch).sum(0)
            x = states[2:].reshape(-1)
            law = backward(torch.stack([x, t[batch:] + 1], 1))
            log_b = log_density(law, actions[1:].reshape(-1)).reshape(steps - 1, batch).sum(0)
            return ((log_z + log_f - log_reward(states[-1]) - log_b) ** 2).mean()

        if compile_it:
            loss_of = torch.compile(loss_of)

        def iteration():
            with torch.no_grad():
                states = [torch.zeros(batch)]
                noise = torch.randn(steps, batch)
                for i in range(steps):
                    x = states[-1]
                    law = forward(torch.stack([x, torch.full_like(x, i)], 1))
                    std = 0.1 + 0.9 * torch.sigmoid(law[:, 1])
                    states.append(x + law[:, 0] + std * noise[i])
                states = torch.stack(states)
            loss = loss_of(states, states[1:] - states[:-1])
            adam.zero_grad()
            loss.backward()
            adam.step()

        return iteration

    def ms_per_iteration(iteration):
        for _ in range(30):
            iteration()
        times = []
        for _ in range(15):
            begin = time.perf_counter()
            for _ in range(20):
                iteration()
            times.append(1e3 * (time.perf_counter() - begin) / 20)
        return times

    results.add("PyTorch training iteration/a call per step", ms_per_iteration(step_by_step(*fresh(False))))
    results.add("PyTorch training iteration/batched, fused Adam", ms_per_iteration(batched(*fresh(True), False)))
    try:
        times = ms_per_iteration(batched(*fresh(True), True))
        results.add("PyTorch training iteration/batched, fused Adam, compiled", times)
    except Exception as why:  # it needs a C++ compiler and much else
        results.about.append(f"torch.compile: not available ({type(why).__name__})")


def main():
    _, model, out = sys.argv
    results = Results()
    onnx_runtime(model, results)
    torch_training(results)
    document = {"command": "python peers.py", "about": results.about, "results": results.results}
    with open(out, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
