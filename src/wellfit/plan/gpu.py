"""What a GPU can do by what it says of itself: functions of its name and its generation.

A generation is CUDA's compute capability: 8.0 is A100, 8.9 Ada (L40S, RTX 40), 9.0 H100 and H200.
"""

from __future__ import annotations

from wellfit.config import LanguageModel, Pretrained, Recipe
from wellfit.model import Shape
from wellfit.plan.machine import Machine

FP8_FROM, _HOPPER = (8, 9), (9, 0)

# Dense bf16 FLOP/s by the makers' data sheets, for names as CUDA gives them, without "NVIDIA ".
# A part of a GPU (MIG) has another name, and so no peak.
_PEAKS = {
    **dict.fromkeys(("H100 80GB HBM3", "H200", "GH200 480GB"), 989.4e12),
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "L40S": 362e12,
    "L4": 121e12,
    **dict.fromkeys(("A100-SXM4-40GB", "A100-SXM4-80GB"), 312e12),
    **dict.fromkeys(("A100-PCIE-40GB", "A100 80GB PCIe"), 312e12),
}


def peak_flops_per_s(gpu: str | None) -> float | None:
    """The most bf16 FLOP/s that this GPU's maker states; None for any that is not in the table."""
    return _PEAKS.get((gpu or "").removeprefix("NVIDIA "))


def flops_per_token(recipe: Recipe, shape: Shape) -> float | None:
    """FLOPs of training on one token: 6 N + 12 L d T; None where tokens/s are not of all tokens.

    N are the weights that a token is multiplied with, L d T those of attention, counted in full
    although half of it is masked.  What checkpointing computes again is not counted.

    Source  PaLM, arXiv:2204.02311, appendix B.
    """
    if _has_lora(recipe) or not isinstance(recipe.task, LanguageModel):
        return None
    attention = shape.depth * shape.heads * shape.head_dim * shape.context
    return 6.0 * shape.matmul_parameters + 12.0 * attention


def attention_kernels(capability: tuple[int, ...], *, deterministic: bool) -> tuple[str, ...]:
    """Torch's attention kernels in the order to try them, by their names in ``SDPBackend``.

    On Hopper and later cuDNN's is about twice as fast as flash attention, on an A100 slower
    (pytorch#142132, transformers#48163).  Its backward pass adds in no fixed order.
    """
    others = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
    return others if deterministic or capability < _HOPPER else ("CUDNN_ATTENTION", *others)


def kernel_problems(recipe: Recipe, shape: Shape, machine: Machine, device: str) -> list[str]:
    """What the recipe asks of this device that it cannot do, or not together."""
    train, compile = recipe.train, recipe.train.compile
    on_gpu, fp8 = device == "cuda", train.precision == "fp8"
    exact, odd = on_gpu and train.deterministic, shape.family in ("encoder", "ngrams")
    able = on_gpu and machine.gpu_capability >= FP8_FROM
    here = ".".join(map(str, machine.gpu_capability)) or "none"
    needs, bf16 = "needs a GPU of capability 8.9 or more", "write train.precision: bf16"
    is_so = {
        "compile: cuda-graphs are of a GPU; write true": compile == "cuda-graphs" and not on_gpu,
        "deterministic: what is compiled is chosen by its speed at the moment; write "
        "train.compile: false": exact and compile not in (False, "auto"),
        "checkpoint_activations: only decoders can; write false, and a smaller micro_batch": odd
        and train.checkpoint_activations is True,
        f"precision: fp8 {needs} (L40S, H100, H200), and here is {here}; {bf16}": fp8 and not able,
        f"precision: fp8 is slow unless compiled; {bf16}": fp8 and (compile is False or exact),
        f"precision: fp8 is for decoders trained whole; {bf16}": fp8 and (_has_lora(recipe) or odd),
    }
    return [f"train.{problem}" for problem, so in is_so.items() if so]


def _has_lora(recipe: Recipe) -> bool:
    return isinstance(recipe.model, Pretrained) and recipe.model.lora is not None
