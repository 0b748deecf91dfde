"""The sample that is written at each evaluation, so that progress can be read."""

from __future__ import annotations

import numpy as np
import torch

from wellfit.errors import TokenizerError
from wellfit.model import generate
from wellfit.tokenizer import Tokenizer
from wellfit.train.job import Job
from wellfit.train.state import TrainState


@torch.inference_mode()
def write_sample(job: Job, state: TrainState) -> str | None:
    """What the model writes after the recipe's prompt now; None where no sample is asked for.

    The same seed each time, so that only the model differs from one sample to the next.
    """
    cfg = job.recipe.evaluate.sample
    if cfg is None:
        return None
    tokenizer = job.data.tokenizer
    prompt = tokenizer.encode(cfg.prompt) if cfg.prompt else first_token(tokenizer)
    ids = generate(
        state.model,
        [int(i) for i in prompt],
        n_tokens=cfg.tokens,
        temperature=cfg.temperature,
        top_k=None,
        top_p=None,
        seed=job.recipe.train.seed,
        stop_id=tokenizer.eos_id,
    )
    return tokenizer.decode(np.array(list(ids), dtype=np.int64))


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
