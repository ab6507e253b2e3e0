"""The KEDA external scaler: octoqueue's decisions over gRPC."""
