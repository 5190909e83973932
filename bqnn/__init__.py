"""BlockQNN in JAX: a Q-learning agent designs blocks of layers.

Zhong, Yan, Wu, Shao, Liu. *Practical Block-wise Neural Network Architecture
Generation.* CVPR 2018 (doi 10.1109/CVPR.2018.00257, arXiv 1708.05552); journal version
*BlockQNN: Efficient Block-wise Neural Network Architecture Generation* (arXiv
1808.05584). Docstrings call it "the paper", and mark as "ours" what it leaves open.

Importing this package does not import jax, so that a launcher can still set the
environment that jax reads when it starts (see `bqnn.runtime`).
"""

__version__ = "0.1.0"
