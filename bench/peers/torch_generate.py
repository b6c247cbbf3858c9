"""Generation in PyTorch: prompts, then new tokens sampled at temperature 1, with their log-probabilities."""
import time

import torch

from torch_decode import Decoder
from torch_model import GPT, shape_of


class Work:
    """Request: model shape, batch, prompt, new, compile."""

    def __init__(self, request):
        self.model = GPT(**shape_of(request))
        self.new = request["new"]
        self.prompts = torch.randint(0, request["vocabulary"], (request["batch"], request["prompt"]))
        self.decoder = Decoder(self.model, request["batch"], request["prompt"] + self.new, request["compile"])

    def open(self):
        tokens, logarithms = self.decoder.generate(self.prompts, self.new)
        return {"parameters": self.model.count(), "tokens": tokens.numel(), "loss": -logarithms.mean().item()}

    def repeat(self, times):
        start = time.perf_counter()
        for _ in range(times):
            self.decoder.generate(self.prompts, self.new)
        return {"seconds": (time.perf_counter() - start) / times}
