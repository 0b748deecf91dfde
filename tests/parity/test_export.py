"""What `export` writes is all that transformers needs: model, tokenizer, end of text."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_models import SHAPES, finished_run, random_decoder, tiny_tokenizer
from wellfit.export import export_run
from wellfit.model import generate, published_weights, read_published

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", ["nanochat", "llama", "qwen3", "gpt2", "gpt2, no biases"])
def test_an_export_is_the_model_and_says_what_it_checked(name, run_path, tmp_path):
    run = finished_run(run_path, name)
    report = export_run(run, "hf", tmp_path / "out")
    exported = read_published(tmp_path / "out")
    wanted = published_weights(random_decoder(SHAPES[name]))
    # the weights of the run, bit for bit
    assert all(torch.equal(wanted[k], v) for k, v in published_weights(exported).items())
    # tensors, tokenizer, and logits of a reader that we did not write
    assert [text.split(" ")[0] for text in report.checked] == [
        str(len(wanted)),
        "the",
        "transformers",
    ]
    assert report.logits_max_difference is not None and report.logits_max_difference < 1e-4
    assert report.parameters == sum(p.numel() for p in exported.parameters())
    # what is listed is what lies there
    assert list(report.files) == sorted(p.name for p in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "tokenizer", [tiny_tokenizer(separate=False), tiny_tokenizer(separate=True)]
)
def test_text_by_transformers_alone_is_our_text(tokenizer, run_path, tmp_path):
    run = finished_run(run_path, "llama", tokenizer)
    export_run(run, "hf", tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    asked = reader("to be, or", return_tensors="pt")
    text = model.generate(**asked, max_new_tokens=12, do_sample=False)
    n_prompt = asked["input_ids"].shape[1]
    ours = generate(
        read_published(tmp_path / "out"),
        tokenizer.encode("to be, or"),
        n_tokens=12,
        temperature=0,
        stop_id=tokenizer.eos_id,
    )
    # the user of transformers needs nothing of ours
    assert reader.decode(text[0, n_prompt:], skip_special_tokens=True) == tokenizer.decode(
        list(ours)
    )
