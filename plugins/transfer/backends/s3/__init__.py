"""S3: listings, files and single keys; boto3 signs and retries."""
