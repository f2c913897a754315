"""CloudFront: objects read through a distribution, and the signatures of their URLs."""
