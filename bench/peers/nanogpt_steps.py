"""Seconds of the steps of nanoGPT's model, tuned: bfloat16, the fused optimizer, compiled.

Run in a checkout of nanoGPT, whose train.py has no bfloat16 on a processor: this is its loop with
autocast.  As shipped it is measured by running train.py itself.
"""

import argparse
import json
import sys
import time

import torch

sys.path.insert(0, ".")
from model import GPT, GPTConfig


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=json.loads)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--plain", action="store_true", help="do not compile")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    shape, device = given.shape, "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    config = GPTConfig(
        block_size=shape["context"],
        vocab_size=shape["vocab"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_embd=shape["width"],
        dropout=given.dropout,
        bias=False,
    )
    model = GPT(config).to(device)
    groups = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device).param_groups
    for group in groups:
        group.pop("fused", None), group.pop("foreach", None)
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    run = model if given.plain else torch.compile(model)
    size, step_s = (shape["batch"], shape["context"] + 1), []
    data = torch.randint(shape["vocab"], (given.warm + given.steps, *size))
    for turn, rows in enumerate(data):
        t0 = time.perf_counter()
        rows = rows.to(device)
        with torch.autocast(device, torch.bfloat16):
            _, loss = run(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        if turn >= given.warm:
            step_s.append(time.perf_counter() - t0)
    found = {"step_s": step_s, "tokens": shape["batch"] * shape["context"]}
    sys.stdout.write(json.dumps(found) + "\n")


main()
