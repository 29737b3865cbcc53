"""The text encoder's own byte-level vocabulary, in the form CLIP's tokenizer reads (vocab + merges).

256 byte symbols, the same 256 with `</w>` (end of a word), byte pairs merged until every word below and every word of
the captions is one token, `<|startoftext|>` and `<|endoftext|>`. Any other text falls apart into smaller pieces, at
worst into bytes, so nothing is ever unknown.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from transformers import CLIPTokenizer

MAX_TOKENS = 77  # as in Stable Diffusion
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
PROMPT_WORDS = """
a an the of in on at by with and or to from is for close up photo picture image portrait drawing painting cartoon
sketch style art artist oil watercolor pencil rendering depiction cropped good bad nice bright dark blurry clean
dirty small large old new sks person man woman boy girl child people face hair eyes dog puppy cat kitten bird animal
toy plushie stuffed bear monster robot duck backpack bag bowl boot sneaker shoe can candle clock glasses sunglasses
teapot vase cup bottle car bike train boat ship plane house building city street beach mountain forest tree grass
snow water sea sky garden jungle road room table chair bed wooden floor wall background red green blue yellow orange
purple pink black white brown grey gold silver night day light sitting standing lying wearing holding next under
over flower flowers clothes clothing van gogh canaletto matisse
"""


def byte_symbols() -> list[str]:
    """The 256 printable characters which stand for the bytes 0..255 (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = (256 + i for i in range(256))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte pairs to merge, the most frequent first, until every word is one token. Repeated words count more."""
    counts = Counter(words)
    symbols = byte_symbols()
    pieces = {word: [symbols[byte] for byte in word.encode()] for word in counts if word}
    for parts in pieces.values():
        parts[-1] += WORD_END
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        pieces = {word: _merge(parts, best) for word, parts in pieces.items()}


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    i = 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def build_tokenizer(labels: Iterable[str]) -> CLIPTokenizer:
    """A CLIPTokenizer in which the words of the labels and PROMPT_WORDS are whole tokens; same labels, same result."""
    letters = ("".join(c if c.isalpha() else " " for c in label.lower()).split() for label in sorted(set(labels)))
    merges = learn_merges([*PROMPT_WORDS.split(), *(word for words in letters for word in words)])
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + WORD_END for symbol in symbols), *dict.fromkeys("".join(pair) for pair in merges)]
    vocab = {token: i for i, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
