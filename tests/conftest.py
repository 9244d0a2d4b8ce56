"""What all tests share."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random inputs of a test are the same in every run."""
    torch.manual_seed(0)
