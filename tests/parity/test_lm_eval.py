"""The lm-eval harness gives an exported model the scores that we give it, by its own tasks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_models import SHAPES, random_decoder
from wellfit.evaluate.likelihood import (
    Question,
    Reader,
    last_words,
    minimal_pairs,
    multiple_choice,
    perplexity,
)
from wellfit.model import write_published
from wellfit.tokenizer import bpe_tokenizer

# what the harness and the libraries below it warn of is not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore")

WORDS = "the a cat dog sat ran on under mat tree and it was big small not".split()


def sentence(rng: np.random.Generator, n: int) -> str:
    return " ".join(rng.choice(WORDS, n)).capitalize() + "."


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reader]:
    """A tiny model in published layout, and the same as we read it."""
    rng = np.random.default_rng(1)
    text = [sentence(rng, 12) for _ in range(300)]
    tokenizer = bpe_tokenizer(text, vocab=300, separate=True)
    shape = dataclasses.replace(SHAPES["llama"], vocab=tokenizer.vocab_size, context=32)
    decoder = random_decoder(shape)
    folder = tmp_path_factory.mktemp("exported") / "model"
    write_published(folder, decoder, tokenizer)
    return folder, Reader(decoder, tokenizer, context=32)


def by_lm_eval(
    folder: Path, task: str, rows: list[dict[str, Any]], **other: Any
) -> dict[str, float]:
    """The harness's own task, with its data taken from a file of ours."""
    lm_eval = pytest.importorskip("lm_eval")
    yaml = pytest.importorskip("yaml")
    data = folder.parent / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = Path(lm_eval.__file__).parent / "tasks"
    name = {"blimp": "blimp/_template_yaml", "lambada": "lambada/lambada_openai.yaml"}
    found = tasks / name.get(task, f"{task}/{task}.yaml")
    config = yaml.load(found.read_text().replace("!function", ""), Loader=yaml.SafeLoader)
    for key in [key for key in config if key.endswith("_split") or key == "tag"]:
        del config[key]
    local = {"task": f"local_{task}", "dataset_path": "json", "test_split": "train"}
    files = {"data_files": str(data), "cache_dir": str(folder.parent / "cache")}
    config |= {**local, "dataset_name": None, "dataset_kwargs": files, **other}
    result = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=[config],
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
    )["results"][f"local_{task}"]
    return {key.removesuffix(",none"): value for key, value in result.items()}


def test_lambada(exported) -> None:
    folder, reader = exported
    rng = np.random.default_rng(2)
    # some longer than the context of 32 tokens
    texts = [sentence(rng, n)[:-1] for n in rng.integers(3, 40, 60)]
    theirs = by_lm_eval(folder, "lambada", [{"text": text} for text in texts])
    ours = last_words(reader, texts)
    assert ours["accuracy"].value == theirs["acc"]
    assert ours["perplexity"].value == pytest.approx(theirs["perplexity"], rel=1e-5)


def test_blimp(exported) -> None:
    folder, reader = exported
    rng = np.random.default_rng(3)
    pairs = [(sentence(rng, n), sentence(rng, n)) for n in rng.integers(3, 9, 80)]
    rows = [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs]
    theirs = by_lm_eval(folder, "blimp", rows)
    ours = minimal_pairs(reader, pairs, ["some"] * 40 + ["other"] * 40)
    assert ours["accuracy"].value == theirs["acc"]
    groups = [ours[f"accuracy_{name}"].value for name in ("some", "other")]
    assert np.mean(groups) == pytest.approx(theirs["acc"])


def test_hellaswag(exported) -> None:
    folder, reader = exported
    rng = np.random.default_rng(4)
    questions = [
        Question(sentence(rng, n) + " It", [sentence(rng, m) for m in rng.integers(1, 9, 4)], n % 4)
        for n in rng.integers(3, 30, 60)
    ]
    rows = [{"query": q.context, "choices": q.endings, "gold": int(q.answer)} for q in questions]
    # the files at hand are preprocessed already
    plain = {"process_docs": None, "doc_to_target": "{{gold}}"}
    theirs = by_lm_eval(folder, "hellaswag", rows, **plain)
    ours = multiple_choice(reader, questions)
    assert ours["accuracy"].value == theirs["acc"]
    assert ours["accuracy_norm"].value == theirs["acc_norm"]


def test_wikitext(exported) -> None:
    folder, reader = exported
    rng = np.random.default_rng(5)
    pages = [" ".join(sentence(rng, 9) for _ in range(n)) for n in (1, 2, 7, 12)]
    config = {
        "doc_to_text": "",
        "doc_to_target": "{{page}}",
        "process_results": None,
        "should_decontaminate": False,
    }
    theirs = by_lm_eval(folder, "wikitext", [{"page": page} for page in pages], **config)
    # the harness reads windows side by side, the last one as long as the context allows
    ours = perplexity(reader, pages, stride=32)
    for name in ("word_perplexity", "byte_perplexity"):
        assert np.log(ours[name].value) == pytest.approx(np.log(theirs[name]), rel=0.02)
