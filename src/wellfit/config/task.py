"""What the model is for: which part of an example is learned, and by which loss."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from wellfit.config.fields import (
    Fraction,
    Name,
    NotNegative,
    Positive,
    Section,
    Switch,
    Texts,
    Wanted,
    as_tuple,
    conflict,
)


class TokenLoss(Section):
    """Cross-entropy of each learned token."""

    label_smoothing: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of each target's weight that is spread evenly over the vocabulary; in training only.

    Source  Inception-v3, arXiv:1512.00567, sec. 7.
    """
    z_loss: Annotated[NotNegative, Field(examples=[1e-4])] = 0.0
    """Weight of the squared log of the softmax normaliser; in training only.

    Source  PaLM, arXiv:2204.02311, sec. 5.
    """


class LanguageModel(Section):
    """Predict each next token of plain text."""

    kind: Literal["language-model"] = "language-model"
    loss: TokenLoss = TokenLoss()
    """What is minimised."""


class Complete(Section):
    """Write the completion of a prompt: translation, summaries, answers.

    A completion ends in the end-of-text token, which is learned like the rest of it.
    """

    kind: Literal["complete"] = "complete"
    prompt: Annotated[Name, Field(examples=["{question}\n"])] = "prompt"
    """What is given: a column, or a text in which {column} stands for the value of one."""
    completion: Annotated[Name, Field(examples=["answer"])] = "completion"
    """What is to be written: a column, or a text with {column} in it."""
    learn: Literal["completion", "all"] = "completion"
    """Which tokens count in the loss: those of the completion, or also those of the prompt."""
    loss: TokenLoss = TokenLoss()
    """What is minimised."""


class Chat(Section):
    """Answer in a conversation; the turns of the assistant are learned, each with its end."""

    kind: Literal["chat"] = "chat"
    messages: Annotated[Name, Field(examples=["conversations"])] = "auto"
    """The key that holds the turns; auto finds OpenAI messages, ShareGPT and Alpaca records."""
    template: Annotated[Name, Field(examples=["chatml"])] = "auto"
    """How turns become text: auto is the tokenizer's own template, or chatml where it has none.

    Else chatml, or the path of a Jinja file.
    """
    learn: Literal["assistant", "last", "all"] = "assistant"
    """Which tokens count in the loss: every turn of the assistant, its last one, or everything."""
    loss: TokenLoss = TokenLoss()
    """What is minimised."""


class ClassLoss(Section):
    """What the losses of classification have in common."""

    kind: str
    class_weights: Annotated[
        Literal["balanced"] | Annotated[tuple[Positive, ...], BeforeValidator(as_tuple)] | None,
        Wanted("balanced, a list of numbers above 0, or null", "balanced"),
    ] = None
    """Weight of each class in training, in the order of the labels; null for 1 each.

    balanced weighs each class by the inverse of its share of the train split.
    """


class CrossEntropy(ClassLoss):
    """Cross-entropy; with several labels a text, the binary one of each label."""

    kind: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: Annotated[Fraction, Field(examples=[0.1])] = 0.0
    """Share of each target's weight that is spread evenly over the classes; in training only.

    Source  Inception-v3, arXiv:1512.00567, sec. 7.
    """


class Focal(ClassLoss):
    """Cross-entropy that turns away from what is already right (arXiv:1708.02002)."""

    kind: Literal["focal"] = "focal"
    gamma: Annotated[NotNegative, Field(examples=[2.0])] = 2.0
    """How strongly: each loss is multiplied by (1 - p) to this power; 0 is cross-entropy."""


Pool: TypeAlias = Literal["auto", "last", "mean"]


class Classify(Section):
    """Give a text its label, or labels."""

    kind: Literal["classify"] = "classify"
    label: Annotated[Name, Field(examples=["sentiment"])] = "label"
    """The column that holds the label; the text is in the column that data.text names."""
    several: Switch = False
    """Whether a text can have several labels, or none; the column then holds a list."""
    pool: Pool = "auto"
    """What the label is read from: the last token's vector, or the mean over the text.

    auto is the mean for a model trained from random weights, else what its family does.
    """
    loss: Annotated[CrossEntropy | Focal, Field(discriminator="kind")] = CrossEntropy()
    """What is minimised."""


class Squared(Section):
    """The squared error (MSE): predicts the mean."""

    kind: Literal["mse"] = "mse"


class Absolute(Section):
    """The absolute error (MAE): predicts the median."""

    kind: Literal["mae"] = "mae"


class Huber(Section):
    """Squared for small errors, absolute for large ones (Huber 1964)."""

    kind: Literal["huber"] = "huber"
    delta: Annotated[Positive, Field(examples=[1.0])] = 1.0
    """Where the one becomes the other.  Units: standard deviations of the target in train."""


class Quantile(Section):
    """The pinball loss: predicts a quantile (Koenker and Bassett 1978)."""

    kind: Literal["quantile"] = "quantile"
    quantile: Annotated[float, Field(gt=0, lt=1), Wanted("a number between 0 and 1", "0.9")] = 0.5
    """Which one: 0.9 is passed by a tenth of the targets."""


class Regress(Section):
    """Give a text its number, or numbers."""

    kind: Literal["regress"] = "regress"
    targets: Annotated[Texts, Field(examples=["score"])] = "label"
    """The column that holds the number, or a list of columns."""
    pool: Pool = "auto"
    """What the numbers are read from; see task.pool of classify."""
    loss: Annotated[Squared | Absolute | Huber | Quantile, Field(discriminator="kind")] = Squared()
    """What is minimised, on targets of mean 0 and deviation 1 in train."""

    @model_validator(mode="after")
    def _differ(self) -> Regress:
        names = (self.targets,) if isinstance(self.targets, str) else self.targets
        if len(set(names)) < len(names):
            raise conflict("targets", "a column stands twice; write each one once")
        return self


Task: TypeAlias = Annotated[
    LanguageModel | Complete | Chat | Classify | Regress, Field(discriminator="kind")
]
