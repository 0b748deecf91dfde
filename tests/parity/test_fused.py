"""Written-out forward and backward passes against torch's own."""

import shutil
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny_models import SHAPES, random_decoder, random_tokens
from wellfit.model import fused

EPS = 1e-6


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _both(
    ours: Callable[..., Tensor], theirs: Callable[..., Tensor], shapes: list[tuple[int, ...]]
) -> list[tuple[Tensor, Tensor]]:
    """Outputs and gradients of the two on the same input, in pairs."""
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=draw) for shape in shapes]
    results = []
    for f in (ours, theirs):
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = f(*leaves)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
        (y * weight).sum().backward()
        results.append([y.detach(), *(x.grad for x in leaves)])
    return list(zip(*results, strict=True))


ANGLES = torch.rand(7, 3, generator=torch.Generator().manual_seed(4))


def _turned(x: Tensor) -> Tensor:
    """Pairs as complex numbers, times those of length 1 that have the angles."""
    pairs = torch.complex(*x.chunk(2, -1)) * torch.polar(torch.ones_like(ANGLES), ANGLES)
    return torch.cat((pairs.real, pairs.imag), -1)


def _rotate(x: Tensor) -> Tensor:
    cos, sin = ANGLES.cos(), ANGLES.sin()
    return fused.rotate(x, torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))


CASES = {
    "attention": (fused.causal_attention, _causal, [(2, 3, 7, 4)] * 3),
    "attention of one": (fused.causal_attention, _causal, [(1, 1, 1, 8)] * 3),
    "rms": (
        lambda x: fused.rms_norm(x, EPS),
        lambda x: F.rms_norm(x, (x.shape[-1],), None, EPS),
        [(3, 5, 16)],
    ),
    "rotation": (_rotate, _turned, [(2, 3, 7, 6)]),
    "relu squared": (fused.relu_squared, lambda x: F.relu(x).square(), [(4, 33)]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fused_part_equals_torch_forward_and_backward(case: str) -> None:
    for a, b in _both(*CASES[case]):
        # float32 rounding of sums taken in another order
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_relu_squared_agrees_with_finite_differences() -> None:
    x = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(fused.relu_squared, (x.requires_grad_(),))


def test_a_row_of_zeros_is_normalised_to_zeros() -> None:
    assert torch.equal(fused.rms_norm(torch.zeros(2, 4), EPS), torch.zeros(2, 4))


def test_in_bfloat16_a_norm_is_rounded_and_nothing_worse() -> None:
    x = torch.randn(40, 768, generator=torch.Generator().manual_seed(5)).bfloat16()
    g = torch.randn(40, 768, generator=torch.Generator().manual_seed(6)).bfloat16()
    results = []
    for dtype in (torch.bfloat16, torch.float64):
        leaf = x.to(dtype, copy=True).requires_grad_()
        y = fused.rms_norm(leaf, EPS)
        y.backward(g.to(dtype))
        results.append((y.detach().double(), leaf.grad.double()))
    for found, wanted in zip(*results, strict=True):
        # the norm, its inverse and what it multiplies are rounded to 8 bits, and backward
        # what is taken away from g, which is up to a fourth
        torch.testing.assert_close(found, wanted, rtol=3 * 2**-8, atol=2**-8 / 4)


@pytest.mark.parametrize("rows", [3, 200])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_without_gradients_is_torchs(rows: int, bias: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    x, weight = torch.randn(2, rows, 48, generator=draw), torch.randn(80, 48, generator=draw)
    added = torch.randn(80, generator=draw) if bias else None
    wanted = F.linear(x.double(), weight.double(), None if added is None else added.double())
    for way in (torch.no_grad, torch.inference_mode):
        with way():
            torch.testing.assert_close(
                fused.linear(x, weight, added).double(), wanted, rtol=1e-5, atol=1e-5
            )


def test_a_product_with_gradients_has_them() -> None:
    weight = torch.randn(8, 4, requires_grad=True)
    fused.linear(torch.ones(100, 4), weight, None).sum().backward()
    assert weight.grad is not None and weight.grad.eq(100).all()


def _biased() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(size, generator=draw) for size in [(2, 200, 48), (80, 48), (80,)]]
    return [x.bfloat16().requires_grad_() for x in inputs]


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 in this processor"
)
def test_a_product_with_a_bias_in_bfloat16_is_torchs_to_the_bit() -> None:
    results = []
    for way in (fused.linear, F.linear):
        leaves = _biased()
        y = way(*leaves)
        y.backward(torch.ones_like(y))
        results.append([y, *(x.grad for x in leaves)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    # and it did go the other way
    assert type(fused.linear(*leaves).grad_fn) is not type(F.linear(*leaves).grad_fn)


def test_only_what_learns_gets_a_gradient() -> None:
    x, weight, bias = _biased()
    fused.linear(x, weight.detach(), bias.detach()).sum().backward()
    assert x.grad is not None
    assert weight.grad is None and bias.grad is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_products_can_be_compiled_with_gradients_and_without() -> None:
    compiled = torch.compile(fused.linear)
    leaves = _biased()
    y = compiled(*leaves)
    # the bias is added to what was rounded: one rounding of bfloat16 more
    torch.testing.assert_close(y, F.linear(*leaves), rtol=2**-7, atol=2**-7)
    y.sum().backward()
    assert leaves[2].grad is not None and leaves[2].grad.eq(400).all()
    x, weight, bias = (leaf.detach().float() for leaf in leaves)
    with torch.no_grad():
        for added in (None, bias):
            wanted = F.linear(x, weight, added)
            torch.testing.assert_close(compiled(x, weight, added), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_gelu_is_torchs_and_is_not_computed_again_backward(dtype: torch.dtype) -> None:
    # and outliers, as published models have them: there the slope is 0 or 1
    far = torch.tensor([10.0, 30.0, 100.0, 1000.0])
    x = torch.cat((torch.linspace(-6, 6, 4088), far, -far)).to(dtype)
    weight = torch.linspace(-1, 1, 4096, dtype=dtype)
    results = []
    # the option is that of training
    options = {"cpp.enable_floating_point_contract_flag": "fast"}
    for f in (torch.compile(_twice, options=options), _twice):
        leaf = x.clone().requires_grad_()
        y = f(leaf)
        y.backward(weight)
        results.append([y.detach(), leaf.grad])
    # one rounding of bfloat16 more, of the slope
    rtol, atol = {torch.float32: (1e-5, 1e-6), torch.bfloat16: (2**-7, 2**-7)}[dtype]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
    from torch._inductor.utils import run_fw_bw_and_get_code

    torch.compiler.reset()
    codes = run_fw_bw_and_get_code(lambda: torch.compile(_twice)(x.clone().requires_grad_()))[1]
    assert ["0.0447" in code for code in codes] == [True, False]


def test_the_rational_tanh_is_as_close_as_it_says() -> None:
    x = torch.linspace(-8.46, 8.46, 1 << 16)  # what GELU asks it for
    assert (fused._tanh(x).double() - x.double().tanh()).abs().max() < 4e-7


def _twice(x: Tensor) -> Tensor:
    return fused.gelu(2 * x)


@pytest.mark.parametrize("several", [False, True], ids=["one text", "several in a row"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_decoder_says_the_same_whether_it_learns_or_not(shape: str, several: bool) -> None:
    # attention and squared ReLU go other ways where no gradient is wanted
    decoder, tokens = random_decoder(SHAPES[shape]), random_tokens(3, 24)
    segments = torch.arange(24).div(7, rounding_mode="floor").expand(3, 24) if several else None
    with torch.inference_mode():
        looked = decoder(tokens, segments_BT=segments).clone()
    learned = decoder(tokens, segments_BT=segments).detach()
    torch.testing.assert_close(looked, learned, rtol=1e-5, atol=1e-5)


def test_attention_keeps_its_weights_only_to_learn_from_them() -> None:
    q = torch.randn(2, 3, 8, 4)
    assert fused.pays(q, grouped=False)
    with torch.no_grad():
        assert not fused.pays(q, grouped=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.parametrize("rows", [8, 3])  # whose tokens come to a multiple of 64, or do not
@pytest.mark.parametrize("shape", ["gpt2", "gpt2, no biases"])
def test_a_compiled_decoder_is_as_exact_as_without(shape: str, rows: int) -> None:
    # where embedding, GELU, attention and layer norm are written out
    exact, decoder = (random_decoder(SHAPES[shape]) for _ in range(2))
    exact.double().compute = torch.float64
    tokens, results = random_tokens(rows, 24), []
    for model, f in ((exact, exact), (decoder, decoder), (decoder, torch.compile(decoder))):
        model.zero_grad()
        logits = f(tokens)
        F.cross_entropy(logits.flatten(0, 1), tokens.roll(1, 1).flatten()).backward()
        results.append([logits.detach(), *(p.grad for p in model.parameters())])
    for wanted, plain, compiled in zip(*results, strict=True):
        roundings = [(found - wanted).abs().max() for found in (plain, compiled)]
        # keys' biases have no gradient but the rounding of what adds up to nothing
        assert roundings[1] <= 2 * roundings[0] + 1e-7, (wanted.shape, roundings)


WAYS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "attention": CASES["attention"],
    "norm": (
        lambda x, w, b: fused.layer_norm(x, w, b, EPS),
        lambda x, w, b: F.layer_norm(x, (x.shape[-1],), w, b, EPS),
        [(4, 32, 40), (40,), (40,)],
    ),
    "norm of few, no bias": (
        lambda x, w: fused.layer_norm(x, w, None, EPS),
        lambda x, w: F.layer_norm(x, (x.shape[-1],), w, None, EPS),
        [(3, 5, 16), (16,)],
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_out_for_a_compiler_equals_torch(way: str) -> None:
    ours, theirs, sizes = WAYS[way]
    for a, b in _both(torch.compile(ours), theirs, sizes):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 in this processor"
)
@pytest.mark.parametrize(("n_in", "n_out"), [(48, 80), (80, 48), (48, 48)])
def test_the_gradient_of_weights_is_torchs_whichever_side_is_wider(n_in: int, n_out: int) -> None:
    draw, found = torch.Generator().manual_seed(1), list[Tensor]()
    x = torch.randn(200, n_in, generator=draw).bfloat16()
    weight = torch.randn(n_out, n_in, generator=draw).bfloat16()
    g = torch.randn(200, n_out, generator=draw).bfloat16()
    for way in (fused.linear, F.linear):
        leaf = weight.clone().requires_grad_()
        way(x, leaf, torch.zeros(n_out).bfloat16()).backward(g)
        assert leaf.grad is not None
        found.append(leaf.grad)
    exact = g.double().mT @ x.double()
    for dw in found:  # each sum of products is rounded once
        torch.testing.assert_close(dw.double(), exact, rtol=2**-8, atol=1e-4)
