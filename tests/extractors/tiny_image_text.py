"""Tiny CLIP, SigLIP and X-CLIP models with real tokenizer files, and a CLIP that is taught the colours of squares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

COLOURS = {
    "red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 50, 220),
    "yellow": (230, 220, 40), "white": (245, 245, 245), "black": (10, 10, 10),
}  # fmt: skip
MAX_TOKENS = 32
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURE = {"image_size": 32, "patch_size": 8}
WORDS = [*COLOURS, "square", "photo", "of", "the"]


def save_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP of 16 values a feature, with vocab.json and merges.txt as OpenAI's."""
    torch.manual_seed(seed)
    vocabulary = _clip_tokenizer(folder)
    config = transformers.CLIPConfig(
        text_config=_text_config(vocabulary), vision_config=TOWER | PICTURE, projection_dim=16
    )
    return _save(folder, transformers.CLIPModel(config), _clip_processor())


def save_xclip(folder: Path, seed: int = 0) -> Path:
    """An X-CLIP over 4 frames, which names VideoMAE's image processor as the public ones do."""
    torch.manual_seed(seed)
    vocabulary = _clip_tokenizer(folder)
    over_time = {"mit_hidden_size": 16, "mit_intermediate_size": 32, "mit_num_hidden_layers": 1,
                 "mit_num_attention_heads": 2, "num_frames": 4}  # fmt: skip
    config = transformers.XCLIPConfig(
        text_config=_text_config(vocabulary), vision_config=TOWER | PICTURE | over_time, projection_dim=16,
        prompt_num_attention_heads=2,
    )  # fmt: skip
    crop = {"height": 32, "width": 32}
    processor = transformers.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=crop)
    return _save(folder, transformers.XCLIPModel(config), processor)


def save_siglip(folder: Path, seed: int = 0) -> Path:
    """A SigLIP with a tokenizer.json, as SigLIP 2 has."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>",
             "unk_token": "<unk>", "model_input_names": ["input_ids"]}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    text = TOWER | {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": MAX_TOKENS}
    config = transformers.SiglipConfig(text_config=text, vision_config=TOWER | PICTURE)
    processor = transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _save(folder, transformers.SiglipModel(config), processor)


def square_picture(colour: str, seed: int, size_hw: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A square of a colour, at a random place before a grey wall: (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    picture = np.full((*size_hw, 3), random.integers(90, 160), np.uint8)
    side = int(random.integers(size_hw[0] // 2, size_hw[0] * 3 // 4))
    top, left = (int(random.integers(size - side)) for size in size_hw)
    picture[top : top + side, left : left + side] = COLOURS[colour]
    return picture


def teach_colours(folder: Path, steps: int = 200) -> Path:
    """Train a new CLIP of the kind in a folder, as CLIP is trained, on squares and texts such as "the red square"."""
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig.from_pretrained(folder)).train()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps):
        pictures = [square_picture(colour, seed=100 * step + i) for i, colour in enumerate(COLOURS)]
        pixels = processor(images=pictures, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        texts = [f"{('the', 'a photo of the')[step % 2]} {colour} square" for colour in COLOURS]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        loss = model(**tokens, pixel_values=pixels, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def _save(folder: Path, model: transformers.PreTrainedModel, processor: transformers.ImageProcessingMixin) -> Path:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3)  # so that pictures and texts differ
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _clip_processor() -> transformers.CLIPImageProcessorPil:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _text_config(vocabulary: int) -> dict[str, int]:
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    return TOWER | ends | {"vocab_size": vocabulary, "max_position_embeddings": MAX_TOKENS}


def _clip_tokenizer(folder: Path) -> int:
    """vocab.json and merges.txt, in which each of WORDS is one token; the size of the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[str] = []
    for word in WORDS:
        head, tail = word[0], [*word[1:-1], f"{word[-1]}</w>"]
        for piece in tail:
            merges.append(f"{head} {piece}")
            head += piece
            vocabulary.append(head)
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    return len(vocabulary)
