"""Full training: train the best blocks of a search to convergence.

The recipes are the paper's for CIFAR and ImageNet. A search imports nothing from here.
"""
