"""Losses by the name a recipe gives them, and the class weights they use."""

from training.losses.class_weights import CLASS_WEIGHTS, sqrt_median_frequency
from training.losses.combined import CombinedLoss, LOSSES, make_loss

__all__ = ['CLASS_WEIGHTS', 'CombinedLoss', 'LOSSES', 'make_loss', 'sqrt_median_frequency']
