"""What is asked of a GPU, by a description of one: no GPU is needed to know it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wellfit.config import load_dict
from wellfit.data import prepare
from wellfit.errors import ConfigError
from wellfit.model import Shape, explain_shape
from wellfit.plan import Decision, Machine, decide_parts, gpu, laws

GB = 10**9
H200 = Machine(
    cpu="a processor", cores=3, cpu_flags=(), memory_bytes=64 * GB, gpu="NVIDIA H200",
    gpu_memory_bytes=150 * GB, system="Linux", python="3.12", torch="2.13", gpu_capability=(9, 0),
)  # fmt: skip
A100 = replace(H200, gpu="NVIDIA A100-SXM4-80GB", gpu_capability=(8, 0))
NO_GPU = replace(H200, gpu=None, gpu_memory_bytes=0, gpu_capability=())
GPT2 = {"family": "gpt2", "depth": 12, "width": 768, "heads": 12, "context": 1024}


def _recipe(**keys: object):
    base = {"data": {"path": "x"}, "train": {"budget": "1 step"}, "tokenizer": {"kind": "char"}}
    return load_dict({**base, **keys}).recipe


def _gpt2(vocab: int = 50257) -> Shape:
    return explain_shape(_recipe(model=GPT2).model, vocab=vocab).shape


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce GTX 1080", None),
        (None, None),
    ],
)
def test_only_a_known_gpu_has_a_peak(name: str | None, tera: float | None) -> None:
    found = gpu.peak_flops_per_s(name)
    # never a guess: a wrong peak is a wrong utilisation
    assert (found is None) if tera is None else found == pytest.approx(tera * 1e12)


def test_gpt2_costs_what_nanogpt_counts() -> None:
    # 6 * 123.5M + 12 * 12 * 768 * 1024: nanoGPT's estimate_mfu of GPT-2 at context 1024
    assert gpu.flops_per_token(_recipe(model=GPT2), _gpt2()) == pytest.approx(0.855e9, rel=2e-3)


@pytest.mark.parametrize(
    "keys",
    [
        {"task": {"kind": "complete", "prompt": "a", "completion": "b"}},
        {"task": {"kind": "classify", "label": "a"}},
        {"model": {"kind": "pretrained", "path": "x", "lora": {"rank": 2}}, "tokenizer": {}},
    ],
)
def test_no_count_where_a_target_is_not_a_token_trained_whole(keys: dict[str, object]) -> None:
    assert gpu.flops_per_token(_recipe(**keys), _gpt2()) is None


def test_cudnn_comes_first_on_hopper_alone_and_never_where_bits_count() -> None:
    first = {
        capability: gpu.attention_kernels(capability, deterministic=False)[0]
        for capability in [(8, 0), (8, 9), (9, 0), (10, 0)]
    }
    assert [name.split("_")[0] for name in first.values()] == ["FLASH", "FLASH", "CUDNN", "CUDNN"]
    for capability in first:
        exact = gpu.attention_kernels(capability, deterministic=True)
        # there is always a kernel that takes anything
        assert "CUDNN_ATTENTION" not in exact and exact[-1] == "MATH"


PROBLEMS = [
    ({"precision": "fp8"}, H200, "cuda", None),
    ({"precision": "fp8"}, A100, "cuda", r"8\.9 or more .* here is 8\.0; write train.precision: b"),
    (
        {"precision": "fp8"},
        NO_GPU,
        "cpu",
        r"8\.9 or more .* here is none; write train.precision: b",
    ),
    ({"precision": "fp8"}, H200, "cpu", r"8\.9 or more"),
    ({"precision": "fp8", "compile": False}, H200, "cuda", r"slow unless compiled; write .*bf16"),
    ({"precision": "fp8", "deterministic": True}, H200, "cuda", "slow unless compiled"),
    ({"compile": "cuda-graphs"}, NO_GPU, "cpu", r"train\.compile: .* GPU; write true"),
    ({"compile": "cuda-graphs"}, H200, "cuda", None),
    ({"compile": True, "deterministic": True}, H200, "cuda", r"write train\.compile: false"),
    ({"compile": True, "deterministic": True}, NO_GPU, "cpu", None),
    ({"compile": "auto", "deterministic": True}, H200, "cuda", None),
]


@pytest.mark.parametrize(("train", "machine", "device", "said"), PROBLEMS)
def test_what_a_device_cannot_do_is_said_with_what_to_write(train, machine, device, said) -> None:
    asked = _recipe(train={"budget": "1 step", **train})
    found = gpu.kernel_problems(asked, _gpt2(), machine, device)
    if said is None:
        assert found == []
    else:
        assert len(found) == 1
        with pytest.raises(ConfigError, match=said):
            raise ConfigError(found)


def test_fp8_is_for_decoders_trained_whole() -> None:
    lora = {"kind": "pretrained", "path": "x", "lora": {"rank": 2}}
    asked = _recipe(model=lora, tokenizer={}, train={"budget": "1 step", "precision": "fp8"})
    for recipe, shape in [
        (asked, _gpt2()),
        (
            _recipe(train={"budget": "1 step", "precision": "fp8"}),
            replace(_gpt2(), family="encoder"),
        ),
    ]:
        (problem,) = gpu.kernel_problems(recipe, shape, H200, "cuda")
        assert "decoders trained whole; write train.precision: bf16" in problem


def test_only_a_decoder_computes_its_blocks_again() -> None:
    asked = _recipe(train={"budget": "1 step", "checkpoint_activations": True})
    assert gpu.kernel_problems(asked, _gpt2(), NO_GPU, "cpu") == []
    for family in ("encoder", "ngrams"):
        (problem,) = gpu.kernel_problems(asked, replace(_gpt2(), family=family), NO_GPU, "cpu")
        assert problem.startswith("train.checkpoint_activations:") and "write false" in problem


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{i * i} squared is {i**4}.\n" for i in range(3000)))
    return path


def _decided(text: Path, machine: Machine, **train: object) -> Decision:
    asked = _recipe(
        data={"path": str(text), "split": {"kind": "tail", "val": "10%"}},
        model={"depth": 2, "context": 64},
        train={"budget": "100 steps", "precision": "bf16", **train},
    )
    return decide_parts(asked, prepare(asked.data, asked.tokenizer), machine)[0]


def test_on_a_gpu_the_run_says_what_its_sums_are_worth(text: Path) -> None:
    said = {line.key: line for line in _decided(text, H200).explained}
    # a resumed run may differ in the last bits, and the record has to say so
    assert "equal up to rounding" in said["train.deterministic"].reason
    exact = _decided(text, H200, deterministic=True)
    assert "train.deterministic" not in {line.key for line in exact.explained}
    # what is compiled is chosen by measuring it, each time anew
    assert exact.recipe.train.compile is False
    assert _decided(text, H200).recipe.train.compile == "auto"
    assert "train.deterministic" not in {line.key for line in _decided(text, NO_GPU).explained}


def test_fp8_is_compiled_and_never_chosen_by_itself(text: Path) -> None:
    assert _decided(text, H200, precision="fp8").recipe.train.compile is True
    with pytest.raises(ConfigError, match="write train.precision: bf16"):
        _decided(text, NO_GPU, precision="fp8")


def test_activations_are_checkpointed_where_one_sequence_does_not_fit(text: Path) -> None:
    assert _decided(text, H200).recipe.train.checkpoint_activations is False
    shape = _gpt2()
    whole = laws.activation_bytes(shape, checkpointed=False)
    kept = laws.activation_bytes(shape, checkpointed=True)
    assert kept < whole
    # half of the memory is for activations
    assert laws.checkpoint_activations(shape, memory_bytes=2 * whole).value is False
    assert laws.checkpoint_activations(shape, memory_bytes=2 * whole - 2).value is True
    # n-grams have no blocks to compute again
    ngrams = replace(shape, family="ngrams")
    assert laws.checkpoint_activations(ngrams, memory_bytes=1).value is False
    # what is not kept makes room for more sequences at once
    sizes = [
        laws.micro_batch(shape, 64, memory_bytes=20 * whole, checkpointed=asked).value
        for asked in (False, True)
    ]
    assert sizes[0] == 10 < sizes[1]


def test_moments_in_bf16_need_less_memory() -> None:
    shape = _gpt2()
    room = 14 * shape.matmul_parameters  # between 12 and 16 bytes for each of its weights
    lean = _recipe(optim={"kind": "adamw", "state": "bf16"})
    laws.check_memory(lean, shape, memory_bytes=room)
    with pytest.raises(ConfigError, match="Lower model.depth"):
        laws.check_memory(_recipe(optim={"kind": "adamw"}), shape, memory_bytes=room)
