"""The recipe: frozen sections, and the functions that read, explain and write them."""

from wellfit.config.data import ColumnSplit, Data, FilesSplit, HashSplit, Split, TailSplit
from wellfit.config.draft import draft
from wellfit.config.evaluate import Checkpoint, Evaluate, Sample, Stop
from wellfit.config.explain import Explained, explain
from wellfit.config.fields import Auto, Section, known
from wellfit.config.loader import (
    Loaded,
    load_dict,
    load_recipe,
    load_text,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.model import Decoder, Model
from wellfit.config.optim import AdamW, Muon, Optim
from wellfit.config.presets import Preset, presets
from wellfit.config.reading import Origin
from wellfit.config.recipe import Recipe
from wellfit.config.reference import json_schema, reference_page
from wellfit.config.regularize import NormClip, Regularize
from wellfit.config.schedule import Constant, Cosine, Linear, Schedule, Wsd
from wellfit.config.task import LanguageModel, Task
from wellfit.config.tokenizer import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    PretrainedTokenizer,
    Tokenizer,
)
from wellfit.config.train import Train
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
