"""Generation by the generate loop of `transformers`."""
import time

import torch

from hf_model import GenerateLoop, HfGPT
from torch_model import shape_of


class Work:
    """Request: model shape, batch, prompt, new, device, dtype ("f32" | "bf16": the weights')."""

    def __init__(self, request):
        torch.set_default_device(request["device"])
        self.model = HfGPT(**shape_of(request)).eval()
        if request["dtype"] == "bf16":
            self.model = self.model.bfloat16()
        self.new = request["new"]
        self.prompts = torch.randint(0, request["vocabulary"], (request["batch"], request["prompt"]))
        self.loop = GenerateLoop(self.model)

    def open(self):
        tokens, logarithms = self.loop.generate(self.prompts, self.new)
        return {"parameters": self.model.count(), "tokens": tokens.numel(), "loss": -logarithms.mean().item()}

    def repeat(self, times):
        start = time.perf_counter()
        for _ in range(times):
            self.loop.generate(self.prompts, self.new, logarithms=False)[0].cpu()
        return {"seconds": (time.perf_counter() - start) / times}
