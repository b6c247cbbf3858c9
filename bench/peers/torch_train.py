"""A training step in PyTorch: loss, gradients, clip at 1, fused AdamW, the loss read at each step."""
import time

import torch

from torch_model import GPT, adamw, shape_of


class Work:
    """Request: model shape, batch, dtype "f32" | "bf16" (autocast), compile, fusedHead, device (default "cpu")."""

    def __init__(self, request):
        self.device = request.get("device", "cpu")
        torch.set_default_device(self.device)
        self.model = GPT(**shape_of(request))
        self.optimizer = adamw(self.model, 3e-4, betas=(0.9, 0.95), weight_decay=0.1)
        self.loss_of = torch.compile(self.model, mode=request.get("mode")) if request["compile"] else self.model
        self.bf16 = request["dtype"] == "bf16"
        self.fused_head = request["fusedHead"]
        self.vocabulary = request["vocabulary"]
        self.size = (request["batch"], request["context"])

    def step(self, ids, targets):
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.loss_of(ids, targets, self.fused_head)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def batch(self):
        ids = torch.randint(0, self.vocabulary, self.size)
        return ids, torch.roll(ids, -1, 1)

    def open(self):
        return {"parameters": self.model.count(), "loss": self.step(*self.batch())}

    def repeat(self, times):
        batches = [self.batch() for _ in range(times)]
        start = time.perf_counter()
        for ids, targets in batches:
            loss = self.step(ids, targets)
        return {"seconds": (time.perf_counter() - start) / times, "loss": loss}
