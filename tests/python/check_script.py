"""Runs the PyTorch scripts that the trainer writes, and holds them against the golden vectors.

    pip install torch
    cargo build --release --bin train_distill
    python tests/python/check_script.py target/release/train_distill

For each golden file the script of that model is loaded, given the golden weights, and must give the
golden log-probabilities, rewards and losses. Then every script trains for 30 iterations.
"""

import json
import subprocess
import sys
import types
from pathlib import Path

import torch

TRAINER = sys.argv[1]
GOLDEN = Path(__file__).parent.parent / "golden"
LOOPS = {1: "counts_forced", 2: "correct", 3: "drops_real"}


def script(name, *arguments):
    command = [TRAINER, "--pytorch", name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def load(name, *arguments):
    module = types.ModuleType(name)
    exec(compile(script(name, *arguments), f"{name}.py", "exec"), module.__dict__)
    return module


def fill(policy, weights):
    tensors = [torch.tensor(weights[part]) for part in ("W0", "b0", "W1", "b1", "W2", "b2")]
    with torch.no_grad():
        for parameter, values in zip(policy.parameters(), tensors):
            parameter.copy_(values.reshape(parameter.shape))


def close(found, expected, tolerance, what):
    found = torch.as_tensor(found, dtype=torch.float64)
    expected = torch.as_tensor(expected, dtype=torch.float64)
    error = (found - expected).abs().max().item()
    scale = expected.abs().max().item()
    assert error <= tolerance * max(scale, 1), f"{what}: off by {error} at {scale}"
    print(f"  {what}: within {error:.1e}")


for path in sorted(GOLDEN.glob("*.json")):
    golden = json.loads(path.read_text())
    print(golden["name"])
    run = load(golden["name"])
    fill(run.forward_policy, golden["forward"])
    fill(run.backward_policy, golden["backward"])
    run.log_z.data.fill_(golden["log_z"])
    trajectories = golden["trajectories"]
    actions = torch.tensor(trajectories["actions"]).reshape(-1, run.STEPS)
    start = torch.full((len(actions), 1), run.START)
    states = torch.cat([start, run.START + actions.cumsum(dim=1)], dim=1).T
    log_forward, log_backward = run.terms(states)
    loop = LOOPS[run.FIRST_COUNTED]
    close(log_forward.sum(0).detach(), trajectories["log_pf"], 1e-5, "log P_F")
    close(log_backward.sum(0).detach(), trajectories["log_pb"][loop], 1e-5, "log P_B")
    close(run.log_reward(states[-1]), trajectories["log_reward"], 1e-5, "log R")
    loss, _ = run.loss_of(states)
    close(loss.item(), trajectories["tb_loss"][loop], 1e-4, "loss")

listed = subprocess.run([TRAINER, "--list"], check=True, capture_output=True, text=True).stdout
names = [line.split()[0] for line in listed.splitlines() if line and "_" in line.split()[0]]
for name in names:
    print(f"{name}, 30 iterations")
    run = load(name, "--iterations", "30")
    run.train()
    run.report()
print("all scripts hold")
