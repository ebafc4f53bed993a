"""Softmax and other linear attentions with the call of `eala_attention`; learned tensors are arguments."""
