"""A PPO iteration as TRL's loop does it: rollout by the generate loop of `transformers`, log-probabilities by forward passes, eager updates in autocast."""
import torch

import torch_ppo
from hf_model import GenerateLoop, HfGPT


class Work(torch_ppo.Work):
    """Request: as torch_ppo.py, and device, dtype ("f32" | "bf16": autocast)."""

    def __init__(self, request):
        torch.set_default_device(request["device"])
        self.autocast = torch.autocast(request["device"], dtype=torch.bfloat16, enabled=request["dtype"] == "bf16")
        super().__init__({**request, "compile": False})

    def models(self, shape):
        policy, reference = HfGPT(**shape, value_head=True), HfGPT(**shape)
        reference.load_state_dict(policy.state_dict(), strict=False)
        return policy, reference

    def decoder_of(self, request):
        return GenerateLoop(self.policy)

    def iteration(self):
        with self.autocast:
            return super().iteration()
