"""Runs the Python code of README.md and pretrained/README.md.

    pip install torch safetensors
    python tests/python/check_readme.py

All code of a file runs as one program, in the repository's folder. What it says of the first step of
`four_mode` must be the same in both.
"""

import os
import re
from pathlib import Path

import torch

os.chdir(Path(__file__).parent.parent.parent)
results = []
for file in ("README.md", "pretrained/README.md"):
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", Path(file).read_text(), re.M | re.S))
    assert code, f"{file} has no Python code"
    names = {}
    exec(compile(code, file, "exec"), names)
    results.append(torch.stack([names["mean"], names["std"]]))
    print(f"{file}: mean {names['mean'].item():.6f}, std {names['std'].item():.6f}")
assert torch.allclose(*results, atol=1e-6), results
