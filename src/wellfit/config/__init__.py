"""The recipe: frozen sections, and the functions that read, explain and write them."""

from wellfit.config.data import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    ColumnSplit,
    Data,
    FilesSplit,
    HashSplit,
    PretrainedTokenizer,
    Split,
    TailSplit,
    Tokenizer,
)
from wellfit.config.draft import draft
from wellfit.config.fields import Auto, Section, known
from wellfit.config.loader import (
    Explained,
    Loaded,
    explain,
    load_dict,
    load_recipe,
    load_text,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.model import Decoder, LanguageModel, Model, Task
from wellfit.config.optim import AdamW, Constant, Cosine, Linear, Muon, Optim, Schedule, Wsd
from wellfit.config.presets import Preset, presets
from wellfit.config.reading import Origin
from wellfit.config.recipe import Recipe
from wellfit.config.reference import json_schema, reference_page
from wellfit.config.train import Checkpoint, Evaluate, NormClip, Regularize, Sample, Stop, Train
from wellfit.config.writing import dump_commented, preset_text

__all__ = [
    "AdamW",
    "Auto",
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Checkpoint",
    "ColumnSplit",
    "Constant",
    "Cosine",
    "Data",
    "Decoder",
    "Evaluate",
    "Explained",
    "FilesSplit",
    "HashSplit",
    "LanguageModel",
    "Linear",
    "Loaded",
    "Model",
    "Muon",
    "NormClip",
    "Optim",
    "Origin",
    "Preset",
    "PretrainedTokenizer",
    "Recipe",
    "Regularize",
    "Sample",
    "Schedule",
    "Section",
    "Split",
    "Stop",
    "TailSplit",
    "Task",
    "Tokenizer",
    "Train",
    "Wsd",
    "draft",
    "dump_commented",
    "explain",
    "json_schema",
    "known",
    "load_dict",
    "load_recipe",
    "load_text",
    "preset_text",
    "presets",
    "recipe_from_dict",
    "reference_page",
    "to_dict",
]
