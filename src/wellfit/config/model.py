"""The model: its shape, or where a published one lies, and what of it is trained."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from wellfit.config.fields import (
    Auto,
    Count,
    CountOrZero,
    Fraction,
    Name,
    Positive,
    Section,
    Switch,
    Texts,
    Wanted,
    conflict,
)


class Decoder(Section):
    """A decoder trained from random weights; depth is the one dial, the rest follows from it.

    Fields that are null do what the family does.  With `family: auto` the first of nanochat,
    llama, qwen3 and gpt2 that allows every field that was set is taken.
    """

    kind: Literal["decoder"] = "decoder"
    family: Literal["auto", "gpt2", "llama", "qwen3", "nanochat"] = "auto"
    """The published architecture, which other tools can load without our code."""
    depth: Count = 4
    """Number of blocks, the one dial of size."""
    width: Annotated[Count | Auto, Field(examples=[256])] = "auto"
    """Size of the vector that stands for a token between blocks."""
    heads: Annotated[Count | Auto, Field(examples=[4])] = "auto"
    """Number of attention heads; they share the width, so width must divide by heads."""
    kv_heads: Annotated[Count | Auto, Field(examples=[2])] = "auto"
    """Number of key and value heads, at most heads; fewer saves memory when sampling."""
    context: Annotated[Count | Auto, Field(examples=[256])] = "auto"
    """How far back the model can look.  Units: tokens."""
    mlp_width: Annotated[Count | Auto, Field(examples=[1024])] = "auto"
    """Size of the hidden layer in each block."""
    norm: Literal["rms", "layer"] | None = None
    """How vectors are normalised: root mean square, or layer norm; null as the family does."""
    position: Literal["rope", "learned"] | None = None
    """How order is told: rotary, or a learned vector per position; null as the family does."""
    mlp: Literal["swiglu", "gelu", "relu2"] | None = None
    """The nonlinearity of each block: SwiGLU, GELU or ReLU squared; null as the family does."""
    qk_norm: Switch | None = None
    """Whether queries and keys are normalised; null as the family does."""
    bias: Switch | None = None
    """Whether linear layers (and layer norms) add a bias; null as the family does."""
    head: Literal["tied", "untied"] | None = None
    """Whether the output layer shares the weights of the input; null as the family does."""
    softcap: Annotated[
        Positive | Auto | None, Wanted("a number above 0, auto, or null for none", "15.0")
    ] = "auto"
    """Bound on the logits, by cap * tanh(logits / cap); null for none, auto as the family does."""
    rope_theta: Annotated[Positive, Field(examples=[10000.0])] = 10_000.0
    """Base of the rotary wavelengths.

    Source  RoFormer, arXiv:2104.09864.
    """

    @model_validator(mode="after")
    def _heads_fit(self) -> Decoder:
        width, heads, kv_heads = self.width, self.heads, self.kv_heads
        if isinstance(width, int) and isinstance(heads, int) and width % heads:
            # heads is usually the number one means, so the widths on either side
            near = [n for n in (width // heads * heads, (width // heads + 1) * heads) if n]
            text = f"write model.width: {' or '.join(map(str, near))}, or another model.heads"
            raise conflict("heads", f"width {width} does not divide into {heads} heads; {text}")
        if isinstance(heads, int) and isinstance(kv_heads, int) and heads % kv_heads:
            fit = [str(d) for d in range(1, min(heads, 4096) + 1) if heads % d == 0]
            text = f"{heads} heads do not divide among {kv_heads} key and value heads"
            raise conflict("kv_heads", f"{text}; write one of {', '.join(fit[:12])}")
        return self


class Lora(Section):
    """Small matrices beside frozen weights: all that is trained (LoRA, arXiv:2106.09685)."""

    rank: Annotated[Count, Field(examples=[16])] = 16
    """Inner size of the small matrices."""
    alpha: Annotated[Positive, Field(examples=[32.0])] = 32.0
    """Their product is multiplied by alpha / rank."""
    dropout: Annotated[Fraction, Field(examples=[0.05])] = 0.0
    """Share of the small matrices' input set to zero in training."""
    targets: Annotated[Texts, Field(examples=[["q", "v"]])] = "all"
    """The layers beside which they stand: all, attention, mlp, or some of q k v o gate up down."""
    embeddings: Switch = False
    """Whether embedding and output layer are trained too, whole."""
    rslora: Switch = False
    """Whether to multiply by alpha / sqrt(rank) instead (arXiv:2312.03732)."""
    dora: Switch = False
    """Whether lengths and directions of the weights are trained apart (arXiv:2402.09353)."""


class Pretrained(Section):
    """A published model, to go on training: our decoder for its family, or an encoder."""

    kind: Literal["pretrained"] = "pretrained"
    path: Annotated[Name, Field(examples=["models/SmolLM2-135M"])]
    """A folder with config.json and safetensors, or the id of a model on the Hugging Face Hub."""
    context: Annotated[Count | Auto, Field(examples=[1024])] = "auto"
    """How far back it looks in training, at most what it was made for.  Units: tokens.

    auto is that, or 1024 if that is less.
    """
    lora: Lora | None = None
    """What to train beside frozen weights; null trains every weight."""


class Ngrams(Section):
    """A linear model on n-grams of tokens and words, weighed by TF-IDF, for tasks with labels.

    Trained in seconds, and hard to beat by other models from random weights where texts are short
    and few.  Without an optim section it is trained by sgd; dropout (one number) is of n-grams.
    """

    kind: Literal["ngrams"] = "ngrams"
    orders: Annotated[Count, Field(examples=[4])] = 4
    """Tokens of the longest n-grams; all shorter ones count too."""
    words: Annotated[CountOrZero, Field(examples=[2])] = 0
    """Words of the longest runs of whole words; 0 is none.

    A word begins with a token that begins with anything but a letter or digit, such as a space.
    Worth trying, like pairs, where texts are questions.
    """
    pairs: Annotated[CountOrZero, Field(examples=[2])] = 0
    """How many of a text's first words are paired with every word after them; 0 is none."""
    buckets: Annotated[Count, Field(examples=[262144])] = 262_144
    """Rows for all n-grams but single tokens, which share them by a hash."""
    context: Annotated[Count, Field(examples=[1024])] = 1024
    """The longest text; data.long says what becomes of a longer one.  Units: tokens."""


Model: TypeAlias = Annotated[Decoder | Ngrams | Pretrained, Field(discriminator="kind")]
