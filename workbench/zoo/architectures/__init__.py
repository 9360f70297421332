"""Standard architectures, written down after their papers in the zoo's own little language.

Each function writes one network: it takes a `Net` and the number of classes and returns the tensor
of logits. Dropout and auxiliary classifiers, which only training needs, are left out.
"""
