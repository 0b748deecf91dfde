"""Seconds of the steps of Hugging Face Trainer, on random tokens.

As shipped: its defaults.  Tuned: bfloat16, the fused optimizer, compiled.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments


class Random(torch.utils.data.Dataset):
    def __init__(self, shape, rows):
        draw = torch.Generator().manual_seed(1)
        size = (rows, shape["context"])
        self.tokens = torch.randint(shape["vocab"], size, generator=draw)

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, i):
        return {"input_ids": self.tokens[i], "labels": self.tokens[i]}


class Clock(TrainerCallback):
    def __init__(self):
        self.at = []

    def on_step_end(self, args, state, control, **more):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.at.append(time.perf_counter())
        if len(self.at) == 1:
            self.first_at = time.time()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=json.loads)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--tuned", action="store_true")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    shape = given.shape
    config = GPT2Config(
        vocab_size=shape["vocab"],
        n_positions=shape["context"],
        n_embd=shape["width"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        resid_pdrop=given.dropout,
        embd_pdrop=given.dropout,
        attn_pdrop=given.dropout,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    tuned = {"bf16": True, "optim": "adamw_torch_fused", "torch_compile": True}
    clock, steps = Clock(), given.warm + given.steps
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=shape["batch"],
            max_steps=steps,
            learning_rate=1e-3,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            **(tuned if given.tuned else {}),
        )
        data = Random(shape, rows=shape["batch"] * steps)
        trainer = Trainer(
            model=GPT2LMHeadModel(config), args=args, train_dataset=data, callbacks=[clock]
        )
        trainer.train()
    step_s = [b - a for a, b in itertools.pairwise(clock.at)][max(0, given.warm - 1) :]
    tokens = shape["batch"] * shape["context"]
    found = {"step_s": step_s, "tokens": tokens, "first_at": clock.first_at}
    sys.stdout.write(json.dumps(found) + "\n")


main()
