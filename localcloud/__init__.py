"""Stand-ins for S3, CloudFront, Pub/Sub, Cloud Storage and Cloud Logging on loopback, speaking the real protocols."""
