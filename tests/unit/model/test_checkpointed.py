"""Blocks that are computed again: the same numbers to the bit, from less memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.config import LanguageModel, Lora, Regularize
from wellfit.config.optim import AdamW
from wellfit.data import Rows
from wellfit.model import Decoder, add_lora, lora_drop_source, noise_source
from wellfit.optim import build_optimizers
from wellfit.train.learn import MicroBatch, loss_of, micro_batch
from wellfit.train.ranks import Ranks
from wellfit.train.state import TrainState
from wellfit.train.step import train_step

T, B = 16, 3
IDS = random_tokens(B, T + 1).numpy()
ROWS = Rows(IDS[:, :-1], IDS[:, 1:], np.arange(B))
DISTURBED = Regularize(
    dropout={"residual": 0.2, "attention": 0.2, "mlp": 0.2}, stochastic_depth=0.5
)


def _micro(decoder: Decoder, *, disturbed: bool) -> MicroBatch:
    if not disturbed:
        return micro_batch(ROWS, None, weights_C=None)
    source = noise_source(DISTURBED, decoder.shape, seed=1, dtype=torch.float32, device="cpu")
    assert source is not None
    return micro_batch(ROWS, source.draw(7, ROWS.samples), weights_C=None)


def _gradients(decoder: Decoder, micro: MicroBatch, *, compiled: bool = False) -> list[Tensor]:
    """Of a whole step, as training takes it."""
    cfg = AdamW(lr=1e-3)
    state, kept = TrainState(decoder, build_optimizers(cfg, decoder, weight_decay=0.0)), []
    state.optimizers.step = lambda *_: kept.extend(  # type: ignore[method-assign]
        p.grad.clone() for p in decoder.parameters() if p.grad is not None
    )
    loss = loss_of(decoder, LanguageModel(), None, None, compiled=compiled)
    how = Regularize(clip=None)
    train_step(state, [micro], loss, lr_scale=1.0, how=how, seed=1, ranks=Ranks())
    return kept


@pytest.mark.parametrize("disturbed", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_the_same_to_the_bit(name: str, disturbed: bool) -> None:
    plain, again = random_decoder(SHAPES[name]), random_decoder(SHAPES[name])
    again.checkpointed = True
    micro = _micro(plain, disturbed=disturbed)
    wanted, found = _gradients(plain, micro), _gradients(again, micro)
    assert len(wanted) == len(list(plain.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_lora_drops_the_same_when_a_block_is_computed_again() -> None:
    cfg, found = Lora(rank=4, dropout=0.5), []
    for checkpointed in (False, True):
        decoder = random_decoder(SHAPES["llama"])
        add_lora(decoder, cfg, seed=3)
        with torch.no_grad():  # B starts at zero, and A would have no gradient
            for n, p in decoder.named_parameters():
                if n.endswith("lora_b"):
                    p.fill_(0.1)
        decoder.checkpointed = checkpointed
        source = lora_drop_source(decoder.shape, cfg, seed=1, dtype=torch.float32, device="cpu")
        assert source is not None
        micro = _micro(decoder, disturbed=False)._replace(lora_drop=source.draw(7, ROWS.samples))
        found.append(_gradients(decoder, micro))
    # its masks have to be there in the backward pass too
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def _kept_bytes(decoder: Decoder) -> int:
    """What the forward pass leaves for the backward pass, without weights."""
    weights = {p.untyped_storage().data_ptr() for p in decoder.parameters()}
    seen: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in weights:
            seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    held = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        held.append(decoder(random_tokens(B, T)))
    return sum(seen.values())


def test_less_is_kept_and_nothing_changes_without_gradients() -> None:
    decoder = random_decoder(SHAPES["llama"])
    whole = _kept_bytes(decoder)
    with torch.no_grad():
        logits = decoder(random_tokens(B, T))
        decoder.checkpointed = True
        assert torch.equal(decoder(random_tokens(B, T)), logits)
    # two blocks of which only the inputs stay
    assert _kept_bytes(decoder) < 0.6 * whole


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
def test_compiled_it_is_the_same_up_to_rounding() -> None:
    found = []
    for checkpointed in (False, True):
        decoder = random_decoder(SHAPES["nanochat"])
        decoder.checkpointed = checkpointed
        micro = _micro(decoder, disturbed=True)
        found.append(_gradients(decoder, micro, compiled=True))
    for wanted, again in zip(*found, strict=True):
        torch.testing.assert_close(again, wanted, rtol=1e-4, atol=1e-5)
