import numpy as np
import torch
import torch.nn.functional as F

from tests.corpora import examples_in_memory
from tests.tiny_models import SHAPES, random_decoder
from wellfit import data, objectives
from wellfit.data import Split, eval_blocks
from wellfit.evaluate.losses import Scored, score_blocks, token_scorer


def _split(n: int) -> Split:
    ids = np.random.default_rng(1).integers(0, 11, n).astype(np.uint16)
    return Split("val", ids, np.array([0]), n_bytes=n, fingerprint="0" * 64)


def test_the_two_names_of_an_ignored_target_are_one_number() -> None:
    assert data.IGNORE == objectives.IGNORE


def _nats(model, blocks, part=(0, 1)) -> np.ndarray:
    return score_blocks(token_scorer(model), blocks, part=part).nats_N


def test_every_token_but_the_first_is_scored_once() -> None:
    split, model = _split(103), random_decoder(SHAPES["nanochat"])
    blocks = eval_blocks(split, context=12)
    nats = _nats(model, blocks)
    total = 0.0
    for start in range(0, 102, 12):
        ids = torch.from_numpy(split.tokens[start : start + 13].astype(np.int64))
        logits = model(ids[None, :-1])[0]
        total += F.cross_entropy(logits, ids[1:], reduction="sum").item()
    np.testing.assert_allclose(nats.sum(), total, rtol=1e-5)
    assert blocks.counts.tolist() == [12] * 8 + [6]


def test_parts_of_the_work_add_up_to_the_whole() -> None:
    blocks, model = eval_blocks(_split(2000), context=12), random_decoder(SHAPES["nanochat"])
    whole = _nats(model, blocks)
    parts = [_nats(model, blocks, (r, 3)) for r in range(3)]
    # each block is computed by exactly one rank
    assert all(((p != 0).sum() > 0) for p in parts)
    assert np.array_equal(sum(parts), whole)


def test_measuring_leaves_no_gradient_and_changes_no_weight() -> None:
    model = random_decoder(SHAPES["nanochat"])
    before = [p.clone() for p in model.parameters()]
    _nats(model, eval_blocks(_split(100), context=12))
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_a_rank_without_a_group_of_its_own_still_knows_of_outputs() -> None:
    labels = np.array([[0.0], [1.0], [1.0]], dtype=np.float32)
    blocks = eval_blocks(examples_in_memory([3, 4, 5], labels=labels), context=12)

    def scorer(rows: data.Rows) -> Scored:
        lengths = torch.from_numpy(rows.lengths).float()
        return Scored(lengths, torch.stack((lengths, -lengths), dim=1))

    first, second = (score_blocks(scorer, blocks, part=(rank, 2)) for rank in range(2))
    # one group of three texts: the second rank adds nothing, but has the shape to join in a sum
    assert first.outputs_NO.tolist() == [[3, -3], [4, -4], [5, -5]]
    assert second.outputs_NO.tolist() == [[0, 0]] * 3
    assert second.nats_N.tolist() == [0, 0, 0]
