"""The sample that is written at each evaluation, so that progress can be read."""

from __future__ import annotations

import numpy as np
import torch

from wellfit.errors import TokenizerError
from wellfit.model import generate
from wellfit.store import Sample
from wellfit.tokenizer import Tokenizer
from wellfit.train.job import Job
from wellfit.train.outcomes import taken_apart
from wellfit.train.state import TrainState


@torch.inference_mode()
def write_sample(job: Job, state: TrainState) -> Sample | None:
    """What the model writes after a prompt now; None where no sample is asked for, or none can be.

    The prompt is the recipe's, else that of val's first example, where the task has prompts.
    The same seed each time, so that only the model differs from one sample to the next.
    """
    cfg, tokenizer, val = job.recipe.evaluate.sample, job.data.tokenizer, job.data.splits["val"]
    if cfg is None or job.data.labels is not None:
        return None
    shown, stop_id = cfg.prompt, tokenizer.eos_id
    prompt = tokenizer.encode(cfg.prompt) if cfg.prompt else first_token(tokenizer)
    if val.learned is not None and not cfg.prompt:
        given = taken_apart(val, int(job.val_blocks.documents[0]))
        prompt, stop_id = given.prompt or prompt, given.stop_id
        shown = tokenizer.decode(np.array(prompt))
    ids = generate(
        state.model,
        [int(i) for i in prompt],
        n_tokens=cfg.tokens,
        temperature=cfg.temperature,
        seed=job.recipe.train.seed,
        stop_id=stop_id,
    )
    return Sample(state.step, shown, tokenizer.decode(np.array(list(ids), dtype=np.int64)))


def first_token(tokenizer: Tokenizer) -> list[int]:
    """What an unprompted text starts from: the end of a document, else a new line, else id 0.

    A model has to see something before it can predict; this is the nearest thing to nothing.
    """
    if tokenizer.eos_id is not None:
        return [tokenizer.eos_id]
    try:
        return [int(i) for i in tokenizer.encode("\n")][:1]
    except TokenizerError:
        return [0]
