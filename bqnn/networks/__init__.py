"""The block builder: from a block to the network that it is stacked into."""
