"""S3: lists buckets, reads files, and asks about single keys; boto3 signs the requests and retries them."""
