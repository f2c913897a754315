"""The only modules that import pycurl, boto3 and google-cloud; they implement the protocols of `transfer.ports`."""
