"""A LoRA on the newer transformers: the layers of the field's scripts, and a file that stock pipelines load."""

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.testing import assert_close

import tiny_dits
from tiny import PROMPT, pictures
from unlearnable.models.adapters import adapt
from unlearnable.personalization.lora import LoRA
from unlearnable.rng import normal

# The layers of diffusers' examples/dreambooth, where their scripts name more than these four.
LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]
MORE = {"flux2": ["to_qkv_mlp_proj", "single_transformer_blocks.0.attn.to_out"]}


@pytest.mark.parametrize("family", tiny_dits.some("flux2", "pixart"))
def test_a_step_of_lora_is_learned_saved_and_loaded_by_stock_diffusers(family, tmp_path):
    stock, model = tiny_dits.build(family), adapt(tiny_dits.build(family), family)
    model.size = 32  # some have no size of their own and are taken for 1024 px
    concept = LoRA(lr=1e-2, rank=3, steps=1, batch=2).fit(model, pictures(2), PROMPT)
    learned = get_peft_model_state_dict(concept.model.denoiser)
    wanted = inject_adapter_in_model(
        LoraConfig(r=3, target_modules=LAYERS + MORE.get(family, [])), tiny_dits.build(family).transformer
    )
    assert set(learned) == set(get_peft_model_state_dict(wanted))
    # AdamW's first step is the rate, whatever the gradient; the last text stream of some leads nowhere
    moved = [float(value.abs().max()) for name, value in learned.items() if "lora_B" in name]
    assert sum(change == pytest.approx(1e-2, rel=1e-3) for change in moved) > 0.8 * len(moved)

    made = concept.generate([PROMPT, "a cat"], steps=2, guidance=3.0)
    assert made.shape == (2, 3, 32, 32) and made.isfinite().all() and made.std() > 0.01

    concept.save(tmp_path)
    if family == "pixart":  # diffusers loads none for it, peft does
        weights = load_file(tmp_path / "pytorch_lora_weights.safetensors")
        inject_adapter_in_model(LoraConfig(r=3, lora_alpha=3, target_modules=LAYERS), stock.transformer)
        set_peft_model_state_dict(stock.transformer, {k.removeprefix("transformer."): v for k, v in weights.items()})
    else:
        stock.load_lora_weights(tmp_path)
    z, t = normal(["1", "2"], model.latent_shape(32, 32), "lora"), torch.tensor([249, 999])
    with torch.no_grad():
        c = model.condition([PROMPT])
        answers = [m.predict(z, t, c) for m in (concept.model, adapt(stock, family), model)]
    assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    assert (answers[0] - answers[2]).abs().max() > 1e-3
