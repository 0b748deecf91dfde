"""Is the published model the model that was measured?  Ask somebody else's code.

    python -m bench.same_loss RUN

Loads RUN/model by transformers alone, in float32, scores the val split in the blocks that
wellfit scores, and prints both losses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from wellfit.data import eval_blocks
from wellfit.objectives import IGNORE
from wellfit.store import final_evaluation, read_run
from wellfit.train.again import open_again

LIMIT_NATS = 1e-3


@torch.inference_mode()
def transformers_loss(run: Path) -> float:
    """Mean nats per target on the whole val split, by transformers."""
    from transformers import AutoModelForCausalLM

    again = open_again(run)
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32).eval()
    blocks = eval_blocks(again.data.splits["val"], context=again.model.shape.context)
    nats = 0.0
    for start in range(0, len(blocks), 16):
        rows = blocks.rows(start, min(start + 16, len(blocks)))
        logits = model(torch.from_numpy(rows.inputs)).logits.flatten(0, 1).float()
        targets = torch.from_numpy(rows.targets).flatten()
        nats += F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum").item()
    return nats / blocks.n_targets


def main() -> None:
    """Print both losses; exit 1 where they differ by more than the limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.same_loss", description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    ours = final_evaluation(read_run(run).evaluations(), "val")
    if ours is None:
        raise SystemExit(f"{run} has no val evaluation yet")
    theirs = transformers_loss(run)
    difference = abs(ours.loss - theirs)
    sys.stdout.write(
        f"full val, {ours.n_tokens:,} targets: wellfit {ours.loss:.6f}, "
        f"transformers {theirs:.6f}, difference {difference:.1e} (limit {LIMIT_NATS})\n"
    )
    sys.exit(0 if difference <= LIMIT_NATS else 1)


if __name__ == "__main__":
    main()
