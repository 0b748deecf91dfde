"""Our batched Muon against torch's, which walks over the matrices one at a time."""

import torch

from wellfit.optim.muon import Muon, orthogonalize

SHAPES = [(16, 16), (16, 16), (48, 16), (16, 48), (8, 24)]


def _params(seed: int) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def test_muon_takes_the_steps_of_torch_muon() -> None:
    ours, theirs = _params(1), _params(1)
    a = Muon([{"params": ours, "lr": 0.02, "weight_decay": 0.1}], momentum=0.95)
    b = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1, nesterov=True)
    draw = torch.Generator().manual_seed(2)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=draw)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for p, q, start in zip(ours, theirs, _params(1), strict=True):
        moved = (q - start).norm()
        # both iterate in bfloat16, whose rounding differs between batched and single products
        assert (p - q).norm() < 0.02 * moved


def test_orthogonalize_brings_singular_values_near_one() -> None:
    g = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalize(g).float())
    # the quintic keeps them within this band, by its authors' account
    assert 0.6 < values.min() and values.max() < 1.3


def test_a_tall_matrix_is_treated_as_its_transpose() -> None:
    g = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalize(g), orthogonalize(g.mT).mT)
