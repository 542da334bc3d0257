"""Every variant trains in the one loop."""

import pytest
import torch

from adapters.registry import build
from ghibli_studio.config.training import preset
from ghibli_studio.models import base_model
from ghibli_studio.training import batches, loop
from tests.support.adapter_training import CAPTIONS, VARIANTS


@pytest.mark.parametrize("name", ["lora-everything", "ti-negative"])
def test_the_loop_trains_a_variant_and_equal_seeds_give_equal_losses(tiny, name):
    """Every variant trains in the same loop, and every parameter that the loss reaches changes."""
    short = name.partition("-")[0]
    config = preset(
        "default", short, num_train_epochs=1, train_batch_size=2, unconditional_dropout=0.5, **VARIANTS[name]
    )
    losses = []
    for _ in range(2):
        adapter = build(short, config.adapter)
        base = base_model.BaseModel(**{**vars(tiny), "host": adapter.attach(tiny.host, seed=2)})
        before = adapter.state()
        latents = torch.randn((4, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(0))
        examples = batches.Examples(
            latents, [adapter.format_prompt(caption) for caption in CAPTIONS * 2], unconditional=adapter.unconditional()
        )
        events = list(loop.train(base, adapter, examples, examples, config))
        losses.append([event.loss for event in events if isinstance(event, loop.Step)])
        after = adapter.state()
        changed = {name for name in after if not torch.equal(after[name], before[name])}
        adapter.detach()
    assert len(losses[0]) == 2
    assert losses[0] == losses[1]
    assert changed == set(after)  # the first step changes the up matrices, which begin at zero; the second the rest
