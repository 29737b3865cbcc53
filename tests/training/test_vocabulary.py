"""The embedded model's own vocabulary: whole words where we chose them, bytes for everything else, new tokens."""

import pytest
from transformers import CLIPTokenizer

from vocabulary import build_tokenizer, byte_symbols, learn_merges

LABELS = ["long sleeve shirt", "t-shirt", "euphonium"]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(LABELS)


def tokens(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)[1:-1]


def test_chosen_words_are_whole_tokens(tokenizer):
    assert tokens(tokenizer, "A photo of a sks dog") == ["a</w>", "photo</w>", "of</w>", "a</w>", "sks</w>", "dog</w>"]
    assert tokens(tokenizer, "euphonium") == ["euphonium</w>"]


@pytest.mark.parametrize("text", ["naïve", "日本語", "🎉", "zyzzyva", "çà et là", "\N{ZERO WIDTH JOINER}"])
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_padded_as_the_pipeline_pads(tokenizer):
    ids = tokenizer("a dog", padding="max_length", max_length=tokenizer.model_max_length).input_ids
    assert len(ids) == 77
    assert ids[0] == tokenizer.bos_token_id
    assert ids[3:] == [tokenizer.eos_token_id] * 74


def test_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded("a zyzzyva dog").input_ids == tokenizer("a zyzzyva dog").input_ids
    assert loaded.model_max_length == 77


def test_a_new_token_is_one_token():
    tokenizer = build_tokenizer(LABELS)
    before = len(tokenizer)
    assert tokenizer.add_tokens("<my-cat>") == 1
    assert tokenizer("a photo of <my-cat>").input_ids[-2] == before


def test_the_same_labels_give_the_same_vocabulary(tokenizer):
    assert build_tokenizer(LABELS[::-1] * 2).get_vocab() == tokenizer.get_vocab()


def test_merges_begin_with_the_commonest_pair():
    assert learn_merges(["aab", "aab", "ab"])[0] == ("a", "b</w>")
    assert len(set(byte_symbols())) == 256
