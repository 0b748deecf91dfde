"""Seconds of the steps of litgpt's model in its own pretraining loop's way, on random tokens.

Its precision bf16-mixed through Lightning Fabric, fused AdamW, compiled: as litgpt pretrain sets
them up on a GPU.
"""

import argparse
import json
import sys
import time

import lightning
import torch
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.utils import chunked_cross_entropy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=json.loads)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    shape = given.shape
    fabric = lightning.Fabric(devices=1, precision="bf16-mixed")
    config = Config(
        block_size=shape["context"],
        padded_vocab_size=shape["vocab"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_embd=shape["width"],
        rotary_percentage=1.0,
        bias=False,
    )
    with fabric.init_module():
        model = GPT(config)
    model = fabric.setup(torch.compile(model))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    optimizer = fabric.setup_optimizers(optimizer)
    size, step_s = (shape["batch"], shape["context"] + 1), []
    data = torch.randint(shape["vocab"], (given.warm + given.steps, *size))
    for turn, rows in enumerate(data):
        t0 = time.perf_counter()
        rows = rows.to(fabric.device)
        logits = model(rows[:, :-1].contiguous())
        fabric.backward(chunked_cross_entropy(logits, rows[:, 1:].contiguous(), chunk_size=0))
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= given.warm:
            step_s.append(time.perf_counter() - t0)
    found = {"step_s": step_s, "tokens": shape["batch"] * shape["context"]}
    sys.stdout.write(json.dumps(found) + "\n")


main()
