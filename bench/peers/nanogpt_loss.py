"""The loss of nanoGPT's checkpoint on all of its val split, each character but the first once.

Run in a checkout of nanoGPT; blocks follow each other, as long as its context.  What train.py
prints is an estimate over random batches.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, ".")
from model import GPT, GPTConfig


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="the folder of ckpt.pt")
    parser.add_argument("--data", required=True, help="the folder of val.bin")
    given = parser.parse_args()
    saved = torch.load(Path(given.out) / "ckpt.pt", map_location="cpu", weights_only=False)
    model = GPT(GPTConfig(**saved["model_args"])).eval()
    model.load_state_dict({k.removeprefix("_orig_mod."): v for k, v in saved["model"].items()})
    tokens = np.fromfile(Path(given.data) / "val.bin", dtype=np.uint16).astype(np.int64)
    tokens = torch.from_numpy(tokens)
    context, total = model.config.block_size, 0.0
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, context):
            block = tokens[start : start + context + 1][None]
            logits, _ = model(block[:, :-1], block[:, 1:])
            losses = torch.nn.functional.cross_entropy(logits[0], block[0, 1:], reduction="sum")
            total += losses.item()
    found = {"loss": total / (len(tokens) - 1), "targets": len(tokens) - 1}
    sys.stdout.write(json.dumps(found) + "\n")


main()
