"""Reads the trained models in Python and checks them against the manifest.

    pip install numpy safetensors onnxruntime
    python tests/python/check_pretrained.py [FOLDER]

FOLDER is `pretrained` unless given. Each NAME.safetensors is read and its forward policy run in
numpy; its terminal density is integrated on a grid, and the total variation to the target must be
the manifest's. The same is done with tempered.safetensors at every exponent of the manifest. Where `train-distill --format onnx` wrote NAME.onnx as well, ONNX Runtime must give
the same means and standard deviations.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def features(x):
    """What a policy with step features reads of x, [rows, 14]."""
    columns = [0.6 * x, 0.03 * x * x]
    for k in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0):
        columns += [3 * np.sin(k * x), 3 * np.cos(k * x)]
    return np.stack(columns, axis=1)


def law(tensors, net, states):
    """Mean and standard deviation of the action in states [rows, 2] = (x, t)."""
    h = states
    for layer in (0, 2, 4):
        weight = tensors[f"{net}.{layer}.weight"].astype(h.dtype)
        bias = tensors[f"{net}.{layer}.bias"].astype(h.dtype)
        if weight.ndim == 3:  # a first layer for each step, which reads features
            step = states[:, 1].astype(int) % len(weight)
            values = features(states[:, 0])
            h = np.empty((len(states), weight.shape[1]))
            for t in np.unique(step):
                h[step == t] = values[step == t] @ weight[t].T + bias[t]
        else:
            h = h @ weight.T + bias
        if layer < 4:
            h = np.where(h > 0, h, np.expm1(np.minimum(h, 0)))
    return h[:, 0], 0.1 + 0.9 / (1 + np.exp(-h[:, 1]))


def normal(x, mean, std):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def total_variation(tensors, recipe, beta=1.0):
    """Total variation between the model's terminal density and R^beta / Z_beta, on a grid."""
    x = np.linspace(-20, 25, 3001)
    spacing = x[1] - x[0]
    at = lambda x, t: law(tensors, "forward", np.stack([x, np.full_like(x, t)], axis=1))
    start = np.array([recipe["start"]])
    mean, std = at(start, 0.0)
    density = normal(x, start + mean, std)
    for t in range(1, recipe["steps"]):
        mean, std = at(x, float(t))
        density = density @ normal(x[None, :], (x + mean)[:, None], std[:, None]) * spacing
    modes = recipe["modes"]
    target = sum(normal(x, m["mean"], np.sqrt(m["var"])) for m in modes) ** beta
    target /= target.sum() * spacing
    return 0.5 * np.abs(density - target).sum() * spacing


def onnx_error(path, tensors):
    """The largest difference between ONNX Runtime and numpy over a range of states."""
    import onnxruntime

    rng = np.random.default_rng(1)
    x, t = rng.uniform(-15, 15, 1000), rng.integers(0, 5, 1000)
    states = np.stack([x, t], axis=1).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (got,) = session.run(["policy"], {"state": states})
    assert got.shape == (1000, 2), got.shape
    expected = np.stack(law(tensors, "forward", states.astype(np.float64)), axis=1)
    return np.abs(got - expected).max()


def check_snapshots(folder, listed, tensors):
    """The snapshots are the listed ones, and the last is the model, rounded to halves."""
    path = folder / listed["file"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == listed["sha256"], f"{path}: SHA-256 is {digest}"
    snapshots = load_file(path)
    assert snapshots["iteration"].tolist() == listed["iterations"], path
    for name, values in tensors.items():
        if name.startswith("forward."):
            assert (snapshots[name][-1] == values.astype(np.float16)).all(), f"{path}: {name}"
    assert snapshots["log_z"][-1] == tensors["log_z"][0], path


def check_tempered(folder, listed):
    """At every exponent the model of every temperature has the listed total variation and log Z."""
    path = folder / listed["file"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == listed["sha256"], f"{path}: SHA-256 is {digest}"
    tensors = load_file(path)
    for score in listed["scores"]:
        log_beta = np.log(score["beta"])
        bias = tensors["forward.0.bias"] + log_beta * tensors["forward.0.slope"]
        tv = total_variation(
            tensors | {"forward.0.bias": bias}, listed["recipe"]["base"], score["beta"]
        )
        assert abs(tv - score["total_variation"]) < 1e-4, f"{path}: TV {tv} for {score}"
        first = np.tanh(tensors["log_z.0.weight"][:, 0] * log_beta + tensors["log_z.0.bias"])
        log_z = tensors["log_z.2.weight"][0] @ first + tensors["log_z.2.bias"][0]
        assert abs(log_z - score["log_z"]) < 1e-5, f"{path}: log Z {log_z} for {score}"
        print(f"tempered, beta {score['beta']}: TV {tv:.4f}, log Z {log_z:.3f}")


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "pretrained")
    manifest = json.loads((folder / "manifest.json").read_text())
    for model in manifest["models"]:
        path = folder / model["file"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == model["sha256"], f"{path}: SHA-256 is {digest}"
        tensors = load_file(path)
        tv = total_variation(tensors, model["recipe"])
        stated = model["metrics"]["total_variation"]
        assert abs(tv - stated) < 1e-4, f"{path}: TV {tv}, the manifest says {stated}"
        check_snapshots(folder, model["snapshots"], tensors)
        line = f"{model['name']}: TV {tv:.4f}, log Z {tensors['log_z'][0]:.3f}"
        onnx = path.with_suffix(".onnx")
        if onnx.exists():
            error = onnx_error(onnx, tensors)
            assert error < 1e-4, f"{onnx}: off by {error}"
            line += f", ONNX within {error:.1e}"
        print(line)
    if "tempered" in manifest:
        check_tempered(folder, manifest["tempered"])


if __name__ == "__main__":
    main()
