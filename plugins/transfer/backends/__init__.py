"""The only rooms that know pycurl, boto3 and google-cloud: each implements protocols of `transfer.ports`."""
