"""Training to convergence: from the best block of a search to a model to keep.

The paper, its trainings on CIFAR and ImageNet; nothing here is used by a search.
"""
