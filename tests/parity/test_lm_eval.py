"""The lm-eval harness gives an exported model the scores that `wellfit eval` gives it.

By its own tasks, on the same files; they skip themselves where lm-eval is not installed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from tests.tiny_models import SHAPES, random_decoder
from wellfit.model import write_published
from wellfit.tokenizer import bpe_tokenizer
from wellfit.train.score import score_benchmark, score_text

# what the harness and the libraries below it warn of is not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore")

WORDS = "the a cat dog sat ran on under mat tree and it was big small not".split()


def sentence(rng: np.random.Generator, n: int) -> str:
    return " ".join(rng.choice(WORDS, n)).capitalize() + "."


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in published layout."""
    rng = np.random.default_rng(1)
    text = [sentence(rng, 12) for _ in range(300)]
    tokenizer = bpe_tokenizer(text, vocab=300, separate=True)
    shape = dataclasses.replace(SHAPES["llama"], vocab=tokenizer.vocab_size, context=32)
    folder = tmp_path_factory.mktemp("exported") / "model"
    write_published(folder, random_decoder(shape), tokenizer)
    return folder


def by_lm_eval(
    folder: Path, task: str, rows: list[dict[str, Any]], **other: Any
) -> dict[str, float]:
    """The harness's own task, with its data taken from a file of ours."""
    lm_eval = pytest.importorskip("lm_eval")
    yaml = pytest.importorskip("yaml")
    data = written(folder, task, rows)
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


def written(folder: Path, task: str, rows: list[dict[str, Any]]) -> Path:
    data = folder.parent / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


def ours(folder: Path, task: str, rows: list[dict[str, Any]], name: str = "") -> dict[str, Any]:
    """What the command says of the same file."""
    return score_benchmark(folder, written(folder, task, rows), name or task)


def test_lambada(exported) -> None:
    folder = exported
    rng = np.random.default_rng(2)
    # some longer than the context of 32 tokens
    rows = [{"text": sentence(rng, n)[:-1]} for n in rng.integers(3, 40, 60)]
    theirs = by_lm_eval(folder, "lambada", rows)
    found = ours(folder, "lambada", rows)
    assert found["n_cut"] > 5
    assert found["metrics"]["accuracy"]["value"] == theirs["acc"]
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(theirs["perplexity"], rel=1e-5)


def test_blimp(exported) -> None:
    folder = exported
    rng = np.random.default_rng(3)
    sizes, uids = rng.integers(3, 9, 80), ["some"] * 40 + ["other"] * 40
    rows = [
        {"sentence_good": sentence(rng, n), "sentence_bad": sentence(rng, n), "UID": uid}
        for n, uid in zip(sizes, uids, strict=True)
    ]
    theirs = by_lm_eval(folder, "blimp", rows)
    found = ours(folder, "blimp", rows)
    assert found["metrics"]["accuracy"]["value"] == theirs["acc"]
    some = by_lm_eval(folder, "blimp", rows[:40])
    assert found["groups"]["UID"]["some"]["accuracy"]["value"] == some["acc"]


def test_hellaswag(exported) -> None:
    folder = exported
    rng = np.random.default_rng(4)
    rows = [
        {
            "query": sentence(rng, n) + " It",
            "choices": [sentence(rng, m) for m in rng.integers(1, 9, 4)],
            "gold": int(n % 4),
        }
        for n in rng.integers(3, 30, 60)
    ]
    # the files at hand are preprocessed already
    plain = {"process_docs": None, "doc_to_target": "{{gold}}"}
    theirs = by_lm_eval(folder, "hellaswag", rows, **plain)
    found = ours(folder, "hellaswag", rows, "multiple-choice")["metrics"]
    assert found["accuracy"]["value"] == theirs["acc"]
    assert found["accuracy_norm"]["value"] == theirs["acc_norm"]


def test_a_tokenizer_that_begins_every_text(exported, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / "wellfit_tokenizer.json").unlink()  # now it is anyone's
    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    library = tokenizers.Tokenizer.from_file(str(file))
    begin = "!"  # a token that the model has a vector for
    processor = tokenizers.processors.TemplateProcessing
    library.post_processor = processor(f"{begin} $A", None, [(begin, library.token_to_id(begin))])
    library.save(str(file))
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "bos_token": begin}))
    rng = np.random.default_rng(6)
    rows = [{"text": sentence(rng, n)[:-1]} for n in rng.integers(3, 40, 30)]
    theirs = by_lm_eval(folder, "lambada", rows)
    found = ours(folder, "lambada", rows)["metrics"]["perplexity"]["value"]
    assert found == pytest.approx(theirs["perplexity"], rel=1e-5)
    # without it the words are not equally likely
    plain = ours(exported, "lambada", rows)["metrics"]["perplexity"]["value"]
    assert found != pytest.approx(plain, rel=0.01)
    pairs = [{"sentence_good": sentence(rng, 6), "sentence_bad": sentence(rng, 6)} for _ in rows]
    theirs = by_lm_eval(folder, "blimp", pairs)
    assert ours(folder, "blimp", pairs)["metrics"]["accuracy"]["value"] == theirs["acc"]


def test_wikitext(exported) -> None:
    folder = exported
    rng = np.random.default_rng(5)
    pages = [" ".join(sentence(rng, 9) for _ in range(n)) for n in (1, 2, 7, 12)]
    rows = [{"text": page} for page in pages]
    config = {
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "process_results": None,
        "should_decontaminate": False,
    }
    theirs = by_lm_eval(folder, "wikitext", rows, **config)
    # the harness reads windows side by side
    found = score_text(folder, written(folder, "wikitext", rows), stride=32)
    for name in ("word_perplexity", "byte_perplexity"):
        assert found["metrics"][name]["value"] == pytest.approx(theirs[name], rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(theirs["bits_per_byte"], rel=1e-4)
