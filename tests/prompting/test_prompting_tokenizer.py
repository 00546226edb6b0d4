from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompting_samples import CHATML, CONTROL, make_tokenizer, make_vocabulary

from genrec.errors import ModelError
from genrec.prompting.rendered import Message
from genrec.prompting.tokenizer import ChatTokenizer, load_tokenizer

TALK = [
    Message("system", "Be brief."),
    Message("user", " Hello,\n\n world \n"),
    Message("assistant", "好 <b>&amp;</b>"),
]


def test_control_strings_become_control_tokens(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.control_strings == frozenset(CONTROL)
    ids = tokenizer.encode("a<|im_end|>b")
    assert [token in tokenizer.control_ids for token in ids] == [False, True, False]
    assert tokenizer.decode(ids) == "a<|im_end|>b"


@given(st.text())
def test_starts_follow_the_text(text: str) -> None:
    tokenizer = make_tokenizer()
    ids, starts = tokenizer.encode_with_starts(text)
    assert ids == tokenizer.encode(text)
    assert len(ids) == len(starts)
    assert starts == sorted(starts)
    assert all(0 <= start < len(text) for start in starts)


def write_model(folder: Path, **config: object) -> Path:
    make_vocabulary().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {"chat_template": CHATML},
        {"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": CHATML}]},
    ],
)
def test_chat_template_in_the_configuration(tmp_path: Path, config: dict[str, object]) -> None:
    tokenizer = load_tokenizer(write_model(tmp_path, **config))
    text = tokenizer.apply_chat_template([Message("user", "hi")], add_generation_prompt=True)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_file_of_its_own_goes_before_the_configuration(tmp_path: Path) -> None:
    write_model(tmp_path, chat_template="x", bos_token={"content": "<s>"}, eos_token="<|im_end|>")
    (tmp_path / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}"
        "{% generation %}{{ eos_token }}{% endgeneration %}{{ strftime_now('%%') }}{{ messages[0] | tojson }}"
    )
    text = load_tokenizer(tmp_path).apply_chat_template([Message("user", "é"), Message("user", "no")], False)
    assert text == '<s>é<|im_end|>%{"role": "user", "content": "é"}'


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
    write_model(tmp_path)
    with pytest.raises(ModelError, match="no chat template"):
        load_tokenizer(tmp_path)
    write_model(tmp_path, chat_template="{% if %}")
    with pytest.raises(ModelError, match="not valid Jinja"):
        load_tokenizer(tmp_path)
    write_model(tmp_path, chat_template="{{ raise_exception('no system role') }}")
    with pytest.raises(ModelError, match="refuses"):
        load_tokenizer(tmp_path).apply_chat_template(TALK, True)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be read"):
        load_tokenizer(tmp_path)


@pytest.mark.model
def test_equal_to_transformers() -> None:
    from transformers import AutoTokenizer

    from genrec.artifacts.models import resolve

    folder = resolve("smollm2-135m")
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for messages in (TALK, TALK[1:], TALK[:2], TALK[1:2]):
        for generate in (True, False):
            dicts = [{"role": message.role, "content": message.content} for message in messages]
            text = theirs.apply_chat_template(dicts, tokenize=False, add_generation_prompt=generate)
            assert ours.apply_chat_template(messages, generate) == text
            ids = theirs.apply_chat_template(dicts, add_generation_prompt=generate, return_dict=False)
            assert ours.encode(text) == list(ids)
    assert ours.control_ids == frozenset(theirs.all_special_ids) | frozenset(theirs.added_tokens_decoder)

    @settings(max_examples=200, deadline=None)
    @given(st.text())
    def encodes_equally(text: str) -> None:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)

    encodes_equally()
