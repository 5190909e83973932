"""Training to convergence: from the best block of a search to a model to keep.

The paper, section 4.2 (CIFAR) and 4.3 (ImageNet); nothing here is used by a search.
"""
