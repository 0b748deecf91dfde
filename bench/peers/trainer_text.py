"""Hugging Face Trainer from a text file to its first step, as its example run_clm.py goes there.

It reads the file, keeps a part for evaluation, encodes by bytes, cuts into blocks and trains.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text")
    parser.add_argument("--shape", type=json.loads)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--steps", type=int)  # one is enough, whatever is asked for
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = folder  # nothing cached
        first_at = train(given, folder)
    sys.stdout.write(json.dumps({"first_at": first_at}) + "\n")


def train(given, folder):
    import torch
    from datasets import load_dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )

    if given.threads:
        torch.set_num_threads(given.threads)
    shape = given.shape
    parts = {"train": "train[5%:]", "validation": "train[:5%]"}
    data = load_dataset("text", data_files=given.text, split=parts, keep_linebreaks=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    coder = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=coder)

    def encoded(examples):
        return {"input_ids": tokenizer(examples["text"])["input_ids"]}

    def blocks(examples):
        whole, size = list(itertools.chain(*examples["input_ids"])), shape["context"]
        cut = [whole[i : i + size] for i in range(0, len(whole) // size * size, size)]
        return {"input_ids": cut, "labels": cut}

    data = data.map(encoded, batched=True, remove_columns=["text"])
    data = data.map(blocks, batched=True)
    config = GPT2Config(
        vocab_size=len(alphabet),
        n_positions=shape["context"],
        n_embd=shape["width"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        bos_token_id=0,
        eos_token_id=0,
    )

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **more):
            self.first_at = time.time()

    args = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=shape["batch"],
        max_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    clock = Clock()
    Trainer(
        model=GPT2LMHeadModel(config),
        args=args,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=default_data_collator,
        callbacks=[clock],
    ).train()
    return clock.first_at


main()
