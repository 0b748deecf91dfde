"""Our batched Muon against torch's, which walks over matrices one at a time, and against SVD."""

import pytest
import torch
from torch import Tensor
from torch.optim import _muon

from wellfit.optim import muon
from wellfit.optim.muon import Muon, orthogonalize

SHAPES = [(16, 16), (16, 16), (48, 16), (16, 48), (8, 24)]


def _params(seed: int) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def _torchs(g_NRC: Tensor) -> Tensor:
    """Its Newton-Schulz iteration, as its optimizer calls it."""
    coefficients = (_muon.DEFAULT_A, _muon.DEFAULT_B, _muon.DEFAULT_C)
    steps, eps = _muon.DEFAULT_NS_STEPS, _muon.EPS
    each = [_muon._zeropower_via_newtonschulz(g, coefficients, steps, eps) for g in g_NRC]
    return torch.stack(each)


def test_muon_takes_the_steps_of_torch_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    # all but the iteration, which is another one; see below
    monkeypatch.setattr(muon, "orthogonalize", _torchs)
    ours, theirs = _params(1), _params(1)
    groups = [{"params": ours, "lr": 0.02, "weight_decay": 0.1}]
    a = Muon(groups, momentum=0.95, normalize=False)
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


SIZES = [(rows, columns, falls) for rows, columns in ((300, 400), (256, 1024), (64, 64))
         for falls in (0.0, 0.5, 1.0)]  # fmt: skip


# of the last, the smallest of values that fall as 1 / n lie below what the steps are for
@pytest.mark.parametrize(("rows", "columns", "falls"), [*SIZES, (520, 1100, 0.5)])
def test_an_orthogonalized_matrix_is_as_near_to_the_nearest_as_torchs(
    rows: int, columns: int, falls: float
) -> None:
    g = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(g, full_matrices=False)
    # singular values that fall as a power of their number, from a dominant one on
    values = torch.arange(1, left.shape[-1] + 1.0) ** -falls
    nearest = left @ right

    def cosine(found: Tensor) -> float:
        return torch.nn.functional.cosine_similarity(found.flatten(), nearest.flatten(), 0).item()

    g = (left * values) @ right
    ours, theirs = orthogonalize(g).float(), _torchs(g).float()
    # values within 0.22 of 1 cannot give less than sqrt(1 - 0.22^2); theirs, within 0.32, 0.947
    assert cosine(ours) > 0.975 and cosine(theirs) > 0.947
    found = torch.linalg.svdvals(ours)
    # what the four steps come to, and what bfloat16 adds
    assert 0.65 < found.min() and found.max() < 1.3


@pytest.mark.parametrize("amx", [False, True])  # in parts, or whole
@pytest.mark.parametrize("columns", [520, 1100])
def test_a_large_matrix_by_itself_is_what_it_is_among_others(
    columns: int, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    g = torch.randn(2, 520, columns, generator=torch.Generator().manual_seed(1))
    alone, among = orthogonalize(g[:1]).float(), orthogonalize(g)[:1].float()
    # four steps of bfloat16's rounding, the first of which makes small values eight times larger
    assert (alone - among).norm() < 0.05 * among.norm()
    tall = orthogonalize(g[:1].mT.contiguous().mT)  # of one that lies by columns
    assert tall.mT.is_contiguous() and (tall.float() - among).norm() < 0.05 * among.norm()


def test_a_gradient_of_nothing_stays_nothing() -> None:
    assert torch.equal(orthogonalize(torch.zeros(1, 300, 300)), torch.zeros(1, 300, 300).bfloat16())
    tiny = orthogonalize(torch.full((1, 8, 8), 1e-25))
    assert bool(torch.isfinite(tiny).all()) and tiny.abs().max() < 1e-6


@pytest.mark.parametrize("size", [(48, 16), (16, 48), (16, 16), (520, 1100)])
def test_normalized_every_neuron_moves_by_one_length(size: tuple[int, int]) -> None:
    g = torch.randn(size, generator=torch.Generator().manual_seed(1))
    along = 1 if size[0] >= size[1] else 0  # a neuron is a row of a tall matrix, a column of a wide
    g.select(1 - along, 0).zero_()  # one of them is dead

    def moved(*, normalize: bool) -> Tensor:
        p = torch.nn.Parameter(torch.zeros(size))
        p.grad = g.clone()
        Muon([{"params": [p], "lr": 0.02}], momentum=0.95, normalize=normalize).step()
        return p.detach().double()

    plain, ours = moved(normalize=False), moved(normalize=True)
    # one neuron after the other, and then the norm that there was before
    wanted = torch.stack(
        [row / row.norm() if row.norm() else row for row in plain.unbind(1 - along)], 1 - along
    )
    wanted *= plain.norm() / wanted.norm()
    # the root mean square that all are brought to counts the dead one too
    assert (ours - wanted * ours.norm() / wanted.norm()).norm() < 0.01 * wanted.norm()
    assert 0.9 < ours.norm() / plain.norm() <= 1.005
    assert not ours.select(1 - along, 0).any()


def test_a_neuron_that_fades_is_not_raised_to_the_others() -> None:
    u = torch.ones(1, 4, 8).bfloat16()
    u[:, :, 0], u[:, :, 1] = 1e-4, 0.25
    muon._normalize(u)
    lengths = u[0].float().norm(dim=0)
    assert torch.allclose(lengths[1:], lengths[1].expand(7), rtol=0.01)
    assert lengths[0] == pytest.approx(8 * 2e-4, rel=0.01)


def test_threads_share_the_matrices_and_change_nothing() -> None:
    sizes = [(520, 520), (520, 1100), (40, 40), (40, 40), (40, 40), (24, 80), (80, 24)]
    found, before = list[list[Tensor]](), torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        draw = torch.Generator().manual_seed(1)
        params = [torch.nn.Parameter(torch.randn(size, generator=draw)) for size in sizes]
        for p in params[:-1]:  # the last one has no gradient
            p.grad = torch.randn(p.shape, generator=draw)
        optimizer = Muon([{"params": params, "lr": 0.02}], momentum=0.95, normalize=True)
        optimizer.step()
        optimizer.step()
        assert torch.get_num_threads() == threads
        found.append([p.detach() for p in params])
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
